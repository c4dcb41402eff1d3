//go:build !partyplugin && !js

package party

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/goparty/party/emulator/inspect"
)

func TestHibernateRefusesWithItsReasonsUnlessForced(t *testing.T) {
	for reason, row := range map[string]struct{ room, verb string }{
		"1 turn running or waiting": {"lab/a", "wait gate"},
		"1 WaitUntil":               {"lab/a", "background wait gate"},
		"1 timer":                   {"lab/a", "after 1h echo x"},
		"1 connection of a class without Hibernate": {"awake/a", "echo x"},
		"2 timers":                     {"lab/a", "both after 1h echo x; after 2h echo x"},
		"1 WaitUntil, 1 connection of": {"awake/a", "background wait gate"},
	} {
		t.Run(reason, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial(row.room)
				life := c.ask("life")
				c.send(row.verb)
				c.barrier()
				h.keptBy(row.room, reason)
				if n := len(events(h, in[*inspect.RoomHibernated](row.room))); n > 0 {
					t.Fatal("it hibernated nonetheless")
				}
				if err := h.Hibernate(t.Context(), row.room, true); err != nil {
					t.Fatal(err)
				}
				if e := await(h, in[*inspect.RoomHibernated](row.room)); !e.Forced || e.Connections != 1 {
					t.Errorf("%+v", e)
				}
				c.send("both life; log here")
				h.logged(row.room, "here", 1)
				for got := ""; got == "" || got == "waiting" || got == "x"; {
					if got = c.recv(); got == life {
						t.Error("the instance stayed in memory")
					}
				}
			})
		})
	}
}

func TestAForcedHibernationSaysWhichTurnItLost(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.send("wait gate")
		c.want("waiting")
		if err := h.Hibernate(t.Context(), "lab/a", true); err != nil {
			t.Fatal(err)
		}
		if e := await(h, in[*inspect.TurnLost]("lab/a")); e.Kind != "message" || e.Connection != c.id || !e.Forced {
			t.Errorf("%+v", e)
		}
	})
}

func TestForcingARoomThatIsNotThereMakesNone(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for verb, f := range map[string]func(context.Context, string) error{
			"Evict": h.Evict, "Abort": h.Abort,
			"Hibernate": func(ctx context.Context, name string) error { return h.Hibernate(ctx, name, false) },
		} {
			if err := f(t.Context(), "lab/never"); !errors.Is(err, inspect.ErrNoRoom) {
				t.Errorf("%s(lab/never): %v", verb, err)
			}
		}
		for name, text := range map[string]string{
			"nosuch/a": "no class answers at /parties/nosuch", "lab": "write party/name", "": "write party/name",
		} {
			if err := h.Evict(t.Context(), name); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("Evict(%q): %v", name, err)
			}
		}
		if n := len(events[*inspect.RoomStarted](h, nil)); n > 0 {
			t.Errorf("%d rooms were started", n)
		}
	})
}

// hung makes a room whose hook hangs, with messages and a request behind it.
func hung(h *harness, room string) (stuck, behind *client, answer chan response) {
	h.t.Helper()
	stuck, behind = h.dial(room), h.dial(room)
	stuck.send("both wait gate; both broadcast late; open ran")
	stuck.want("waiting")
	for i := range 3 {
		behind.send(fmt.Sprintf("echo %d", i))
	}
	behind.barrier()
	answer = make(chan response, 1)
	go func() {
		resp, err := h.do(h.request(http.MethodGet, "/parties/"+room+"/?do=echo+answer", nil))
		if err != nil {
			resp.body = err.Error()
		}
		answer <- resp
	}()
	h.keptBy(room, "5 turns running or waiting")
	return stuck, behind, answer
}

func TestEvictionWorksOnARoomWhoseHookNeverReturns(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		stuck, behind, answer := hung(h, "lab/a")
		if err := h.Evict(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		lost := await(h, in[*inspect.TurnLost]("lab/a"))
		if lost.Kind != "message" || lost.Connection != stuck.id || lost.Reason != "evicted" {
			t.Errorf("%+v", lost)
		}
		// What had not begun runs once, in order, in the next instance.
		behind.want("0", "1", "2")
		(<-answer).want(t, http.StatusOK, "answer")
		// What the instance left behind still does has no effect.
		h.open("gate")
		h.verb("awake/opener", "wait ran")
		stuck.none()
		behind.none()
		if got := stuck.ask("echo well"); got != "well" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAbortWorksOnARoomWhoseHookNeverReturns(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		stuck, behind, answer := hung(h, "lab/a")
		if err := h.Abort(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		stuck.closed(1006, "")
		behind.closed(1006, "")
		if e := await(h, in[*inspect.RoomAborted]("lab/a")); e.Cut != 2 || !e.Forced || e.Reason != "asked for" {
			t.Errorf("%+v", e)
		}
		(<-answer).want(t, http.StatusOK, "answer") // a request's client was not cut
		h.open("gate")
		h.verb("awake/opener", "wait ran")
		if got := h.verb("lab/a", "seen"); got != "0" {
			t.Errorf("%s messages of connections that were cut had their turns", got)
		}
		if lines := h.logs("lab/a", "OnClose"); lines != nil {
			t.Errorf("OnClose ran: %q", lines)
		}
	})
}

func TestTheContextOfAnInstanceEndsWhenItLeavesMemory(t *testing.T) {
	for name, force := range map[string]func(h *harness) error{
		"evict":     func(h *harness) error { return h.Evict(t.Context(), "lab/a") },
		"abort":     func(h *harness) error { return h.Abort(t.Context(), "lab/a") },
		"hibernate": func(h *harness) error { return h.Hibernate(t.Context(), "lab/a", true) },
	} {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial("lab/a")
				c.send("until-gone")
				c.want("waiting")
				if err := force(h); err != nil {
					t.Fatal(err)
				}
				h.verb("awake/opener", "wait cancelled a")
			})
		})
	}
}

