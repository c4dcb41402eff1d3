package script

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// demo is the server of these tests.
const demo = `
-- main.go --
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/goparty/party"
)

type Room struct{ party.Server }

func (r *Room) OnMessage(ctx context.Context, conn *party.Connection, msg party.Message) error {
	verb, arg, _ := strings.Cut(msg.String(), " ")
	span, _ := time.ParseDuration(arg)
	switch verb {
	case "hang":
		<-ctx.Done()
	case "fail":
		return errors.New(arg)
	case "close":
		return conn.Close(4000, arg)
	case "say":
		r.Broadcast(party.Text(r.Now().UTC().Format("15:04:05.000 ") + arg))
	case "put":
		return r.Storage().Put("value", arg)
	case "timer":
		r.AfterFunc(span, func(context.Context) { r.Broadcast(party.Text("timer " + arg)) })
	case "work":
		r.WaitUntil(func(ctx context.Context) error {
			for i := range 3 {
				if err := r.Sleep(ctx, span); err != nil {
					return err
				}
				if err := r.Do(ctx, func(context.Context) error { return r.Storage().Put("step", i) }); err != nil {
					return err
				}
				r.Broadcast(party.Text(fmt.Sprint("step ", i)))
			}
			return nil
		})
	case "alarm":
		return r.Storage().SetAlarm(r.Now().Add(span))
	case "call":
		s, err := party.ServerByName(ctx, "room", arg)
		if err != nil {
			return err
		}
		n, err := party.Call[int](ctx, s, "Count")
		r.Broadcast(party.JSON(n))
		return err
	default:
		return conn.Send(msg)
	}
	return nil
}

func (r *Room) Count(context.Context) (n int, err error) {
	if _, err = r.Storage().Get("n", &n); err == nil {
		n++
		err = r.Storage().Put("n", n)
	}
	return n, err
}

func (r *Room) OnAlarm(_ context.Context, a party.AlarmInfo) error {
	r.Broadcast(party.Text(fmt.Sprintf("alarm %d at %s", a.RetryCount, r.Now().UTC().Format("15:04:05.000"))))
	if strings.HasPrefix(r.Name(), "broken") {
		return errors.New("broken")
	}
	return nil
}

func (r *Room) OnClose(_ context.Context, conn *party.Connection, code int, reason string, _ bool) error {
	r.Broadcast(party.Text(fmt.Sprintf("somebody left: %d %s", code, reason)))
	return nil
}

func (r *Room) OnRequest(w http.ResponseWriter, req *http.Request) {
	http.Error(w, "no tea here", http.StatusTeapot)
}

var App = party.App{Servers: party.Servers{"room": party.ClassOf[Room](party.Options{Hibernate: true})}}

func main() { party.Main(App) }
-- broken/main.go --
package main

import "github.com/goparty/party"

func main() { party.Main(Ap) }
-- other.txt --
package main

func main() {}
`

