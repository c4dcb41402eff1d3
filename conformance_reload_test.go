//go:build !partyplugin && !js

package party

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

func TestReloadKeepsConnections(t *testing.T) {
	for _, room := range []string{"lab/a", "awake/a"} {
		t.Run(room, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial(room, id("one"), query("tag", "red"))
				d := h.dial(room, id("two"))
				c.do(`set {"n":1}`)
				c.want("ok")
				before := c.ask("me")
				for n := range uint64(3) {
					h.reload()
					for question, want := range map[string]string{"me": before, "state": `{"n":1}`, "list red": "[one]", "list": "[one two]", "ready": "1"} {
						if got := c.ask(question); got != want {
							t.Errorf("%s is %s, want %s", question, got, want)
						}
					}
					if got := h.Generation(); got != n+2 {
						t.Errorf("generation %d, want %d", got, n+2)
					}
				}
				d.send("broadcast all")
				d.want("all")
				c.want("all")
				h.ran(room, "connect", 1, 1)
				if n := len(events[*inspect.ConnectionClosed](h, nil)); n > 0 {
					t.Errorf("%d connections were closed", n)
				}
			})
		})
	}
}

// A build may take long: what counts is that somebody asks soon after it.
func TestTheFirstAnswerOfNewCodeIsTold(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a", id("one"))
		h.reload(emulator.ReloadOptions{Since: time.Now().Add(-time.Minute)})
		c.ask("me")
		if e := await[*inspect.FirstAnswer](h, nil); e.Generation != 2 || e.Room != "lab/a" || e.Total < time.Minute {
			t.Errorf("the first answer: %+v", e)
		}
	})
}

func TestReloadDeliversWhatWaitsOnceAndInOrder(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		c.send("knock " + doors.at("a"))
		doors.knocked(t, "a")
		for i := range 100 { // some go to the code at once, the others wait
			c.send(fmt.Sprintf("echo %d", i))
		}
		c.barrier()
		answers := make(chan response, 1)
		go func() {
			resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=body", strings.NewReader(strings.Repeat("x", 3<<20))))
			if err != nil {
				resp.body = err.Error()
			}
			answers <- resp
		}()
		h.reload()
		doors.unlock("a")
		c.want("came in")
		for i := range 100 {
			c.want(fmt.Sprint(i))
		}
		if got := <-answers; got.status != http.StatusOK || !strings.HasPrefix(got.body, "3145728 ") {
			t.Errorf("%d %s", got.status, got.body)
		}
		h.ended(1)
		turns := events(h, func(e *inspect.Turn) bool { return e.Room == "lab/a" && e.Kind == "message" })
		if len(turns) != 101 || turns[0].Generation != 1 || turns[1].Generation != 2 || turns[100].Generation != 2 {
			t.Errorf("%d turns, the first three in generation %d, %d and %d", len(turns), turns[0].Generation, turns[1].Generation, turns[2].Generation)
		}
		if lost := events[*inspect.TurnLost](h, nil); len(lost) > 0 {
			t.Errorf("%d turns were lost", len(lost))
		}
	})
}

func TestReloadDoesNotWaitForOtherRooms(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		slow, quick := h.dial("lab/slow"), h.dial("lab/quick")
		slow.send("knock " + doors.at("slow"))
		doors.knocked(t, "slow")
		h.reload()
		if from, to, left := h.Reloading(); from != 1 || to != 2 || left != 1 {
			t.Errorf("reloading from %d to %d, %d rooms left", from, to, left)
		}
		if got := quick.ask("echo x"); got != "x" {
			t.Error(got)
		}
		h.ran("lab/quick", "message", 2)
		h.reload() // while the first one has not come to its end
		if got := quick.ask("echo y"); got != "y" {
			t.Error(got)
		}
		h.ran("lab/quick", "message", 2, 3)
		doors.unlock("slow")
		slow.want("came in")
		slow.do("echo z")
		slow.want("z")
		h.ran("lab/slow", "message", 1, 3)
		if _, to, _ := h.Reloading(); to != 0 {
			t.Errorf("still reloading to %d", to)
		}
	})
}

