//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long the tests wait for what must happen. None of them passes
// by waiting so long.
const patience = 2 * time.Minute

var (
	scratchOnce sync.Once
	scratchDir  string
	partyErr    error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if scratchDir != "" {
		_ = os.RemoveAll(scratchDir)
	}
	os.Exit(code)
}

// partyBinary builds the tool, once.
func partyBinary(t testing.TB) string {
	t.Helper()
	scratchOnce.Do(func() {
		if scratchDir, partyErr = os.MkdirTemp("", "party-test"); partyErr != nil {
			return
		}
		args := []string{"build", "-o", filepath.Join(scratchDir, "party")}
		if raceEnabled {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			partyErr = fmt.Errorf("building party: %w\n%s", err, out)
		}
	})
	if partyErr != nil {
		t.Fatal(partyErr)
	}
	return filepath.Join(scratchDir, "party")
}

// repo is the repository's root.
func repo(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// testServer is the directory of the server in testdata.
func testServer(t testing.TB) string {
	t.Helper()
	return filepath.Join(repo(t), "cmd", "party", "testdata", "server")
}

// write makes files below dir.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// module makes a module outside of this repository that uses it, and returns
// its directory.
func module(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	// What `go mod tidy` would write, and more: our own requirements.
	mod, err := os.ReadFile(filepath.Join(repo(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(repo(t), "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		"go.sum": string(sum),
		"go.mod": strings.Replace(string(mod), "module github.com/goparty/party\n", "module example.com/outside\n", 1) +
			"\nrequire github.com/goparty/party v0.0.0\n\nreplace github.com/goparty/party => " + strconv.Quote(repo(t)) + "\n",
	})
	write(t, dir, files)
	return dir
}

// tool is a run of party.
type tool struct {
	t        testing.TB
	cmd      *exec.Cmd
	dir      string // where it runs
	out, err *output
	exited   chan struct{}
}

// setup says how to start party; the zero value runs it in a new directory.
type setup struct {
	dir string
	env []string
}

// ownStack is a line of a stack in the tool itself.
var ownStack = regexp.MustCompile(`cmd/party/\w+\.go:\d+`)

// start starts party. Whatever happens, it has ended when the test has.
func (r setup) start(t testing.TB, args ...string) *tool {
	t.Helper()
	if r.dir == "" {
		r.dir = t.TempDir()
	}
	p := &tool{t: t, dir: r.dir, out: newOutput(), err: newOutput(), exited: make(chan struct{})}
	p.cmd = exec.Command(partyBinary(t), args...)
	p.cmd.Dir = r.dir
	p.cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), r.env...) // by itself that is a second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                        // a terminal's Ctrl-C goes to the whole group
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		var read sync.WaitGroup
		read.Go(func() { p.out.read(stdout) })
		read.Go(func() { p.err.read(stderr) })
		read.Wait()
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		select {
		case <-p.exited:
		default:
			p.interrupt()
			select {
			case <-p.exited:
				if code := p.cmd.ProcessState.ExitCode(); code != 0 {
					t.Errorf("party %s ended with %s after an interrupt", strings.Join(args, " "), p.cmd.ProcessState)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("party %s ignores an interrupt", strings.Join(args, " "))
				_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
				<-p.exited
			}
		}
		if said := p.err.String(); strings.Contains(said, "DATA RACE") || ownStack.MatchString(said) {
			t.Error("party has a data race or crashed")
		}
		if t.Failed() {
			t.Logf("party %s, stdout:\n%s\nstderr:\n%s", strings.Join(args, " "), p.out.end(), p.err.end())
		}
	})
	return p
}

// dev starts `party dev --ui json --port 0` and waits until it serves.
func (r setup) dev(t testing.TB, args ...string) *tool {
	t.Helper()
	p := r.start(t, append([]string{"dev", "--ui", "json", "--port", "0"}, args...)...)
	p.ready()
	return p
}

// fails runs party to its end and returns what it says on stderr.
func (r setup) fails(t testing.TB, code int, args ...string) string {
	t.Helper()
	p := r.start(t, args...)
	if got := p.wait(); got != code {
		t.Errorf("party %s: exit status %d, want %d", strings.Join(args, " "), got, code)
	}
	said := p.err.String()
	if !strings.HasPrefix(said, "party: ") {
		t.Errorf("party %s: stderr does not begin with the program's name: %q", strings.Join(args, " "), said)
	}
	if strings.Contains(p.out.String()+said, "goroutine ") {
		t.Errorf("party %s: a stack in the output", strings.Join(args, " "))
	}
	p.noBuilds()
	return said
}

// in is p for a subtest.
func (p *tool) in(t testing.TB) *tool {
	q := *p
	q.t = t
	return &q
}

// interrupt is Ctrl-C.
func (p *tool) interrupt() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT) }

// wait waits for the end and returns the exit status; -1: by a signal.
func (p *tool) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatal("party does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// builds lists what was built in the directory where party runs, by it and by
// others.
func (p *tool) builds() []string {
	found, _ := filepath.Glob(filepath.Join(p.dir, ".party", "build-*"))
	return found
}

// built is where this party builds.
func (p *tool) built() string {
	return filepath.Join(p.dir, ".party", fmt.Sprintf("build-%d", p.cmd.Process.Pid))
}

func (p *tool) noBuilds() {
	p.t.Helper()
	if slices.Contains(p.builds(), p.built()) {
		p.t.Errorf("party left %s behind", p.built())
	}
}

// ready waits until the server serves.
func (p *tool) ready() event {
	p.t.Helper()
	return p.event("ready event", 1, func(e event) bool { return e.Type == "ready" })
}

// url is the server's URL with path behind it.
func (p *tool) url(path string) string { p.t.Helper(); return p.ready().URL + path }

// guest is the pid of the n-th process of user code, from 1 on.
func (p *tool) guest(n int) int {
	p.t.Helper()
	return p.event("generation.started event", n, func(e event) bool { return e.Type == "generation.started" }).PID
}

// get makes a request and returns status and body.
func (p *tool) get(path string) (int, string) {
	p.t.Helper()
	client := http.Client{Timeout: patience}
	resp, err := client.Get(p.url(path))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// client is a WebSocket to a room.
type client struct {
	t testing.TB
	*websocket.Conn
}

// connect opens a WebSocket and reads the test server's hello.
func (p *tool) connect(room, query string) client {
	p.t.Helper()
	c := p.dial("ws" + strings.TrimPrefix(p.url("/parties/"+room+"?"+query), "http"))
	if hello := c.recv(); !strings.Contains(hello, `"type":"hello"`) {
		p.t.Fatalf("the first message is %q", hello)
	}
	return c
}

func (p *tool) dial(url string) client {
	p.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		p.t.Fatalf("%s: %v", url, err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return client{p.t, conn}
}

func (c client) send(text string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) recv() string {
	c.t.Helper()
	_, b, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// ended waits until a process is no more. A zombie that nobody reaps is none.
func ended(t testing.TB, pid int) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for runs(pid) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
		<-tick.C
	}
}

func runs(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	if runtime.GOOS != "linux" {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(state, []byte("Z"))
}
