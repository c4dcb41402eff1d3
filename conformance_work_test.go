//go:build !partyplugin && !js

package party

import (
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

func TestBackgroundWorkDoesNotHoldTheRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("background both wait gate; echo over")
		c.want("waiting")
		if got := c.ask("echo meanwhile"); got != "meanwhile" {
			t.Errorf("got %q", got)
		}
		h.open("gate")
		c.want("over")
	})
}

func TestBackgroundWorkThatFailsIsLogged(t *testing.T) {
	for verb, want := range map[string]string{
		"fail boom": "boom", "panic boom": "panic: boom", "goexit": "WaitUntil ended its goroutine (runtime.Goexit)",
	} {
		t.Run(verb, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial("lab/a")
				c.do("background " + verb)
				if e := await(h, in[*inspect.Exception]("lab/a")); e.Hook != "WaitUntil" || e.Error != want {
					t.Errorf("%+v", e)
				}
				if got := c.ask("echo alive"); got != "alive" {
					t.Errorf("got %q", got)
				}
				h.eventuallyAsleep("lab/a", 0)
			})
		})
	}
}

func TestDoRunsAsATurnAndReturnsItsError(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for verb, want := range map[string]string{
			"do echo here":   "here ok",
			"do fail boom":   "error []: boom",
			"do panic boom":  "error []: panic: boom",
			"do goexit":      "error []: the function of Do ended its goroutine (runtime.Goexit)",
			"do do echo x":   "error [in turn]: in a turn: Do of lab/a is running",
			"do do do echo ": "error [in turn]: in a turn: Do of lab/a is running",
		} {
			c.do("background " + verb)
			got := c.recv()
			if got == "here" {
				got += " " + c.recv()
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s: %q, want %q", verb, got, want)
			}
			if strings.HasPrefix(want, "error [in turn]") {
				c.want("ok") // of the outer Do
			}
		}
		h.logged("lab/a", "OnException panic: boom", 1) // a panic is the turn's failure too
		if n := len(events(h, func(e *inspect.Exception) bool { return e.Error == "boom" })); n != 0 {
			t.Errorf("%d errors of Do, which belong to its caller, were logged", n)
		}
	})
}

func TestDoFromWithinATurnIsAnError(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a", query("connect", "do echo x"))
		contains(t, c.recv(), "error [in turn]: in a turn: OnConnect of lab/a is running; call the function directly, or Do from the goroutine of a WaitUntil")
		contains(t, c.ask("do echo x"), "OnMessage of lab/a is running")
		contains(t, h.verb("lab/a", "do echo x"), "OnRequest of lab/a is running")
		c.do("after 0s do echo x")
		contains(t, c.recv(), "AfterFunc of lab/a is running")
	})
}

func TestDoWaitsForItsTurn(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("background then start do echo done")
		c.want("waiting")
		c.send("wait gate")
		c.want("waiting")
		h.open("start")
		h.keptBy("lab/a", "2 turns running or waiting")
		c.none()
		h.open("gate")
		c.want("done", "ok")
	})
}

func TestDoWhoseContextEndsBeforeItsTurnNeverRuns(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("do-cancelled gate")
		c.want("waiting")
		c.send("wait turn")
		c.want("waiting")
		h.open("gate") // Do is called while the turn runs, and its context ends
		h.verb("awake/opener", "wait cancelled do")
		h.open("turn")
		c.want("error [cancelled]: context canceled")
		if got := c.ask("echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
		if lines := h.logs("lab/a", "it ran"); lines != nil {
			t.Error("the function ran nonetheless")
		}
	})
}

func TestAfterFuncRunsAsATurnWhenItIsDue(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("after 3s now")
		c.do("after 1s both now; echo first")
		h.advance(time.Second - time.Millisecond)
		c.none()
		h.advance(time.Millisecond)
		c.want("1s", "first")
		h.turns("lab/a", "timer", 1)
		h.advance(2 * time.Second)
		c.want("3s")
		c.do("after 0s echo at once")
		c.want("at once")
		c.do("after -1s echo the past")
		c.want("the past")
	})
}

func TestATimerThatFailsIsTheHooksError(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for _, verb := range []string{"fail boom", "goexit"} {
			c.do("after 0s " + verb)
		}
		h.turns("lab/a", "timer", 2)
		failed := awaitN(h, 2, in[*inspect.Exception]("lab/a"))
		if failed[0].Hook != "AfterFunc" || failed[0].Error != "panic: boom" {
			t.Errorf("%+v", failed[0])
		}
		contains(t, failed[1].Error, "AfterFunc ended its goroutine")
		h.logged("lab/a", "OnException panic: boom", 1)
		if got := c.ask("echo alive"); got != "alive" {
			t.Errorf("got %q", got)
		}
	})
}

