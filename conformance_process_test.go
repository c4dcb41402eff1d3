//go:build !partyplugin && !js

package party

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/process"
	"github.com/goparty/party/emulator/wire"
)

// badGuests are programs that break the protocol, by the name of their app. It
// is filled by init because some of them are good guests at second sight.
var badGuests map[string]func()

func init() {
	badGuests = map[string]func(){
		"silent":  func() { _ = guestSocket(); select {} },
		"exits":   func() { fmt.Println("out of luck"); os.Exit(7) },
		"returns": func() {},
		"another version": func() {
			conn := guestSocket()
			_, _ = conn.Write(wire.Append(nil, &wire.Hello{Version: wire.Version + 1, Module: "v9.9.9"}))
			awaitEnd(conn)
		},
		"no hello": func() {
			conn := guestSocket()
			_, _ = conn.Write(wire.Append(nil, &wire.Pong{}))
			awaitEnd(conn)
		},
		"wrong hello": func() {
			conn := guestSocket()
			_, _ = conn.Write(wire.Append(nil, &wire.Hello{Version: wire.Version, Classes: []wire.Class{{Binding: "Lab"}, {Binding: "LAB"}}}))
			awaitEnd(conn)
		},
		"wrong app": func() {
			remote, err := guest.Attach()
			if err == nil {
				_, err = App{}.Program()
			}
			remote.Refuse(err)
		},
		// The first process says a good hello, and then what brokenFrames has.
		"malformed": func() {
			if !first() {
				guestMain("lab")
			}
			p, err := labApp().Program()
			if err != nil {
				panic(err)
			}
			conn := guestSocket()
			_, _ = conn.Write(wire.Append(nil, guest.New(p).Hello()))
			_, _ = conn.Write(brokenFrames[os.Getenv(detailVariable)])
			awaitEnd(conn)
		},
		// It does not start while a file is there.
		"flaky": func() {
			if _, err := os.Stat(os.Getenv(fileVariable)); err == nil {
				fmt.Fprintln(os.Stderr, "no disk, no service")
				os.Exit(1)
			}
			guestMain("lab")
		},
		// It tells whoever waits that it lives, and never gets to party.Main.
		"stuck": func() { beacon(); select {} },
		"lit":   func() { beacon(); guestMain("lab") },
	}
}

// The environment of such guests.
const (
	detailVariable = "PARTY_TEST_DETAIL"
	fileVariable   = "PARTY_TEST_FILE"
)

