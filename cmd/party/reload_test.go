//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// versioned is a server that answers each message with its version and the text.
const versioned = `package main

import (
	"context"

	"github.com/goparty/party"
)

const version = "v0"

type Echo struct{ party.Server }

func (e *Echo) OnMessage(_ context.Context, conn *party.Connection, msg party.Message) error {
	return conn.Send(party.Text(version + " " + msg.String()))
}

var App = party.App{Servers: party.Servers{
	"Echo":  party.ClassOf[Echo](party.Options{Hibernate: true}),
	"Awake": party.ClassOf[Echo](),
}}

func main() { party.Main(App) }
`

// edited is a module with a server, and the tool that runs it.
type edited struct {
	*tool
	dir string
}

func newEdited(t *testing.T, args ...string) *edited {
	t.Helper()
	dir := module(t, map[string]string{"main.go": versioned})
	p := &edited{setup{dir: dir}.dev(t, append(args, ".")...), dir}
	return p
}

// save saves the server as a version; what replaces the text of its answer.
func (p *edited) save(version string) {
	p.t.Helper()
	write(p.t, p.dir, map[string]string{"main.go": strings.Replace(versioned, `"v0"`, version, 1)})
}

func (p *edited) open(room string) client {
	p.t.Helper()
	return p.dial("ws" + strings.TrimPrefix(p.url("/parties/"+room), "http"))
}

func (c client) ask(text string) string {
	c.t.Helper()
	c.send(text)
	return c.recv()
}

// serves waits until a generation has taken over.
func (p *edited) serves(generation uint64) {
	p.t.Helper()
	p.event(fmt.Sprintf("generation %d", generation), 1, func(e event) bool { return e.Type == "reload.swapped" && e.Generation == generation })
}

func TestDevReloads(t *testing.T) {
	t.Parallel()
	p := newEdited(t)
	c, d := p.open("echo/a"), p.open("awake/b")
	if got := c.ask("x"); got != "v0 x" {
		t.Fatal(got)
	}
	p.save(`"v1"`)
	p.serves(2)
	for _, c := range []client{c, d, p.open("echo/a")} {
		if got := c.ask("x"); got != "v1 x" {
			t.Errorf("got %q", got)
		}
	}
	for _, typ := range []string{"files.changed", "build.started", "build.done", "generation.started", "reload.swapped", "reload.answered"} {
		p.event(typ, 1, func(e event) bool { return e.Type == typ })
	}

	p.save(`oops`)
	failed := p.event("failed build", 1, func(e event) bool { return e.Type == "build.failed" })
	if failed.Generation != 2 || !strings.HasPrefix(string(failed.Output), `"main.go:9:17: undefined: oops`) {
		t.Errorf("%+v", failed)
	}
	if got := c.ask("x"); got != "v1 x" {
		t.Errorf("got %q", got)
	}
	p.save(`"v2"`)
	p.serves(3)
	if got := c.ask("x"); got != "v2 x" {
		t.Errorf("got %q", got)
	}

	// A crash, a command, and a crash: the newest code each time.
	for _, command := range [][]string{{"crash"}, {"reload"}, {"crash"}} {
		r := setup{dir: p.dir}.start(t, command...)
		if code := r.wait(); code != 0 {
			t.Errorf("party %s: %d", command[0], code)
		}
		if got := c.ask("x"); got != "v2 x" {
			t.Errorf("after %s: %q", command[0], got)
		}
	}
	p.serves(4)
	p.interrupt()
	p.wait()
	p.noBuilds()
	for _, e := range p.events(func(e event) bool { return e.Type == "generation.started" }) {
		ended(t, e.PID)
	}
}

func TestDevReloadsAsADeploy(t *testing.T) {
	t.Parallel()
	p := newEdited(t, "--on-reload=disconnect")
	c := p.open("echo/a")
	if got := c.ask("x"); got != "v0 x" {
		t.Fatal(got)
	}
	p.save(`"v1"`)
	_, _, err := c.ReadMessage()
	var closed *websocket.CloseError
	if err == nil || errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		t.Errorf("%v", err)
	}
	p.serves(2)
	if got := p.open("echo/a").ask("x"); got != "v1 x" {
		t.Errorf("got %q", got)
	}
}

// standsStill waits until all threads of a process have been stopped, which takes
// longer than sending the signal.
func standsStill(t *testing.T, pid int) {
	t.Helper()
	for ctx := t.Context(); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(threads) == 0 {
			t.Skip("the system does not tell which threads run")
		}
		if !slices.ContainsFunc(threads, func(file string) bool {
			b, err := os.ReadFile(file)
			_, state, _ := strings.Cut(string(b), ") ")
			return err == nil && !strings.HasPrefix(state, "T")
		}) {
			return
		}
	}
}

func TestDevForADebugger(t *testing.T) {
	t.Parallel()
	p := newEdited(t, "--debug")
	started := p.event("start", 1, func(e event) bool { return e.Type == "generation.started" })
	if want := fmt.Sprintf("dlv attach %d", started.PID); started.Attach != want {
		t.Errorf("attach with %q, want %q", started.Attach, want)
	}
	c := p.open("echo/a")
	if got := c.ask("x"); got != "v0 x" {
		t.Fatal(got)
	}
	// It stands still, as at a breakpoint, through a reload, and nothing is lost.
	stop := func(signal syscall.Signal) {
		if err := syscall.Kill(started.PID, signal); err != nil {
			t.Fatal(err)
		}
	}
	stop(syscall.SIGSTOP)
	standsStill(t, started.PID)
	c.send("while it stands")
	p.event("message", 1, func(e event) bool { return e.Type == "message.in" && e.Text == "while it stands" })
	p.save(`"v1"`)
	p.serves(2)
	if got := p.open("echo/b").ask("x"); got != "v1 x" {
		t.Errorf("got %q", got)
	}
	stop(syscall.SIGCONT)
	if got := c.recv(); got != "v0 while it stands" && got != "v1 while it stands" {
		t.Errorf("got %q", got)
	}
	if got := c.ask("x"); got != "v1 x" {
		t.Errorf("got %q", got)
	}
}

