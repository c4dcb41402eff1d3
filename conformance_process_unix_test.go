//go:build unix && !partyplugin && !js

package party

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

// beaconVariable names the socket of whoever wants to know that a process
// lives.
const beaconVariable = "PARTY_TEST_BEACON"

// beacon connects to it and says who we are; the system ends the connection
// with the process.
func beacon() {
	conn, err := net.Dial("unix", os.Getenv(beaconVariable))
	if err != nil {
		panic(err)
	}
	lit = conn
	fmt.Fprintln(conn, os.Getpid())
}

var lit net.Conn // not to be collected

// emulatorMain is the main function of an emulator that is to be killed.
func emulatorMain() {
	e := emulator.New(emulator.Config{})
	err := e.Run(context.Background(), selfLoader{os.Getenv(detailVariable), nil, func(string) {}})
	fmt.Fprintln(os.Stderr, "the emulator goes on", err)
	select {}
}

func TestAGuestEndsWithAnEmulatorThatIsKilled(t *testing.T) {
	for _, app := range []string{"lit", "stuck"} {
		t.Run(app, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "party") // a short path, for the socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			ln, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), roleVariable+"=emulator", detailVariable+"="+app, beaconVariable+"="+ln.Addr().String(), "TMPDIR="+dir) // it is killed, and leaves its state there
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			r := bufio.NewReader(conn)
			pid, err := r.ReadString('\n')
			if err != nil || pid == fmt.Sprintln(cmd.Process.Pid) {
				t.Fatalf("guest %s, emulator %d, %v", pid, cmd.Process.Pid, err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("guest %s outlives its emulator: %v", strings.TrimSpace(pid), err)
			}
		})
	}
}

func TestAKilledProcessIsReplacedAndNoMessageIsLost(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for i := range 5 {
			started := awaitN[*inspect.GenerationStarted](h, i+1, nil)[i]
			if got := c.ask("echo x"); got != "x" {
				t.Errorf("got %q", got)
			}
			if err := syscall.Kill(started.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			contains(t, awaitN[*inspect.Crash](h, i+1, nil)[i].Reason, "signal: killed")
			c.send(fmt.Sprintf("echo %d", i))
			c.want(fmt.Sprint(i))
		}
	})
}

func TestAProcessThatIsStoppedIsSaidToBeAndGoesOn(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		pid := await[*inspect.GenerationStarted](h, nil).PID
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			c.send(fmt.Sprintf("echo %d", i))
		}
		c.barrier() // the emulator serves what it can
		h.get("/nowhere").want(t, 404, "Not Found")
		e := await[*inspect.GenerationFailed](h, nil)
		contains(t, e.Reason, fmt.Sprintf("process %d has not answered for", pid), "it may be stopped")
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			c.want(fmt.Sprint(i))
		}
		if n := len(events[*inspect.Crash](h, nil)); n > 0 {
			t.Error("it was replaced")
		}
	}, slow)
}