var brokenFrames = map[string][]byte{
	"a frame too long":       {0xff, 0xff, 0xff, 0x7f, 1},
	"an unknown kind":        {1, 0, 0, 0, 0xee},
	"an empty frame":         {0, 0, 0, 0},
	"a message cut short":    {2, 0, 0, 0, 33, 1},
	"a message with a tail":  {3, 0, 0, 0, 51, 1, 2},
	"a list that is a lie":   {6, 0, 0, 0, 56, 1, 1, 0xff, 0xff, 0x7f},
	"a number without an en": {12, 0, 0, 0, 33, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
}

func guestSocket() net.Conn {
	f := os.NewFile(3, "emulator")
	conn, err := net.FileConn(f)
	if err != nil {
		panic(err)
	}
	_ = f.Close()
	return conn
}

func awaitEnd(conn net.Conn) {
	b := make([]byte, 1<<10)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// first reports whether this is the first process that asks.
func first() bool {
	f, err := os.OpenFile(os.Getenv(fileVariable), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// load starts a guest that is expected to fail.
func load(t *testing.T, app string, limit time.Duration, env ...string) error {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(t.Context(), process.Command{Path: self, Env: append(env, appVariable+"="+app, raceExit), HelloLimit: limit})
	if err == nil {
		p.Run(&wire.Welcome{}, func() (func(wire.Message) bool, func() bool) {
			return func(wire.Message) bool { return true }, func() bool { return true }
		})
		p.Close()
	}
	return err
}

func TestAProgramThatDoesNotServeIsExplained(t *testing.T) {
	for app, parts := range map[string][]string{
		"another version": {fmt.Sprintf("speaks protocol %d and this tool protocol %d", wire.Version+1, wire.Version), "go get github.com/goparty/party@latest"},
		"no hello":        {"the program's first message is a *wire.Pong"},
		"exits":           {"the program ended (exit status 7) before it served:\nout of luck"},
		"returns":         {"the program ended (exit status 0) without calling party.Main"},
		"wrong app":       {"the program ended (exit status 1) before it served:\nthe App has no Servers"},
		"silent":          {"the program did not call party.Main within 200ms"},
	} {
		t.Run(app, func(t *testing.T) {
			limit := time.Duration(0)
			if app == "silent" {
				limit = 200 * time.Millisecond
			}
			err := load(t, app, limit)
			if err == nil {
				t.Fatal("it started")
			}
			contains(t, err.Error(), parts...)
		})
	}
	t.Run("no such file", func(t *testing.T) {
		if _, err := process.Start(t.Context(), process.Command{Path: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "starting the server's process: ") {
			t.Errorf("%v", err)
		}
	})
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := process.Start(ctx, process.Command{Path: self, Env: []string{appVariable + "=silent"}}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestAHelloWhoseClassesCannotBeIsRefused(t *testing.T) {
	e := emulator.New(emulator.Config{})
	defer func() { _ = e.Close(context.Background()) }()
	err := e.Run(t.Context(), selfLoader{"wrong hello", nil, func(string) {}})
	if err == nil || !strings.Contains(err.Error(), `bindings "Lab" and "LAB" both answer at /parties/lab`) {
		t.Errorf("%v", err)
	}
}

func TestAGuestThatSpeaksNonsenseIsReplaced(t *testing.T) {
	for name := range brokenFrames {
		t.Run(name, func(t *testing.T) {
			needsProcess(t, func(t *testing.T, h *harness) {
				contains(t, await[*inspect.Crash](h, nil).Reason, "it sent what is not the protocol")
				awaitN[*inspect.GenerationStarted](h, 2, nil)
				if got := h.verb("lab/a", "echo served"); got != "served" {
					t.Errorf("got %q", got)
				}
			}, func(s *setup) {
				s.app = "malformed"
				s.env = []string{detailVariable + "=" + name, fileVariable + "=" + filepath.Join(t.TempDir(), "was here")}
			})
		})
	}
}

func TestACrashKeepsConnectionsThatCanHibernateAndCutsTheOthers(t *testing.T) {
	for verb, parts := range map[string][]string{
		"exit 3":                         {"exit status 3"},
		"crash on a goroutine":           {"exit status 2"},
		"both echo last words; exit 0":   {"exit status 0"},
		"background exit 4":              {"exit status 4"},
		"background crash in the back":   {"exit status 2"},
		"after 0s both echo x; exit 5":   {"exit status 5"},
		"background do both nop; exit 6": {"exit status 6"},
	} {
		t.Run(verb, func(t *testing.T) {
			needsProcess(t, func(t *testing.T, h *harness) {
				c, stays, cut, bystander := h.dial("lab/a"), h.dial("lab/a"), h.dial("awake/b"), h.dial("lab/b")
				stays.do(`set "kept"`)
				stays.want("ok")
				cut.ask("life")
				c.send(verb)
				e := await[*inspect.Crash](h, nil)
				contains(t, e.Reason, parts...)
				if strings.Contains(verb, "crash") {
					contains(t, e.Output, "panic: ", "goroutine ")
				}
				if e.Cut != 1 || !e.Restarts {
					t.Errorf("%+v", e)
				}
				cut.closed(1006, "")
				stays.send("both state; started a") // the new process counts anew
				got := stays.recv()
				for got == "x" { // what was on its way may have arrived
					got = stays.recv()
				}
				if got != `"kept"` {
					t.Errorf("got %q", got)
				}
				stays.want("1")
				bystander.send("list")
				bystander.want("[" + bystander.id + "]")
				c.send("echo still here")
				for c.recv() != "still here" { // this may have gotten the same
				}
				if lines := h.logs("lab/a", "OnClose"); lines != nil {
					t.Errorf("%q", lines)
				}
				started := awaitN[*inspect.GenerationStarted](h, 2, nil)
				if started[0].Generation != started[1].Generation || started[0].PID == started[1].PID {
					t.Errorf("%+v, then %+v", started[0], started[1])
				}
			})
		})
	}
}

func TestACrashLosesTheTurnThatRanAndDeliversTheQueuedOnesOnce(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		stuck, behind, opener := h.dial("lab/a"), h.dial("lab/a"), h.dial("lab/opener")
		stuck.send("then gate exit 3")
		stuck.want("waiting")
		for i := range 5 {
			behind.send(fmt.Sprintf("echo %d", i))
		}
		behind.barrier()
		answer := make(chan response, 1)
		go func() {
			resp, err := h.do(h.request(http.MethodGet, "/parties/lab/a/?do=echo+answer", nil))
			if err != nil {
				resp.body = err.Error()
			}
			answer <- resp
		}()
		h.keptBy("lab/a", "7 turns running or waiting")
		opener.send("open gate")
		behind.want("0", "1", "2", "3", "4")
		(<-answer).want(t, 200, "answer")
		lost := await(h, in[*inspect.TurnLost]("lab/a"))
		if lost.Kind != "message" || lost.Connection != stuck.id || !strings.Contains(lost.Reason, "exit status 3") {
			t.Errorf("%+v", lost)
		}
		behind.settle()
		behind.none()
		if n := len(events[*inspect.Crash](h, nil)); n != 1 {
			t.Errorf("%d crashes", n)
		}
	})
}

func TestAMessageThatCrashesTheProcessIsNotTriedForEver(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		c, opener := h.dial("lab/a"), h.dial("lab/opener")
		c.send("wait gate")
		c.want("waiting")
		for range 10 { // these go to the guest together
			c.send("nop")
		}
		c.send("exit 3")
		c.send("echo behind")
		c.barrier()
		opener.send("open gate")
		c.want("behind")
		if n := len(events[*inspect.Crash](h, nil)); n > 2 {
			t.Errorf("%d crashes", n)
		}
	})
}

func TestRequestsThatACrashCutsAreToldSo(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		h.get("/parties/lab/a/?do=exit+3").want(t, 503, "lab/a was lost with the server's process (its process ended: exit status 3) while it handled this")
		_, resp, err := h.connect("lab/a", query("connect", "exit 3"))
		if err == nil || resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%v, %v", resp, err)
		}
		awaitN[*inspect.GenerationStarted](h, 3, nil)
		h.verb("awake/opener", "plan a 1 exit 3")
		h.get("/parties/lab/a/?do=echo+x").want(t, 503, "the server's process ended while lab/a was starting")
		h.get("/parties/lab/a/?do=echo+x").want(t, 200, "x")
	})
}

