//go:build unix

package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/goparty/party/emulator/inspect"
)

// buggyVariable lets the test's program be a dashboard with a bug.
const buggyVariable = "PARTY_TEST_BUG"

// buggy is an emulator that lets the dashboard panic at a place, once it shows
// something.
type buggy struct {
	*fake
	at    string
	looks atomic.Int32
}

func (b *buggy) Snapshot(ctx context.Context) (*inspect.Snapshot, error) {
	switch {
	case b.looks.Add(1) < 3:
		return b.fake.Snapshot(ctx)
	case b.at == "a command":
		panic("a bug in a command")
	}
	return nil, nil // which nobody expects
}

func init() {
	at := os.Getenv(buggyVariable)
	if at == "" {
		return
	}
	err := Run(context.Background(), Options{Emulator: &buggy{fake: sample(), at: at}, Name: "bug"})
	fmt.Println("it ended:", err)
	if !errors.Is(err, ErrPanic) {
		os.Exit(3)
	}
	os.Exit(0)
}

func TestABugGivesTheTerminalBackAndShowsWhere(t *testing.T) {
	for at, where := range map[string]string{"a command": "a bug in a command", "Update": "invalid memory address"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			master, slave, err := pty.Open()
			if err != nil {
				t.Skipf("there are no pseudo-terminals here: %v", err)
			}
			if err := pty.Setsize(master, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
				t.Fatal(err)
			}
			before, err := term.GetState(int(master.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), buggyVariable+"="+at, "TERM=xterm-256color")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var alt, hidden bool
			screen := vt.NewEmulator(100, 30)
			screen.SetCallbacks(vt.Callbacks{AltScreen: func(on bool) { alt = on }, CursorVisibility: func(on bool) { hidden = !on }})
			var shown strings.Builder
			var io_ sync.WaitGroup
			io_.Go(func() { _, _ = io.Copy(io.MultiWriter(screen, &shown), master) })
			io_.Go(func() { _, _ = io.Copy(master, screen) }) // the terminal's answers
			ended := cmd.Wait()
			after, err := term.GetState(int(master.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			_ = slave.Close()
			_ = screen.InputPipe().(io.Closer).Close()
			io_.Wait()
			_ = master.Close()
			if ended != nil {
				t.Errorf("%v:\n%s", ended, ansi.Strip(shown.String()))
			}
			if alt || hidden || *after != *before {
				t.Errorf("the terminal is not as it was: another screen %v, cursor hidden %v, settings differ %v", alt, hidden, *after != *before)
			}
			i := strings.LastIndex(shown.String(), ansi.ResetModeAltScreenSaveCursor)
			if i < 0 {
				t.Fatalf("nothing was shown: %q", shown.String())
			}
			last := ansi.Strip(shown.String()[i:])
			if strings.Contains(last, "Caught panic") {
				t.Errorf("it took the library to catch it:\n%s", last)
			}
			for _, want := range []string{"the dashboard had a bug", where, "tui.(*", "it ended: the dashboard had a bug; its stack is above"} {
				if !strings.Contains(last, want) {
					t.Errorf("it does not say %q on the person's own screen:\n%s", want, last)
				}
			}
		})
	}
}
