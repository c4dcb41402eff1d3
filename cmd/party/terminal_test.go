//go:build unix

package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"
)

// terminal is a terminal with a program in it: what it would show to a person.
type terminal struct {
	t      testing.TB
	cmd    *exec.Cmd
	pty    *os.File
	before *term.State
	exited chan struct{}
	keys   int // pressed

	mu      sync.Mutex // guards the rest
	screen  *vt.Emulator
	modes   map[ansi.Mode]bool
	alt     bool
	cursor  bool
	title   string
	status  string // the message of the program's status
	output  []byte // the end of what was written
	changed chan struct{}
}

// inTerminal starts party in a terminal of w by h cells.
func inTerminal(t testing.TB, dir string, w, h int, env []string, args ...string) *terminal {
	t.Helper()
	c := &terminal{t: t, exited: make(chan struct{}), screen: vt.NewEmulator(w, h), modes: map[ansi.Mode]bool{}, cursor: true, changed: make(chan struct{})}
	c.screen.SetCallbacks(vt.Callbacks{
		AltScreen:        func(on bool) { c.alt = on },
		CursorVisibility: func(on bool) { c.cursor = on },
		Title:            func(s string) { c.title = s },
		EnableMode:       func(m ansi.Mode) { c.modes[m] = true },
		DisableMode:      func(m ansi.Mode) { delete(c.modes, m) },
	})
	c.screen.RegisterOscHandler(7501, func(data []byte) bool {
		c.status = ""
		for pair := range strings.SplitSeq(string(data), ":") {
			if msg, ok := strings.CutPrefix(pair, "msg="); ok {
				text, _ := base64.StdEncoding.DecodeString(msg)
				c.status = string(text)
			}
		}
		return true
	})
	c.cmd = exec.Command(partyBinary(t), args...)
	c.cmd.Dir = dir
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "CI" && name != "NO_COLOR" && name != "TERM" && name != "TMUX" && name != "COLORTERM" {
			c.cmd.Env = append(c.cmd.Env, v)
		}
	}
	c.cmd.Env = append(append(c.cmd.Env, "TERM=xterm-256color", "COLORTERM=truecolor", "PARTY_UI_KEYS=1", "GORACE=atexit_sleep_ms=0"), env...)
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	defer slave.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)}); err != nil { //nolint:gosec // small
		t.Fatal(err)
	}
	c.pty = master
	if c.before, err = term.GetState(int(master.Fd())); err != nil {
		t.Fatal(err)
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr = controllingTerminal()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(c.read)
	reading.Go(func() { _, _ = io.Copy(c.pty, c.screen) }) // the terminal's answers
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	t.Cleanup(func() {
		last := c.text()
		select {
		case <-c.exited:
		default:
			_ = c.cmd.Process.Kill()
			<-c.exited
		}
		_ = c.screen.InputPipe().(io.Closer).Close() // its Close may not be called while it is read
		_ = c.pty.Close()
		reading.Wait()
		if t.Failed() {
			t.Logf("the screen of party %s:\n%s", strings.Join(args, " "), last)
		}
	})
	return c
}

func (c *terminal) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.pty.Read(buf)
		c.mu.Lock()
		_, _ = c.screen.Write(buf[:n])
		c.output = append(c.output, buf[:n]...)
		if over := len(c.output) - 64<<10; over > 0 {
			c.output = c.output[over:]
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// text is what is on the screen.
func (c *terminal) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.textLocked()
}

func (c *terminal) textLocked() string {
	lines := strings.Split(ansi.Strip(c.screen.Render()), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// until waits until ok, which is called with the lock held, reports true.
func (c *terminal) until(what string, ok func(screen string) bool) {
	c.t.Helper()
	limit := time.After(patience)
	for {
		c.mu.Lock()
		done, changed := ok(c.textLocked()), c.changed
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-c.exited:
			c.t.Fatalf("party ended (%s) before %s", c.cmd.ProcessState, what)
		case <-limit:
			c.t.Fatalf("no %s within %s", what, patience)
		}
	}
}

// sees waits until all texts are on the screen.
func (c *terminal) sees(texts ...string) {
	c.t.Helper()
	c.until(fmt.Sprintf("%q on the screen", texts), func(screen string) bool {
		for _, s := range texts {
			if !strings.Contains(screen, s) {
				return false
			}
		}
		return true
	})
}

// lacks fails if a text is on the screen.
func (c *terminal) lacks(texts ...string) {
	c.t.Helper()
	screen := c.text()
	for _, s := range texts {
		if strings.Contains(screen, s) {
			c.t.Errorf("%q is on the screen", s)
		}
	}
}

// keyBytes are what terminals send for keys that are no text.
var keyBytes = map[string]string{
	"enter": "\r", "esc": "\x1b", "tab": "\t", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "ctrl+u": "\x15", "ctrl+c": "\x03",
}

// press presses keys, separated by spaces, one when the dashboard has come to
// rest after the other.
func (c *terminal) press(keys string) {
	c.t.Helper()
	for _, k := range strings.Fields(keys) {
		b, ok := keyBytes[k]
		if !ok {
			b = k
		}
		c.write(b, 1)
	}
}

// types types a text.
func (c *terminal) types(text string) { c.t.Helper(); c.write(text, len([]rune(text))) }

// write sends bytes that are n keys, and waits for the idle signal behind them:
// the program says how many keys it has handled once nothing goes on that they
// began.
func (c *terminal) write(b string, n int) {
	c.t.Helper()
	if _, err := io.WriteString(c.pty, b); err != nil {
		c.t.Fatal(err)
	}
	c.keys += n
	c.idle()
}

// idle waits for the idle signal.
func (c *terminal) idle() {
	c.t.Helper()
	want := fmt.Sprintf("keys %d", c.keys)
	c.until("idle signal", func(string) bool { return c.status == want })
}

// leave presses a key that ends the program, and returns its exit status. The
// terminal must be as it was.
func (c *terminal) leave(key string) int {
	c.t.Helper()
	if _, err := io.WriteString(c.pty, key); err != nil {
		c.t.Fatal(err)
	}
	c.ended()
	return c.cmd.ProcessState.ExitCode()
}

func (c *terminal) ended() {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		_ = c.cmd.Process.Signal(syscall.SIGQUIT) // shows what it waits for
		select {
		case <-c.exited:
		case <-time.After(patience):
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.t.Fatalf("party does not end:\n%s", ansi.Strip(string(c.output)))
	}
	c.restored()
}

// restored fails unless the terminal is as it was.
func (c *terminal) restored() {
	c.t.Helper()
	// What was written last may still be on its way.
	c.untilAfterExit("the terminal as it was", func() bool {
		return !c.alt && c.cursor && !c.modes[ansi.ModeBracketedPaste] && !c.modes[ansi.ModeMouseButtonEvent] && !c.modes[ansi.ModeMouseExtSgr]
	})
	after, err := term.GetState(int(c.pty.Fd()))
	if err != nil {
		c.t.Fatal(err)
	}
	if fmt.Sprint(*after) != fmt.Sprint(*c.before) {
		c.t.Errorf("the terminal's settings are %v, and were %v", *after, *c.before)
	}
}

func (c *terminal) untilAfterExit(what string, ok func() bool) {
	c.t.Helper()
	limit := time.After(patience)
	for {
		c.mu.Lock()
		done, changed := ok(), c.changed
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit:
			c.t.Fatalf("no %s", what)
		}
	}
}
