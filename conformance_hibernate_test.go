//go:build !partyplugin && !js

package party

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

const (
	idleSpan  = emulator.DefaultHibernateAfter
	evictSpan = emulator.DefaultEvictAfter
)

// asleepAt waits for the n-th hibernation of a room and asserts its time.
func (h *harness) asleepAt(room string, n int, want time.Duration) *inspect.RoomHibernated {
	h.t.Helper()
	e := awaitN(h, n, in[*inspect.RoomHibernated](room))[n-1]
	if at(e) != want {
		h.t.Errorf("%s hibernated at %s, want %s", room, at(e), want)
	}
	return e
}

// awake asserts that a room has not left memory n times or more.
func (h *harness) awake(room string) {
	h.t.Helper()
	if n := len(events(h, in[*inspect.RoomHibernated](room))) + len(events(h, in[*inspect.RoomEvicted](room))); n > 0 {
		h.t.Fatalf("%s left memory", room)
	}
}

func TestARoomHibernatesWhenItsIdleSpanIsOverAndNotAMillisecondBefore(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.ask("echo x")
		h.advance(idleSpan - time.Millisecond)
		h.advance(time.Millisecond)
		h.asleepAt("lab/a", 1, idleSpan)

		life := c.ask("life")
		h.advance(idleSpan - time.Millisecond)
		if again := c.ask("life"); again != life {
			t.Errorf("life %s became %s a millisecond too early", life, again)
		}
		h.advance(idleSpan)
		h.asleepAt("lab/a", 2, idleSpan+idleSpan-time.Millisecond+idleSpan)
	})
}

func TestTheIdleSpanIsConfigured(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.ask("echo x")
		h.advance(time.Minute)
		h.asleepAt("lab/a", 1, time.Second)
	}, func(s *setup) { s.config.HibernateAfter = time.Second })
}

func TestHibernationDropsTheGoValueAndKeepsTheConnections(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a", query("tag", "red"), query("tag", "blue"))
		other := h.dial("lab/a")
		c.ask(`set {"n":1}`)
		me, life := c.ask("me"), c.ask("life")
		if got := c.ask("same"); got != "true" {
			t.Errorf("Connection(id) is the hook's connection: %s", got)
		}
		h.advance(idleSpan)
		if e := h.asleepAt("lab/a", 1, idleSpan); e.Connections != 2 || e.Forced {
			t.Errorf("%+v", e)
		}
		if got := h.verb("awake/opener", "gone Lab/a"); got != "gone" {
			t.Errorf("the Go value is %s", got)
		}
		if got := c.ask("life"); got == life {
			t.Errorf("the same instance, %s, answers", got)
		}
		if got := c.ask("me"); got != me {
			t.Errorf("the connection was %s and is %s", me, got)
		}
		if got := c.ask("state"); got != `{"n":1}` {
			t.Errorf("state %s", got)
		}
		if got := c.ask("list"); got != "["+c.id+" "+other.id+"]" {
			t.Errorf("connections %s", got)
		}
		if got := c.ask("list red blue"); got != "["+c.id+"]" {
			t.Errorf("tagged connections %s", got)
		}
		if got := c.ask("started a"); got != "2" {
			t.Errorf("OnStart ran %s times", got)
		}
		other.none()
	})
}

func TestARoomWithoutConnectionsGoesColdByTheSameRule(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for _, room := range []string{"lab/a", "awake/a"} {
			h.verb(room, "echo x")
			h.turns(room, "request", 1)
		}
		h.advance(idleSpan)
		for _, room := range []string{"lab/a", "awake/a"} {
			if e := h.asleepAt(room, 1, idleSpan); e.Connections != 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestPingsAndAutomaticAnswersWakeNobodyAndDoNotCountAsUse(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("auto ping pong")
		poke := func() {
			t.Helper()
			c.write(1, []byte("ping"))
			c.want("pong")
			c.barrier() // protocol pings
		}
		h.advance(idleSpan / 2)
		poke()
		h.advance(idleSpan / 2)
		h.asleepAt("lab/a", 1, idleSpan)
		poke()
		h.advance(time.Hour)
		poke()
		if n := h.starts("lab/a"); n != 1 {
			t.Errorf("the room started %d times", n)
		}
		if n := len(events(h, func(e *inspect.MessageIn) bool { return e.Auto })); n != 3 {
			t.Errorf("%d messages were answered automatically", n)
		}
		if got := c.ask("echo awake"); got != "awake" {
			t.Errorf("got %s", got)
		}
		c.do("auto ")
		c.write(1, []byte("ping")) // no verb of the room: its hook fails
		await(h, func(e *inspect.Exception) bool { return strings.Contains(e.Error, `no verb "ping"`) })
	})
}

