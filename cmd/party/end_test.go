//go:build unix

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// spawn lets the server start a process of its own.
func (p *tool) spawn() (pid int) {
	p.t.Helper()
	_, body := p.get("/parties/test/a?spawn")
	pid, err := strconv.Atoi(body)
	if err != nil {
		p.t.Fatalf("%v: %s", err, body)
	}
	p.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

// The tests of how it ends measure time: they do not run beside others.

func TestDevInterrupt(t *testing.T) {
	for name, prepare := range map[string]func(*tool){
		"idle":        func(*tool) {},
		"connections": func(p *tool) { p.connect("test/a", ""); p.connect("my-server/a", "") },
		"hanging hook": func(p *tool) {
			c := p.connect("my-server/a", "")
			c.send("hang")
			c.recv()
		},
		"stopped": func(p *tool) { _ = syscall.Kill(p.guest(1), syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			p := setup{}.dev(t, testServer(t))
			child := p.spawn()
			prepare(p)
			if len(p.builds()) != 1 {
				t.Errorf("builds while it runs: %v", p.builds())
			}
			began := time.Now()
			p.interrupt()
			code := p.wait()
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %s", took)
			}
			if code != 0 || p.err.String() != "" {
				t.Errorf("exit status %d, stderr %q", code, p.err)
			}
			ended(t, p.guest(1))
			ended(t, child)
			p.noBuilds()
		})
	}
}

func TestDevTerminate(t *testing.T) {
	p := setup{}.dev(t, testServer(t))
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	ended(t, p.guest(1))
	p.noBuilds()
}

// A compiler that never ends is as slow as a build can be.
func TestDevInterruptWhileBuilding(t *testing.T) {
	for name, interrupt := range map[string]func(*tool){
		"terminal": (*tool).interrupt,
		"alone":    func(p *tool) { _ = p.cmd.Process.Signal(os.Interrupt) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			compiler, pidFile := filepath.Join(dir, "compiler"), filepath.Join(dir, "pid")
			if err := syscall.Mkfifo(pidFile, 0o600); err != nil {
				t.Fatal(err)
			}
			script := "#!/bin/sh\ncase \"$*\" in *-V=full*) exec \"$@\" ;; esac\necho $$ >" + pidFile + "\nexec sleep 60\n"
			if err := os.WriteFile(compiler, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			env := []string{"GOFLAGS=-toolexec=" + compiler, "GOTMPDIR=" + dir} // an interrupted go command leaves files behind
			p := setup{env: env}.start(t, "dev", "--ui", "plain", "--port", "0", testServer(t))
			b, err := os.ReadFile(pidFile) // waits for the script
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.Fields(string(b))[0])
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
			began := time.Now()
			interrupt(p)
			if code := p.wait(); code != 0 || p.err.String() != "" {
				t.Errorf("exit status %d, stderr %q", code, p.err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %s", took)
			}
			p.noBuilds()
			if name == "terminal" {
				ended(t, pid)
			}
		})
	}
}

func TestDevSecondInterruptEndsItAtOnce(t *testing.T) {
	p := setup{}.dev(t, testServer(t))
	c := p.connect("my-server/a", "")
	c.send("hang") // the first interrupt gives it a moment to finish
	c.recv()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for over := false; !over; {
		p.interrupt()
		select {
		case <-p.exited:
			over = true
		case <-tick.C:
		}
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended by itself (%s), not at the second interrupt", p.cmd.ProcessState)
	}
	ended(t, p.guest(1))
}

func TestDevKilledLeavesNoProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, prepare := range map[string]func(*tool){
		"idle": func(*tool) {},
		"hanging hook": func(p *tool) {
			c := p.connect("test/a", "")
			c.send("hang")
			c.recv()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := setup{dir: dir}.dev(t, testServer(t))
			prepare(p)
			pid := p.guest(1)
			if !runs(pid) {
				t.Fatal("no process runs")
			}
			if err := p.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			p.wait()
			ended(t, pid)
			if len(p.builds()) != 1 {
				t.Errorf("builds after the kill: %v", p.builds())
			}
		})
	}
	// The next one cleans up, and leaves alone what still runs.
	p := setup{dir: dir}.dev(t, testServer(t))
	q := setup{dir: dir}.dev(t, "--state", "another", testServer(t))
	if got := p.builds(); len(got) != 2 {
		t.Errorf("builds of two that run: %v", got)
	}
	q.interrupt()
	q.wait()
	if got := p.builds(); len(got) != 1 || got[0] != p.built() {
		t.Errorf("builds of the one that runs: %v", got)
	}
}

func TestDevExitInAHook(t *testing.T) {
	t.Parallel()
	p := setup{}.dev(t, testServer(t))
	sleepy, awake := p.connect("test/a", "_pk=sleepy"), p.connect("my-server/a", "_pk=awake")
	sleepy.send("count")
	if got := sleepy.recv(); got != "1" {
		t.Errorf("count %s", got)
	}
	first, child := p.guest(1), p.spawn()
	awake.send("exit")
	crash := p.event("crash", 1, func(e event) bool { return e.Type == "crash" })
	if !strings.Contains(crash.Reason, "exit status 3") || !strings.Contains(string(crash.Output), "last words") ||
		!crash.Restarts || crash.Turns != 1 || crash.Cut != 1 {
		t.Errorf("crash event: %+v, output %s", crash, crash.Output)
	}
	if second := p.guest(2); second == first || runs(first) {
		t.Errorf("process %d after process %d", second, first)
	}
	ended(t, child)
	if _, _, err := awake.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		t.Errorf("the connection that cannot hibernate: %v", err)
	}
	if status, body := p.get("/parties/test/a"); status != http.StatusOK {
		t.Errorf("the next request: %d %s", status, body)
	}
	sleepy.send("count")
	if got := sleepy.recv(); got != "1" {
		t.Errorf("count %s after the crash: the same instance?", got)
	}
	if lost := p.events(is("turn.lost", "my-server/a")); len(lost) != 1 {
		t.Errorf("turn.lost events: %+v", lost)
	}

	// A request whose turn ended the process is answered too.
	if status, body := p.get("/parties/test/b?exit"); status < 500 {
		t.Errorf("the request that ended the process: %d %s", status, body)
	}
	if status, body := p.get("/parties/test/b"); status != http.StatusOK {
		t.Errorf("the request after it: %d %s", status, body)
	}
	p.guest(3)
}