func TestARequestOfAHandlerThatACrashCutsIsToldSo(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		h.get("/parties/lab/a/?do=exit+3").want(t, 503, "the server's process ended while it handled this")
		h.get("/parties/lab/a/?do=echo+x").want(t, 200, "x")
	}, routed)
}

func TestARoomThatSleepsDoesNotNoticeACrash(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		h.turns("lab/a", "connect", 1)
		h.advance(idleSpan)
		h.asleepAt("lab/a", 1, idleSpan)
		if err := h.Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e := await[*inspect.Crash](h, nil); e.Turns != 0 || e.Cut != 0 || !e.Forced {
			t.Errorf("%+v", e)
		}
		if got := c.ask("echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
		if n := len(events(h, in[*inspect.TurnLost]("lab/a"))); n > 0 {
			t.Errorf("%d turns were lost", n)
		}
	})
}

// brokenCode runs a row whose code has crashed and does not start any more,
// until file is removed. c is a client from before.
func brokenCode(t *testing.T, row func(t *testing.T, h *harness, c *client, file string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "broken")
	needsProcess(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := h.Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		row(t, h, c, file)
	}, func(s *setup) {
		s.app = "flaky"
		s.env = []string{fileVariable + "=" + file}
	})
}

func TestCodeThatDoesNotStartAgainIsTriedWithGrowingDelays(t *testing.T) {
	brokenCode(t, func(t *testing.T, h *harness, c *client, file string) {
		failed := awaitN[*inspect.GenerationFailed](h, 3, nil)
		for i, want := range []time.Duration{100, 200, 400} {
			contains(t, failed[i].Reason, "no disk, no service")
			if failed[i].Retry != want*time.Millisecond {
				t.Errorf("failure %d is tried again after %s, want %dms", i, failed[i].Retry, want)
			}
		}
		if err := h.Crash(t.Context()); err == nil || !strings.Contains(err.Error(), "no code is running") {
			t.Errorf("%v", err)
		}
		c.send("echo patience")
		c.barrier() // it waits, and the emulator serves meanwhile
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		c.want("patience")
	})
}

func TestACrashOfCodeInThisProcessIsRefused(t *testing.T) {
	h := newHarness(t, false, nil)
	if err := h.Crash(t.Context()); err == nil || !strings.Contains(err.Error(), "the code runs in this very process, which a crash would end") {
		t.Errorf("%v", err)
	}
	if got := h.verb("lab/a", "echo x"); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestWhatAProcessWritesIsSeenLineByLine(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		h.verb("lab/a", "print one line")
		h.verb("lab/a", "print "+string(repeat(20000))) // in pieces, and no worse
		h.eventually(func() bool {
			out := h.guestOutput()
			return strings.Contains(out, "one line\n") && strings.Count(out, "x") >= 20000
		})
	})
}

func TestCloseEndsAProcessWhoseHooksHang(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.send("wait for ever")
		c.want("waiting")
		h.verb("lab/b", "background wait for ever")
		// The harness closes the emulator and fails where something is left.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := h.Close(ctx); err != nil || ctx.Err() != nil {
			t.Errorf("%v, %v", err, ctx.Err())
		}
		c.closed(1006, "")
	})
}