func TestOnlyATextThatEqualsTheRequestIsAnsweredAutomatically(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("auto echo pong")
		c.write(2, []byte("echo")) // binary: the hook sends it back
		c.want("binary:echo")
		c.send("echo x")
		c.want("x")
		c.write(1, []byte("echo"))
		c.want("pong")
		c.do("auto " + string(repeat(2049)) + " x")
		await(h, func(e *inspect.Exception) bool {
			return strings.Contains(e.Error, "Request cannot be larger than 2048 bytes. A Request of size 2049 was provided")
		})
	})
}

func TestConnectionsOpenedInOneInstantDoNotKeepARoomAwake(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		parallel(t, 10, func(int) error { _, _, err := h.connect("lab/a"); return err })
		awaitN(h, 10, in[*inspect.ConnectionOpened]("lab/a"))
		h.turns("lab/a", "connect", 10)
		h.advance(idleSpan)
		if e := h.asleepAt("lab/a", 1, idleSpan); e.Connections != 10 {
			t.Errorf("%+v", e)
		}
	})
}

func TestAClientThatLeavesWhileTheRoomSleepsWakesItForOnClose(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, dropped := h.dial("lab/a"), h.dial("lab/a")
		h.turns("lab/a", "connect", 2)
		h.advance(idleSpan)
		h.asleepAt("lab/a", 1, idleSpan)
		c.close(4005, "good night")
		c.closed(4005, "good night")
		h.logged("lab/a", `OnClose `+c.id+` 4005 "good night" true ready=2`, 1)
		h.turns("lab/a", "close", 1)
		h.advance(idleSpan)
		h.asleepAt("lab/a", 2, 2*idleSpan)
		dropped.drop()
		h.logged("lab/a", `OnClose `+dropped.id+` 1006 "WebSocket disconnected without sending Close frame." false ready=2`, 1)
		if n := h.starts("lab/a"); n != 3 {
			t.Errorf("the room started %d times", n)
		}
	})
}

func TestAClassWithoutHibernateStaysAwakeWhileItHasAConnection(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("awake/a")
		h.turns("awake/a", "connect", 1)
		h.advance(time.Hour)
		h.awake("awake/a")
		c.close(1000, "")
		c.closed(1000, "")
		h.turns("awake/a", "close", 1)
		h.advance(idleSpan)
		h.asleepAt("awake/a", 1, time.Hour+idleSpan)
	})
}

// keptBy waits until a room, which something keeps awake, names this reason for
// it.
func (h *harness) keptBy(room, reason string) {
	h.t.Helper()
	var err error
	h.eventually(func() bool {
		err = h.Hibernate(h.t.Context(), room, false)
		return err != nil && strings.Contains(err.Error(), reason)
	}, func() string { return fmt.Sprintf("%s is kept awake by %v, want %s", room, err, reason) })
}

// eventually waits for what the stream of events does not tell.
func (h *harness) eventually(done func() bool, why ...func() string) {
	h.t.Helper()
	for end := time.Now().Add(patience); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			if len(why) > 0 {
				h.t.Fatal(why[0]())
			}
			h.t.Fatal("it does not come true")
		}
	}
}

// eventuallyAsleep moves the clock until a room hibernates: what ended in the guest
// may take a moment of real time to be known here.
func (h *harness) eventuallyAsleep(room string, after time.Duration) {
	h.t.Helper()
	for range 2000 {
		if err := h.Settled(h.t.Context()); err != nil { // or the room is evicted before the guest's messages arrive
			h.t.Fatal(err)
		}
		h.advance(idleSpan)
		h.verb("awake/other", "echo x")
		if found := events(h, in[*inspect.RoomHibernated](room)); len(found) > 0 {
			if at(found[0]) < after+idleSpan {
				h.t.Errorf("hibernated at %s, %s after what kept it awake", at(found[0]), at(found[0])-after)
			}
			return
		}
	}
	h.t.Fatalf("%s does not hibernate: %v", room, h.Hibernate(h.t.Context(), room, false))
}