// write makes files of scripts and returns their directory.
func write(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name+".txtar"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// results runs scripts as party test does, in this module.
func results(t *testing.T, scripts map[string]string) map[string]Result {
	t.Helper()
	all := map[string]Result{}
	o := Options{Files: []string{write(t, scripts)}, Dir: "../.."}
	if err := Test(t.Context(), o, false, func(r Result) { all[r.Name] = r }); err != nil {
		t.Fatal(err)
	}
	return all
}

var varying = regexp.MustCompile(`\([0-9.]+s\)|/\S*/([a-z_]+\.txtar:)|in [0-9.]+[mµ]?s\b|, process [0-9]+`)

// steady is a log without what differs from run to run.
func steady(log string) string {
	return varying.ReplaceAllStringFunc(log, func(s string) string {
		switch {
		case strings.HasPrefix(s, "/"):
			return s[strings.LastIndex(s, "/")+1:]
		case strings.HasPrefix(s, "in "):
			return "in TIME"
		}
		return ""
	})
}

// What a person reads when a script fails.
func TestFailures(t *testing.T) {
	t.Parallel()
	const file = "testdata/failures.txtar"
	golden, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	scripts := map[string]string{}
	for i := 0; i < len(golden.Files); i += 2 {
		scripts[golden.Files[i].Name] = string(golden.Files[i].Data) + demo
	}
	got := results(t, scripts)
	for i := 0; i < len(golden.Files); i += 2 {
		name, want := golden.Files[i].Name, &golden.Files[i+1]
		log := steady(got[name].Log) + "\n"
		if got[name].Status != Failed {
			t.Errorf("%s: %s", name, got[name].Status)
		}
		if *update {
			want.Data = []byte(log)
		} else if log != string(want.Data) {
			t.Errorf("%s does not say what it should:\n%s", name, cmp.Diff(string(want.Data), log))
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(golden), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What never comes is waited for no longer than needed, and the failure says
// what came instead.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	waits := map[string]string{
		"recv":    "send ann hello\nrecv ann hello\nrecv ann more",
		"closed":  "closed ann",
		"advance": "send ann hang\nadvance 1s",
		"look":    "send ann hang\nkv room/a",
		"connect": "send ann hang\nconnect bob room/a",
		"http":    "send ann hang\nhttp room/a",
	}
	scripts := map[string]string{}
	for name, commands := range waits {
		scripts[name] = "start\nconnect ann room/a -id ann\n" + commands + "\n" + demo
	}
	for name, r := range results(t, scripts) {
		want := map[string]string{
			"recv": "nothing came within 5s\n  want: \"more\"", "closed": "nothing came within 5s\n  want: the connection closed",
			"advance": "not quiet within 5s: still running: room/a: a turn (message of ann) has been running",
			"look":    "not quiet within 5s: still running: room/a: a turn (message of ann)",
			"connect": "the handshake was not answered within 5s", "http": "no answer within 5s",
		}[name]
		if r.Status != Failed || !strings.Contains(r.Log, want) {
			t.Errorf("%s: %s\n%s\nwant: %s", name, r.Status, r.Log, want)
		}
		if r.Took < limit || r.Took > 4*limit {
			t.Errorf("%s took %s", name, r.Took)
		}
	}
}

// rich has something of everything that could come out differently.
const rich = `start
connect ann room/a
connect bob room/a -id bob
connect cleo room/b
connect dora room/broken
send ann 'say hello'
send bob 'say good morning'
send bob 'alarm 5s'
send cleo 'alarm 5s'
send dora 'alarm 2s'
send ann 'timer 5s'
send cleo 'work 2500ms'
send cleo 'call c'
send ann 'call c'
send dora 'fail on purpose'
send cleo 'put something'
advance 4999ms
send ann 'say not yet'
advance 1ms
send cleo 'alarm 1h'
fire room/b
! fire room/b
http room/a
status 418
advance 10s
send bob 'timer 1h'
idle
evict room/a
send cleo hang
send cleo 'say behind'
crash
send ann 'call b'
close bob 4000 bye
transcript bob
idle
abort room/b
transcript cleo
hibernate room/a
connect bob room/a
drop bob
advance 1d
rooms
kv room/b
events room/a
events room/b
events room/c
events room/broken
restart
connect ann room/a
send ann 'say again'
transcript ann
transcript dora
events room/a
`

// The same script gives the same events, and its clients receive the same, in
// every run.
func TestRunsAreAlike(t *testing.T) {
	t.Parallel()
	runs := 100
	if testing.Short() {
		runs = 3
	}
	// Neither must machine load matter, so some run at the same time.
	slots := make(chan struct{}, 8)
	file := filepath.Join(write(t, map[string]string{"rich": rich + demo}), "rich.txtar")
	r, end, err := newRunner(t.Context(), Options{Dir: "../.."})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	commands := bind()
	commands["transcript"] = transcript
	logs := make([]string, runs)
	var all sync.WaitGroup
	for i := range logs {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s := &suite{verbose: true}
			testscript.RunT(s, testscript.Params{
				Files: []string{file}, WorkdirRoot: t.TempDir(), Cmds: commands, Condition: r.condition,
				Setup: func(env *testscript.Env) error { return r.setup(env, time.Minute) },
			})
			s.running.Wait()
			logs[i] = steady(withoutEnvironment(s.log.String()))
			if s.failed {
				t.Errorf("run %d:\n%s", i, logs[i])
			}
		})
	}
	all.Wait()
	for i := range logs {
		if logs[i] != logs[0] {
			t.Fatalf("run %d differs:\n%s", i, cmp.Diff(logs[0], logs[i]))
		}
	}
}

// transcript prints what a client received and nobody has read.
func transcript(ts *testscript.TestScript, _ bool, args []string) {
	s := sessionOf(ts)
	ts.Check(s.quiet())
	c := s.clients[args[0]].(*socket)
	if !c.Open() {
		<-c.Done()
	}
	for _, e := range c.Unread() {
		_, _ = fmt.Fprintln(ts.Stdout(), e)
	}
}
