//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/goparty/party/devclient"
	"github.com/goparty/party/emulator/control"
)

// The scripts of testdata/commands run the real commands against a real
// `party dev`. Besides testscript's own commands they have
//
//	dev [FLAGS]               runs party dev on testdata/desk, and waits until it serves
//	party ARGS                a command that succeeds; with ! one that fails with status 1
//	wrong ARGS                a command that is called wrongly: status 2
//	client NAME ROOM [ID]     opens a WebSocket
//	tell NAME TEXT            sends a message
//	hears NAME TEXT           the next message is this one
//	cut NAME CODE             the connection has ended
//	meanwhile ARGS            starts a command; with -in FILE first, on that input
//	sees TEXT                 waits until the command started last has written it
//	enough                    interrupts it; it must end with status 0
//	becomes ROOM STATE        waits until a room is so
func TestCommands(t *testing.T) {
	binary := partyBinary(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "commands"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// Sockets want short paths.
			dir, err := os.MkdirTemp("", "party")
			if err != nil {
				return err
			}
			s := &stage{binary: binary, dir: dir, work: env.WorkDir, clients: map[string]*devclient.Client{}}
			env.Values[stageKey{}] = s
			env.Setenv("DIR", dir)
			env.Setenv("REPO", repo(t))
			env.Cd = dir // where the commands find the socket; files are in $WORK
			for _, name := range []string{"HOME", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GONOSUMDB", "GOFLAGS", "GOSUMDB"} {
				if v, ok := os.LookupEnv(name); ok {
					env.Setenv(name, v)
				}
			}
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Defer(s.end)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dev":       on((*stage).dev),
			"party":     on((*stage).party),
			"wrong":     on((*stage).wrong),
			"client":    on((*stage).client),
			"tell":      on((*stage).tell),
			"hears":     on((*stage).hears),
			"cut":       on((*stage).cut),
			"meanwhile": on((*stage).meanwhile),
			"sees":      on((*stage).sees),
			"enough":    on((*stage).enough),
			"becomes":   on((*stage).becomes),
		},
	})
}

type stageKey struct{}

// stage is what one script runs.
type stage struct {
	binary, dir, work string
	server            *aside
	others            []*aside
	clients           map[string]*devclient.Client
}

func on(f func(s *stage, ts *testscript.TestScript, neg bool, args []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		f(ts.Value(stageKey{}).(*stage), ts, neg, args)
	}
}

// aside is a command that runs beside the script.
type aside struct {
	cmd  *exec.Cmd
	out  *output
	err  bytes.Buffer
	done chan struct{}
}