func TestReloadLosesAHookThatHangs(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		c.send("knock " + doors.at("never"))
		doors.knocked(t, "never")
		c.send("echo behind it")
		c.barrier()
		h.reload(emulator.ReloadOptions{Limit: soon})
		c.want("behind it")
		c.settle()
		lost := await[*inspect.TurnLost](h, nil)
		if lost.Kind != "message" || lost.Connection != c.id || !strings.Contains(lost.Reason, "new code") {
			t.Errorf("%+v", lost)
		}
		h.ended(1)
		h.ran("lab/a", "message", 2)
		answer := make(chan response, 1)
		go func() {
			resp, _ := h.do(h.request(http.MethodGet, "/parties/lab/b/?do="+url.QueryEscape("knock "+doors.at("b")), nil))
			answer <- resp
		}()
		doors.knocked(t, "b")
		h.reload(emulator.ReloadOptions{Limit: soon})
		if got := <-answer; got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "replaced by new code") {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestReloadLetsBackgroundWorkEnd(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.send("background save-at-the-end both broadcast saved; log saved")
		c.want("working")
		c.settle()
		h.reload()
		c.send("echo after")
		c.want("saved", "after")
		h.logged("lab/a", "saved", 1)
		c.settle()
		h.ran("lab/a", "do", 1)
		h.ran("lab/a", "message", 1, 2)
		// It was awake for its work, so it started at once.
		if started := awaitN(h, 2, in[*inspect.RoomStarted]("lab/a")); started[1].Generation != 2 || started[1].Cause != "reload" {
			t.Errorf("%+v", started[1])
		}
		if n := len(events[*inspect.Exception](h, nil)); n > 0 {
			t.Errorf("%d exceptions", n)
		}
	})
}

func TestReloadLosesBackgroundWorkThatDoesNotEnd(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		c.send("background knock " + doors.at("never"))
		doors.knocked(t, "never")
		c.settle()
		h.reload(emulator.ReloadOptions{Limit: soon})
		c.send("echo waits meanwhile")
		c.want("waits meanwhile")
		c.settle()
		if e := await[*inspect.WorkLost](h, nil); e.Room != "lab/a" || fmt.Sprint(e.What) != "[WaitUntil]" {
			t.Errorf("%+v", e)
		}
		h.ran("lab/a", "message", 1, 2)
	})
}

func TestReloadStartsAtOnceWhatWasAwake(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("lab/timer", "after 1h log it rang")
		h.verb("lab/idle", "nop")
		open := h.dial("awake/open")
		h.dial("lab/sleeper")
		h.reload()
		for _, room := range []string{"lab/timer", "awake/open"} {
			if e := awaitN(h, 2, in[*inspect.RoomStarted](room))[1]; e.Generation != 2 || e.Cause != "reload" {
				t.Errorf("%s: %+v", room, e)
			}
		}
		h.advance(2 * time.Hour) // what was set by the old code has gone with it
		if n := len(h.logs("lab/timer", "it rang")); n > 0 {
			t.Error("the old code's timer rang")
		}
		if n := h.starts("lab/idle") + h.starts("lab/sleeper"); n != 2 {
			t.Errorf("rooms that nothing kept awake started %d times", n)
		}
		if got := open.ask("list"); got != "["+open.id+"]" {
			t.Error(got)
		}
	})
}

func TestReloadKeepsProps(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("lab/b", "stub-props a parent")
		h.reload()
		if got := h.verb("lab/a", "props"); got != "map[from:parent]" {
			t.Error(got)
		}
	})
}

func TestReloadWhileRoomsCallRooms(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		h.verb("lab/b", "nop")
		c.send("both knock " + doors.at("a") + "; ask b echo from b")
		doors.knocked(t, "a")
		h.reload()
		doors.unlock("a")
		c.want("came in", "from b") // the old code of a calls the new code of b
		h.turns("lab/b", "call", 1)
		h.ran("lab/b", "call", 2)
		c.settle()
		h.ran("lab/a", "message", 1)
	})
}

func TestReloadAsADeployCutsConnections(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, d := h.dial("lab/a"), h.dial("awake/b")
		h.reload(emulator.ReloadOptions{Disconnect: true})
		c.closed(1006, "")
		d.closed(1006, "")
		if e := await[*inspect.Swapped](h, nil); e.Cut != 2 || e.From != 1 || e.Generation != 2 {
			t.Errorf("%+v", e)
		}
		if got := h.dial("lab/a").ask("list"); strings.Contains(got, c.id+" ") {
			t.Error(got)
		}
	})
}

func TestReloadWhileAlarmsRun(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("keeper/a", "alarm in 1m")
		c := h.dial("keeper/a")
		h.reload()
		h.advance(time.Minute)
		contains(t, c.recv(), "alarm 0 false")
		h.turns("keeper/a", "alarm", 1)
		h.ran("keeper/a", "alarm", 2)
	}, keeper)
}

func TestCloseDuringAReload(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		c.send("knock " + doors.at("never"))
		doors.knocked(t, "never")
		h.reload()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Close(ctx); err != nil { // the harness fails where something is left
			t.Error(err)
		}
		if err := h.Reload(t.Context(), h.loader, emulator.ReloadOptions{}); err == nil {
			t.Error("a closed emulator reloads")
		}
	})
}
