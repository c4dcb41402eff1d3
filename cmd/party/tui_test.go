//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// controllingTerminal makes the child's standard input its terminal.
func controllingTerminal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Setctty: true}
}

// talker is a server with one of each that the dashboard shows.
const talker = `package main

import (
	"context"
	"fmt"
	"time"

	"github.com/goparty/party"
)

type Talker struct{ party.Server }

func (s *Talker) OnMessage(ctx context.Context, conn *party.Connection, msg party.Message) error {
	if msg.String() == "alarm" {
		fmt.Println("an alarm was asked for")
		return s.Storage().SetAlarm(s.Now().Add(time.Hour))
	}
	return conn.Send(party.Text("you said " + msg.String()))
}

func (s *Talker) OnAlarm(ctx context.Context, alarm party.AlarmInfo) error {
	s.Broadcast(party.Text("it rings"))
	return nil
}

var App = party.App{Servers: party.Servers{"talk": party.ClassOf[Talker](party.Options{Hibernate: true})}}

func main() { party.Main(App) }
`

func TestTheDashboard(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{"main.go": talker})
	c := inTerminal(t, dir, 110, 32, nil, "dev", "--port", "0", "--hibernate-after", "1h")
	c.sees("Ready. No room exists yet", "/parties/talk/lobby")

	// What happens becomes a script, too.
	c.press("w ctrl+u")
	c.types("session.txtar")
	c.press("enter")
	c.sees("recording into session.txtar", "● rec")

	// Two rooms, each made by a test client.
	c.press("n ctrl+u")
	c.types("talk/one")
	c.press("enter")
	c.sees("connected as dash1-", "talk/one", "● running")
	c.press("esc esc n ctrl+u")
	c.types("talk/two")
	c.press("enter")
	c.sees("connected as dash2-")
	c.types("hello")
	c.press("enter")
	c.sees("you said hello")

	// Filter, and enter a room.
	c.press("esc esc /")
	c.types("one")
	c.sees("▌ talk/one")
	c.lacks("talk/two")
	c.press("enter")
	c.sees("1 of 2 rooms with one")
	c.press("esc /")
	c.types("two")
	c.press("enter enter 6")
	c.sees("talk/two", "Clients 1")

	// It sleeps, and wakes when something is sent.
	c.press("h")
	c.sees("◐ hibernated", "talk/two sleeps")
	c.press("enter")
	c.types("are you there?")
	c.press("enter")
	c.sees("you said are you there?", "● running")

	// The alarm.
	c.types("alarm")
	c.press("enter esc 4")
	c.sees("fires", "in 1h 00m")
	c.press("f")
	c.sees("No alarm is set.", "was fired")
	c.press("6")
	c.sees("it rings")

	// A build that breaks, and is mended.
	write(t, dir, map[string]string{"main.go": strings.Replace(talker, "s.Broadcast", "s.Brodcast", 1)})
	c.sees("the build failed: 1 error", "generation 1 still serves", "main.go:22:4")
	if err := c.titled(func(title string) bool { return strings.Contains(title, "1 error") }); err != "" {
		t.Error(err)
	}
	write(t, dir, map[string]string{"main.go": strings.ReplaceAll(talker, "you said", "now you said")})
	c.sees("generation 2 serves")
	c.press("enter")
	c.types("what now?")
	c.press("enter")
	c.sees("now you said what now?", "generation 2")

	c.press("esc L")
	c.sees("an alarm was asked for")
	c.press("w")
	c.sees("wrote session.txtar")
	if script, err := os.ReadFile(filepath.Join(dir, "session.txtar")); err != nil || !strings.Contains(string(script), "send client_2 hello") {
		t.Errorf("%v\n%s", err, script)
	}
	if code := c.leave("q"); code != 0 {
		t.Errorf("exit status %d", code)
	}
	c.sawNothingOfStacks()
}

func TestAServerThatDoesNotCompileYet(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{"main.go": strings.Replace(talker, "s.Broadcast", "s.Brodcast", 1)})
	c := inTerminal(t, dir, 110, 32, nil, "dev", "--port", "0")
	c.sees("the build failed: 1 error", "main.go:22:4", "The server does not run yet")
	c.press("R")
	c.sees("main.go:22:4")
	write(t, dir, map[string]string{"main.go": talker})
	c.sees("Ready. No room exists yet", "generation 1")
	c.lacks("the build failed")
	if code := c.leave("q"); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func (c *terminal) titled(ok func(string) bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok(c.title) {
		return "the terminal's title is " + c.title
	}
	return ""
}