func TestAnInstanceThatLeftMemoryGetsErrClosed(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("fenced gate")
		if err := h.Evict(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		h.open("gate")
		got := h.verb("awake/opener", "told gate")
		for _, what := range []string{"Send", "Close", "Do", "Sleep", "Call", "ServerByName", "SetState"} {
			contains(t, got, what+": error [closed]: ")
		}
		c.none()
		if got := c.ask("state"); got != "untouched" {
			t.Errorf("state %s", got)
		}
	})
}

func TestAbortLeavesNothingOfAConnectionThatWasBeingOpened(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.send("wait first")
		c.want("waiting")
		c.send("wait second") // and the connection below go to the guest together
		c.barrier()
		refused := make(chan error, 1)
		go func() {
			_, _, err := h.connect("lab/a", id("ghost"), query("connect", "log let in"))
			refused <- err
		}()
		h.keptBy("lab/a", "3 turns running or waiting")
		h.open("first")
		c.want("waiting")
		if err := h.Abort(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		if err := <-refused; err == nil {
			t.Error("the connection was let in")
		}
		again := h.dial("lab/a")
		if got := again.ask("list"); got != "["+again.id+"]" {
			t.Errorf("connections %s, want only %s", got, again.id)
		}
		if lines := h.logs("lab/a", "let in"); lines != nil {
			t.Error("OnConnect ran for a connection that was cut")
		}
	})
}

func TestAbortEndsTheHookAndNoRecoverStopsIt(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, other := h.dial("lab/a"), h.dial("lab/a")
		c.do("set 1")
		c.want("ok")
		c.do("auto ping pong")
		c.send("recover abort because")
		c.closed(1006, "")
		other.closed(1006, "")
		if e := await(h, in[*inspect.RoomAborted]("lab/a")); e.Cut != 2 || e.Forced || e.Reason != "because" {
			t.Errorf("%+v", e)
		}
		if lines := append(h.logs("lab/a", "OnClose"), h.logs("lab/a", "recovered")...); lines != nil {
			t.Errorf("hooks ran: %q", lines)
		}
		next := h.dial("lab/a", id(c.id))
		if got := next.ask("state"); got != "untouched" {
			t.Errorf("state %s", got)
		}
		next.write(1, []byte("ping")) // automatic answers ended too
		await(h, func(e *inspect.Exception) bool { return strings.Contains(e.Error, `no verb "ping"`) })
	})
}

func TestAbortFromARequestABackgroundGoroutineAndADo(t *testing.T) {
	for _, verb := range []string{"abort now", "background abort now", "background do abort now", "after 1ms abort now"} {
		t.Run(verb, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial("lab/a")
				resp := h.get("/parties/lab/a/?do=" + strings.ReplaceAll(verb, " ", "+"))
				if verb == "abort now" {
					resp.want(t, http.StatusServiceUnavailable, "lab/a was aborted: now while it handled this")
				}
				if strings.HasPrefix(verb, "after") {
					h.turns("lab/a", "request", 1)
					h.advance(idleSpan)
				}
				c.closed(1006, "")
				if e := await(h, in[*inspect.RoomAborted]("lab/a")); e.Reason != "now" {
					t.Errorf("%+v", e)
				}
				if got := h.verb("lab/a", "started a"); got != "2" {
					t.Errorf("OnStart ran %s times", got)
				}
			})
		})
	}
}

func TestAbortInOnStartFailsTheEventAndTheNextOneTriesAgain(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("awake/opener", "plan a 2 abort now")
		h.get("/parties/lab/a/?do=started+a").want(t, http.StatusServiceUnavailable, "lab/a was aborted: now while it was starting")
		if _, resp, err := h.connect("lab/a"); err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%v, %v", resp, err)
		}
		h.get("/parties/lab/a/?do=started+a").want(t, http.StatusOK, "3")
	})
}

func TestEvictionWorksOnARoomThatHangsInOnStart(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("awake/opener", "plan a 1 wait gate")
		answer := make(chan response, 1)
		go func() {
			resp, _ := h.do(h.request(http.MethodGet, "/parties/lab/a/?do=started+a", nil))
			answer <- resp
		}()
		h.logged("lab/a", "OnStart waiting", 1)
		if err := h.Evict(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		(<-answer).want(t, http.StatusOK, "2")
	})
}

// Whoever has an answer is often ahead of the end of the turn that gave it.
func TestRoomsThatHaveJustAnsweredHibernate(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		var wg sync.WaitGroup
		for i := range 16 {
			room := fmt.Sprintf("lab/r%d", i)
			wg.Go(func() {
				for range 50 {
					if _, err := h.do(h.request(http.MethodGet, "/parties/"+room+"/?do=nop", nil)); err != nil {
						t.Error(err)
					}
					if err := h.Hibernate(t.Context(), room, false); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}