func TestStopKeepsATimerFromRunningOnce(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("after 1s echo never")
		for _, want := range []string{"true", "false"} {
			if got := c.ask("stop"); got != want {
				t.Errorf("Stop: %s, want %s", got, want)
			}
		}
		c.do("after 1s echo ran")
		h.advance(time.Second)
		c.want("ran")
		if got := c.ask("stop"); got != "false" {
			t.Errorf("Stop after it ran: %s", got)
		}
		// A timer that is due while a turn runs can still be stopped by it.
		c.do("after 1s echo never")
		c.send("then gate stop")
		c.want("waiting")
		h.advance(time.Second)
		h.keptBy("lab/a", "2 turns running or waiting")
		h.open("gate")
		c.want("true")
		c.settle()
		h.turns("lab/a", "timer", 2)
		c.none()
		h.advance(idleSpan)
		h.asleepAt("lab/a", 1, 2*time.Second+idleSpan)
	})
}

func TestSleepIsOfTheRoomsClock(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("background both sleep 90m; now")
		c.want("sleeping")
		h.keptBy("lab/a", "1 timer")
		h.advance(90*time.Minute - 1)
		c.none()
		h.advance(1)
		c.want("ok", "1h30m0s")

		c.send("both sleep 1h; now") // in a turn it holds the room
		c.want("sleeping")
		h.keptBy("lab/a", "1 timer")
		c.send("echo behind")
		c.none()
		h.advance(time.Hour)
		c.want("ok", "2h30m0s", "behind")

		for _, span := range []string{"0s", "-1h"} {
			c.do("sleep " + span)
			c.want("sleeping", "ok")
		}
	})
}

func TestSleepEndsWithItsContextAndItsInstance(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("sleep-cancelled")
		c.want("error [cancelled]: context canceled")
		h.advance(idleSpan)
		h.asleepAt("lab/a", 1, idleSpan) // no timer is left
		c.do("background both sleep 1h; open woken")
		c.want("sleeping")
		if err := h.Evict(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		h.verb("awake/opener", "wait woken")
	})
}

func TestNowIsTheRoomsClockEverywhere(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a", query("connect", "now"), query("onclose", "now"))
		c.want("0s")
		h.advance(5 * time.Second)
		if got := c.ask("now"); got != "5s" {
			t.Errorf("in a message: %s", got)
		}
		c.do("background then gate now")
		c.want("waiting")
		h.advance(24 * time.Hour)
		h.open("gate")
		c.want("24h0m5s")
		if got := h.verb("lab/new", "now"); got != "24h0m5s" {
			t.Errorf("in a request: %s", got)
		}
		c.close(1000, "")
		h.logged("lab/a", "OnClose "+c.id+": 24h0m5s", 1)
	})
}

func TestAWallClockRunsByItselfAndCanBeAdvanced(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("after 1ms echo by itself")
		c.want("by itself")
		c.do("after 1h echo advanced")
		h.advance(time.Hour)
		c.want("advanced")
		c.do("echo x")
		c.want("x")
		h.advance(time.Hour)
		await(h, in[*inspect.RoomHibernated]("lab/a"))
	}, func(s *setup) { s.wall = true })
}

func TestARoomKnowsItsNameClassAndID(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for path, a := range map[string]wire.Address{
			"lab/some%20room": {Binding: "Lab", Name: "some%20room"},
			"awake/x":         {Binding: "Awake", Name: "x"},
		} {
			if got, want := h.verb(path, "room"), a.Binding+" "+a.Name+" "+a.ID(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if a, b := h.verb("lab/x", "room"), h.verb("awake/x", "room"); a[len(a)-64:] == b[len(b)-64:] {
			t.Error("two classes share an id")
		}
	})
}

func TestEnvIsWhatTheEmulatorWasGiven(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		if got := h.verb("lab/a", "env COLOR"); got != "teal" {
			t.Errorf("got %q", got)
		}
		if got := h.verb("lab/a", "env HOME"); got != "" {
			t.Errorf("the process's own environment shows: %q", got)
		}
	}, func(s *setup) { s.config.Env = map[string]string{"COLOR": "teal"} })
}

func TestLogLinesBearTheirRoomLevelAndAttributes(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("lab/a", "log-richly")
		for level, text := range map[string]string{
			"DEBUG": "plain", "WARN": `with a=1 g.b="two words"`, "ERROR": "text count=3",
		} {
			await(h, func(e *inspect.Log) bool { return e.Room == "lab/a" && e.Level == level && e.Text == text })
		}
	})
}