func (c *terminal) sawNothingOfStacks() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := string(c.output); strings.Contains(s, "goroutine ") || strings.Contains(s, "DATA RACE") {
		c.t.Errorf("party wrote a stack: %s", s)
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	p := setup{}.dev(t, testServer(t))
	c := inTerminal(t, p.dir, 100, 24, nil, "attach")
	c.sees("Ready. No room exists yet")
	p.connect("test/here", "")
	c.sees("test/here", "● running")
	c.press("e")
	c.sees("test/here was evicted", "◐ hibernated")
	if code := c.leave("q"); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if status, _ := p.get("/parties/test/here"); status != 200 {
		t.Errorf("after the dashboard left, the server answers %d", status)
	}

	// An emulator that goes away shows, and the dashboard can be left.
	c = inTerminal(t, p.dir, 100, 24, nil, "attach")
	c.sees("test/here")
	p.interrupt()
	p.wait()
	c.sees("no emulator")
	if code := c.leave("\x03"); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestAttachShowsABuildThatFailedBefore(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{"main.go": talker})
	p := setup{}.dev(t, dir)
	p.ready()
	write(t, dir, map[string]string{"main.go": strings.Replace(talker, "s.Broadcast", "s.Brodcast", 1)})
	p.event("failed build", 1, func(e event) bool { return e.Type == "build.failed" })
	c := inTerminal(t, p.dir, 110, 24, nil, "attach")
	c.sees("the build failed: 1 error", "main.go:22:4", "generation 1 still serves")
	if code := c.leave("q"); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestNoDashboardWhereItDoesNotFit(t *testing.T) {
	t.Parallel()
	fixture := filepath.Join(repo(t), "fixtures", "chat")
	for name, env := range map[string]string{"TERM": "TERM=dumb", "CI": "CI=true"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inTerminal(t, t.TempDir(), 100, 24, []string{env}, "dev", "--port", "0", fixture)
			c.sees("serving  http://127.0.0.1:")
			c.mu.Lock()
			if c.alt || strings.Contains(string(c.output), "\x1b") {
				t.Errorf("there are escape sequences: %q", c.output)
			}
			c.mu.Unlock()
			if code := c.leave("\x03"); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
	said := setup{}.fails(t, exitUsage, "dev", "--ui", "tui", fixture)
	if !strings.Contains(said, "not a terminal") {
		t.Errorf("it says %q", said)
	}
	said = setup{}.fails(t, exitFailed, "attach")
	if !strings.Contains(said, "this is not a terminal") {
		t.Errorf("it says %q", said)
	}
}

func TestASignalEndsTheDashboardInOrder(t *testing.T) {
	t.Parallel()
	p := setup{}.dev(t, testServer(t))
	for name, args := range map[string][]string{
		"dev":    {"dev", "--port", "0", "--socket", filepath.Join(t.TempDir(), "s"), "--state", t.TempDir(), testServer(t)},
		"attach": {"attach"},
	} {
		t.Run(name, func(t *testing.T) {
			c := inTerminal(t, p.dir, 100, 24, nil, args...)
			c.sees("Ready. No room exists yet")
			if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			c.ended()
			if code := c.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit status %d", code)
			}
			c.sawNothingOfStacks()
		})
	}
}

func TestStateInUseEndsTheDashboard(t *testing.T) {
	t.Parallel()
	p := setup{}.dev(t, testServer(t))
	c := inTerminal(t, p.dir, 300, 24, nil, "dev", "--port", "0", testServer(t))
	c.ended()
	c.untilAfterExit("the reason", func() bool { return strings.Contains(c.textLocked(), "is in use by process") })
	if code := c.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit status %d", code)
	}
}

func TestTheTerminalIsGivenBackWhateverEndsTheTool(t *testing.T) {
	t.Parallel()
	fixture := filepath.Join(repo(t), "fixtures", "chat")
	for name, tt := range map[string]struct {
		signal syscall.Signal
		says   string
	}{
		"killed":      {syscall.SIGKILL, "party was killed"},
		"with stacks": {syscall.SIGQUIT, "party had a bug; this is where:"}, // the runtime writes them as it does for a panic
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inTerminal(t, t.TempDir(), 100, 24, nil, "dev", "--port", "0", fixture)
			c.sees("Ready. No room exists yet")
			if err := c.cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			<-c.exited
			c.untilAfterExit(tt.says, func() bool { return strings.Contains(string(c.output), tt.says) })
			if tt.signal == syscall.SIGQUIT {
				c.untilAfterExit("the stacks", func() bool {
					_, after, _ := strings.Cut(string(c.output), tt.says)
					return strings.Contains(after, "goroutine ") && strings.Contains(after, "tui.Run")
				})
			}
			c.restored()
		})
	}
}