func (s *stage) command(ts *testscript.TestScript, args []string) *exec.Cmd {
	cmd := exec.Command(s.binary, args...)
	cmd.Dir = s.dir
	for _, name := range []string{"HOME", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOSUMDB", "GONOSUMDB", "GORACE", "PATH"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

func (s *stage) begin(ts *testscript.TestScript, in string, args []string) *aside {
	p := &aside{cmd: s.command(ts, args), out: newOutput(), done: make(chan struct{})}
	if in != "" {
		f, err := os.Open(ts.MkAbs(in))
		ts.Check(err)
		defer f.Close()
		p.cmd.Stdin = f
	}
	stdout, err := p.cmd.StdoutPipe()
	ts.Check(err)
	p.cmd.Stderr = &p.err
	ts.Check(p.cmd.Start())
	go func() {
		defer close(p.done)
		p.out.read(stdout)
		_ = p.cmd.Wait()
	}()
	return p
}

// stop interrupts a process and returns its exit status.
func (p *aside) stop() int {
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return p.cmd.ProcessState.ExitCode()
}

func (s *stage) end() {
	for _, c := range s.clients {
		c.Drop()
	}
	for _, p := range s.others {
		p.stop()
	}
	if s.server != nil {
		s.server.stop()
	}
	_ = os.RemoveAll(s.dir)
}

// until waits until p has written what find looks for.
func (p *aside) until(ts *testscript.TestScript, what string, find func(lines []string) bool) {
	timeout := time.After(patience)
	for {
		p.out.mu.Lock()
		found, closed, changed := find(p.out.lines), p.out.closed, p.out.changed
		p.out.mu.Unlock()
		if found {
			return
		}
		if closed {
			<-p.done
			ts.Fatalf("the command ended before %s\n%s%s", what, p.out, p.err.String())
		}
		select {
		case <-changed:
		case <-timeout:
			ts.Fatalf("no %s\n%s", what, p.out)
		}
	}
}

func (s *stage) dev(ts *testscript.TestScript, neg bool, args []string) {
	if s.server != nil {
		s.server.stop()
	}
	dir := filepath.Join(ts.Getenv("REPO"), "cmd", "party", "testdata", "desk")
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		dir, args = args[0], args[1:]
	}
	s.server = s.begin(ts, "", append([]string{"dev", "--ui", "json", "--port", "0", dir}, args...))
	s.server.until(ts, "ready event", func(lines []string) bool {
		return strings.Contains(strings.Join(lines, "\n"), `"type":"ready"`)
	})
}

func (s *stage) run(ts *testscript.TestScript, args []string) int {
	cmd := s.command(ts, args)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	return cmd.ProcessState.ExitCode()
}

func (s *stage) party(ts *testscript.TestScript, neg bool, args []string) {
	want := 0
	if neg {
		want = exitFailed
	}
	if got := s.run(ts, args); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func (s *stage) wrong(ts *testscript.TestScript, _ bool, args []string) {
	if got := s.run(ts, args); got != exitUsage {
		ts.Fatalf("exit status %d, want %d", got, exitUsage)
	}
}

func (s *stage) client(ts *testscript.TestScript, _ bool, args []string) {
	d := dialing{reach: reach{socket: filepath.Join(s.dir, ".party", "dev.sock")}, id: args[0], query: []string{"seat=window"}}
	if len(args) > 2 {
		d.id = strings.ReplaceAll(args[2], `\e`, "\x1b")
	}
	c, _, err := d.connect(context.Background(), args[1])
	ts.Check(err)
	s.clients[args[0]] = c
}

func (s *stage) tell(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(s.clients[args[0]].Send(devclient.Text(args[1])))
}

func (s *stage) hears(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(s.clients[args[0]].Expect(context.Background(), patience, args[1], func(e devclient.Event) bool {
		return e.Closed == nil && e.String() == args[1]
	}))
}

func (s *stage) cut(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(s.clients[args[0]].Expect(context.Background(), patience, "closed "+args[1], func(e devclient.Event) bool {
		return e.Closed != nil && strings.HasPrefix(e.Closed.String(), "closed "+args[1])
	}))
}

func (s *stage) meanwhile(ts *testscript.TestScript, _ bool, args []string) {
	in := ""
	if len(args) > 2 && args[0] == "-in" {
		in, args = args[1], args[2:]
	}
	s.others = append(s.others, s.begin(ts, in, args))
}

func (s *stage) sees(ts *testscript.TestScript, _ bool, args []string) {
	s.last(ts).until(ts, args[0], func(lines []string) bool {
		return strings.Contains(strings.Join(lines, "\n"), args[0])
	})
}

func (s *stage) enough(ts *testscript.TestScript, _ bool, args []string) {
	p := s.last(ts)
	s.others = s.others[:len(s.others)-1]
	if code := p.stop(); code != 0 {
		ts.Fatalf("exit status %d\n%s", code, p.err.String())
	}
	_, _ = ts.Stdout().Write([]byte(p.out.String() + "\n"))
	_, _ = ts.Stderr().Write(p.err.Bytes())
}

func (s *stage) last(ts *testscript.TestScript) *aside {
	if len(s.others) == 0 {
		ts.Fatalf("nothing runs meanwhile")
	}
	return s.others[len(s.others)-1]
}

func (s *stage) becomes(ts *testscript.TestScript, _ bool, args []string) {
	c, err := control.Dial(filepath.Join(s.dir, control.Name))
	ts.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := c.Room(ctx, args[0])
		if err == nil && d.State == args[1] {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s is not %s: %+v, %v", args[0], args[1], d, err)
		}
	}
}