func TestBackgroundWorkKeepsARoomWithConnectionsAwake(t *testing.T) {
	for name, row := range map[string]struct{ verb, reason string }{
		"WaitUntil": {"background both wait gate; echo over", "1 WaitUntil"},
		"Sleep":     {"background both sleep 1h; echo over", "1 timer"},
		"AfterFunc": {"after 1h echo over", "1 timer"},
	} {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial("lab/a")
				c.do(row.verb)
				h.keptBy("lab/a", row.reason)
				h.advance(time.Hour - time.Second)
				h.awake("lab/a")
				h.advance(time.Second)
				h.open("gate")
				for c.recv() != "over" {
				}
				h.eventuallyAsleep("lab/a", time.Hour)
			})
		})
	}
}

func TestAnOpenStreamKeepsARoomAwake(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		resp, err := h.client.Do(h.request(http.MethodGet, "/parties/lab/a/?do=stream+then+gate+echo+over", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b := make([]byte, len("waiting\n"))
		if _, err := io.ReadFull(resp.Body, b); err != nil {
			t.Fatal(err)
		}
		h.turns("lab/a", "request", 1) // the turn is over, the answer is not
		h.advance(time.Hour)
		h.awake("lab/a")
		h.open("gate")
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "over\n" {
			t.Errorf("%q, %v", b, err)
		}
		h.eventuallyAsleep("lab/a", time.Hour)
	})
}

func TestWhatOnlyTimersKeepAwakeIsEvicted(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("lab/timer", "after 1h log late")
		h.verb("lab/work", "background both until-gone; log late")
		h.verb("awake/work", "background until-gone")
		h.verb("lab/used", "after 1h log late")
		for _, room := range []string{"lab/timer", "lab/work", "awake/work", "lab/used"} {
			h.turns(room, "request", 1)
		}
		h.advance(evictSpan / 2)
		h.verb("lab/used", "echo x")
		h.turns("lab/used", "request", 2)
		h.advance(evictSpan/2 - time.Millisecond)
		h.advance(time.Millisecond)
		for _, room := range []string{"lab/timer", "lab/work", "awake/work"} {
			e := await(h, in[*inspect.RoomEvicted](room))
			if at(e) != evictSpan || e.Forced {
				t.Errorf("%s was evicted at %s", room, at(e))
			}
			contains(t, e.Reason, "no connection", "1m10s")
		}
		if got := h.verb("awake/opener", "wait cancelled work"); got != "waiting" {
			t.Errorf("got %q", got)
		}
		h.advance(evictSpan / 2)
		if e := await(h, in[*inspect.RoomEvicted]("lab/used")); at(e) != evictSpan+evictSpan/2 {
			t.Errorf("the room in use was evicted at %s", at(e))
		}
		h.advance(2 * time.Hour)
		h.verb("lab/timer", "log still here")
		h.logged("lab/timer", "still here", 1)
		if late := append(h.logs("lab/timer", "late"), h.logs("lab/work", "late")...); late != nil {
			t.Errorf("instances that were evicted logged %q", late)
		}
	})
}

func TestTimersThatSetEachOtherAreEvictedToo(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("lab/a", "tick 20s")
		h.turns("lab/a", "request", 1)
		for i := range 3 {
			h.advance(20 * time.Second)
			h.turns("lab/a", "timer", i+1)
		}
		h.advance(20 * time.Second)
		if e := await(h, in[*inspect.RoomEvicted]("lab/a")); at(e) != evictSpan {
			t.Errorf("evicted at %s", at(e))
		}
	})
}

func TestAConnectionKeepsBackgroundWorkFromEviction(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for _, room := range []string{"lab/a", "awake/a"} {
			c := h.dial(room)
			c.do("background wait gate")
			c.want("waiting")
		}
		h.advance(10 * evictSpan)
		h.awake("lab/a")
		h.awake("awake/a")
	})
}

func TestOnlyAForcedEvictionCutsConnectionsThatCannotHibernate(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		stays, cut := h.dial("lab/a"), h.dial("awake/a")
		life := stays.ask("life")
		for room, n := range map[string]int{"lab/a": 0, "awake/a": 1} {
			if err := h.Evict(t.Context(), room); err != nil {
				t.Fatal(err)
			}
			if e := await(h, in[*inspect.RoomEvicted](room)); !e.Forced || e.Cut != n {
				t.Errorf("%+v", e)
			}
		}
		cut.closed(1006, "")
		if again := stays.ask("life"); again == life {
			t.Error("the instance was not evicted")
		}
		if lines := h.logs("awake/a", "OnClose"); lines != nil {
			t.Errorf("hooks ran for the connection that was cut: %q", lines)
		}
	})
}