func TestDevCalledWronglyForReloads(t *testing.T) {
	t.Parallel()
	for _, row := range [][2]string{
		{"--on-reload=cut", "use keep or disconnect"}, {"--loader=dll", "use process or plugin"},
	} {
		contains := setup{}.fails(t, exitUsage, "dev", row[0], testServer(t))
		if !strings.Contains(contains, row[1]) {
			t.Errorf("%s: %s", row[0], contains)
		}
	}
}

// Real edits and real builds, some of which fail, while many clients send.
func TestDevReloadsWithoutLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	clients, edits := 20, 4
	if n, err := strconv.Atoi(os.Getenv("PARTY_TEST_ROUNDS")); err == nil && n > 1 {
		clients, edits = 500, 50
	}
	p := newEdited(t)
	p.ready()
	var over atomic.Bool
	var talk sync.WaitGroup
	totals := make([]int, clients)
	for i := range clients {
		party := "echo"
		if i%3 == 0 {
			party = "awake"
		}
		c := p.open(fmt.Sprintf("%s/%d", party, i/5))
		_ = c.SetReadDeadline(time.Time{})
		talk.Go(func() {
			beat := time.NewTicker(5 * time.Millisecond) // builds need some of the machine
			defer beat.Stop()
			for sent, got := 0, 0; !over.Load() || got < sent; got++ {
				<-beat.C
				for !over.Load() && sent < got+2 {
					c.send(strconv.Itoa(sent))
					sent++
				}
				if got == sent {
					break
				}
				_, b, err := c.ReadMessage()
				_, text, _ := strings.Cut(string(b), " ")
				if err != nil || text != strconv.Itoa(got) {
					t.Errorf("client %d got %q, %v, want %d", i, b, err, got)
					over.Store(true)
					return
				}
				totals[i] = got + 1
			}
		})
	}
	generation := uint64(1)
	for n := range edits {
		if n%4 == 3 {
			p.save(fmt.Sprintf("broken%d", n))
			failures := 0
			for m := range n + 1 {
				if m%4 == 3 {
					failures++
				}
			}
			p.event("failed build", failures, func(e event) bool { return e.Type == "build.failed" })
			continue
		}
		p.save(fmt.Sprintf("%q", fmt.Sprintf("v%d", n+1)))
		generation++
		p.serves(generation)
	}
	over.Store(true)
	talk.Wait()
	total := 0
	for _, n := range totals {
		total += n
	}
	if lost := p.events(func(e event) bool { return e.Type == "connection.closed" || e.Type == "turn.lost" }); len(lost) > 0 {
		t.Errorf("%d connections were closed or turns lost: %+v", len(lost), lost[0])
	}
	t.Logf("%d clients, %d messages, %d generations", clients, total, generation)
}

// It takes a minute where the standard library has to be compiled for plugins.
func TestDevWithPlugins(t *testing.T) {
	if os.Getenv("PARTY_TEST_PLUGIN") == "" {
		t.Skip("set PARTY_TEST_PLUGIN=1 to build plugins")
	}
	p := newEdited(t, "--loader=plugin")
	if e := p.event("start", 1, func(e event) bool { return e.Type == "generation.started" }); e.PID != 0 {
		t.Fatalf("it runs in process %d", e.PID)
	}
	c := p.open("echo/a")
	for n, version := range []string{"v1", "v2", "v1"} {
		p.save(strconv.Quote(version))
		p.serves(uint64(n + 2))
		if got := c.ask("x"); got != version+" x" {
			t.Errorf("got %q, want %s", got, version)
		}
	}
	if code := (setup{dir: p.dir}).start(t, "crash").wait(); code != exitFailed {
		t.Errorf("crash of code in this process: %d", code)
	}
	// Another package of the module can be loaded once.
	using := strings.Replace(strings.Replace(versioned, `const version = "v0"`, `var version = part.Version`, 1), `"context"`, "\"context\"\n\n\t\"example.com/outside/part\"", 1)
	write(t, p.dir, map[string]string{"part/part.go": "package part\n\nconst Version = \"p1\"\n", "main.go": using})
	p.serves(5)
	write(t, p.dir, map[string]string{"part/part.go": "package part\n\nconst Version = \"p2\"\n"})
	p.serves(6)
	if got := c.ask("x"); got != "p2 x" {
		t.Errorf("got %q", got)
	}
	warned := p.event("warning", 1, func(e event) bool { return e.Type == "log" && e.Level == "WARN" })
	if !strings.Contains(warned.Text, "part") || !strings.Contains(warned.Text, "a process of its own") {
		t.Errorf("%s", warned.Text)
	}
	if got, _ := filepath.Glob(filepath.Join(p.dir, ".party", "build-*", "*")); len(got) == 0 {
		t.Error("nothing was built")
	}
}
