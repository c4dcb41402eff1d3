//go:build !partyplugin && !js

package party

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// What somebody outside of the rooms does to them, besides hibernating, evicting
// and aborting.

func init() {
	steps["hold"] = func(k *Keeper, _ context.Context, w io.Writer) error { // a turn that has written and goes on
		if err := k.Storage().Put("a", "held"); err != nil {
			return err
		}
		k.Log().Info("holding")
		<-world.gate("hold")
		return nil
	}
	steps["open"] = func(*Keeper, context.Context, io.Writer) error { world.open("hold"); return nil }
	steps["hello"] = func(_ *Keeper, _ context.Context, w io.Writer) error { fmt.Fprint(w, "hello"); return nil }
}

// kept reads a key as those who look see it.
func (h *harness) kept(room, key string) string {
	h.t.Helper()
	all, err := h.KV(h.t.Context(), room, inspect.KVQuery{Key: key})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(all) == 0 {
		return "none"
	}
	return string(all[0].Value)
}

// sleep makes a room cold.
func (h *harness) sleep(room string) {
	h.t.Helper()
	if err := h.Hibernate(h.t.Context(), room, true); err != nil {
		h.t.Fatal(err)
	}
}

func TestPutAndExecWriteToARoomWithoutWakingIt(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		const room = "keeper/a"
		h.step(room, "put")
		h.sleep(room)
		before := h.starts(room)
		for _, asleep := range []bool{true, false} {
			if !asleep {
				h.step(room, "get") // wakes it
				before = h.starts(room)
			}
			if err := h.Put(t.Context(), room, "a", []byte(`{"b":[1,2]}`)); err != nil {
				t.Fatal(err)
			}
			if got := h.kept(room, "a"); got != `{"b":[1,2]}` {
				t.Errorf("a is %s", got)
			}
			rows, err := h.Exec(t.Context(), room, "CREATE TABLE IF NOT EXISTS t (x, y); INSERT INTO t VALUES (1, 'one'), (2, NULL) RETURNING *")
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(rows.Columns, rows.Rows, rows.Affected) != "[x y] [[1 one] [2 <nil>]] 2" {
				t.Errorf("%+v", rows)
			}
			if n := h.starts(room); n != before {
				t.Error("the room was woken")
			}
		}
		if got := h.step(room, "get"); !strings.Contains(got, "b") {
			t.Errorf("the room reads %s", got)
		}
		if rows, err := h.SQL(t.Context(), room, "SELECT count(*) FROM t", 0); err != nil || fmt.Sprint(rows.Rows) != "[[4]]" {
			t.Errorf("%+v, %v", rows, err)
		}
		if err := h.Put(t.Context(), room, "a", nil); err != nil {
			t.Fatal(err)
		}
		if got := h.kept(room, "a"); got != "none" {
			t.Errorf("a is %s", got)
		}
		written := awaitN[*inspect.StorageWritten](h, 5, nil)
		for _, e := range written {
			if !e.Forced || e.Room != room {
				t.Errorf("%+v", e)
			}
		}
		if e := written[1]; !strings.HasPrefix(e.SQL, "CREATE TABLE") || e.Affected != 2 {
			t.Errorf("%+v", e)
		}
		if e := written[4]; e.Key != "a" || !e.Deleted {
			t.Errorf("%+v", e)
		}
	}, keeper)
}

func TestAWriteThatFailsLeavesNothing(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		const room = "keeper/a"
		h.step(room, "put")
		h.sleep(room)
		for query, text := range map[string]string{
			"INSERT INTO _cf_KV VALUES ('a', 2)":           "_cf_",
			"CREATE TABLE t (x); INSERT INTO u VALUES (1)": "no such table",
			"BEGIN; CREATE TABLE t (x)":                    "transaction",
			"":                                             "did not contain a statement",
			"CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1), (1)": "UNIQUE",
		} {
			if _, err := h.Exec(t.Context(), room, query); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v", query, err)
			}
		}
		if d, err := h.Room(t.Context(), room); err != nil || len(d.Tables) != 0 || d.State != inspect.Cold {
			t.Errorf("%+v, %v", d, err)
		}
		for value, text := range map[string]string{"text": "no JSON", "": "no JSON", `"` + strings.Repeat("x", 2<<20) + `"`: "cannot be larger"} {
			if err := h.Put(t.Context(), room, "a", []byte(value)); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%.20s: %v", value, err)
			}
		}
		if err := h.Put(t.Context(), room, "nosuch", nil); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("%v", err)
		}
		if got := h.kept(room, "a"); got != "1" {
			t.Errorf("a is %s", got)
		}
		if n := len(events[*inspect.StorageWritten](h, nil)); n != 0 {
			t.Errorf("%d events of writing", n)
		}
	}, keeper)
}

func TestAWriteComesBetweenTwoTurns(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		const room = "keeper/a"
		c := h.dial(room)
		c.send("hold")
		h.logged(room, "holding", 1)
		done := make(chan error, 1)
		go func() { done <- h.Put(t.Context(), room, "a", []byte(`"outside"`)) }()
		h.keptBy(room, "2 turns running or waiting")
		c.send("hello") // behind the write
		c.barrier()
		if got := h.kept(room, "a"); got != "none" {
			t.Errorf("a is %s before anything has committed", got)
		}
		h.step("keeper/opener", "open")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.want("hello")
		if got := h.kept(room, "a"); got != `"outside"` {
			t.Errorf("a is %s", got)
		}
	}, keeper)
}

func TestAWriteDoesNotWaitForeverForAHookThatHangs(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		const room = "keeper/a"
		h.dial(room).send("hold")
		h.logged(room, "holding", 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Put(ctx, room, "a", []byte("1")) }()
		h.keptBy(room, "2 turns running or waiting")
		cancel()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "its turn (message) still runs") || !strings.Contains(err.Error(), "evict") {
			t.Errorf("%v", err)
		}
		h.keptBy(room, "1 turn running or waiting")
		if err := h.Evict(t.Context(), room); err != nil {
			t.Fatal(err)
		}
		if err := h.Put(t.Context(), room, "a", []byte("2")); err != nil {
			t.Fatal(err)
		}
		if got := h.kept(room, "a"); got != "2" {
			t.Errorf("a is %s", got)
		}
	}, keeper)
}

func TestAWriteOfARoomThatIsEvictedMeanwhile(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		const room = "keeper/a"
		h.step(room, "put")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := h.Exec(ctx, room, "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")
			done <- err
		}()
		await(h, func(e *inspect.Request) bool { return e.Room == room })
		_ = h.Evict(t.Context(), room)
		cancel()
		if err := <-done; err == nil {
			t.Error("an endless query has ended")
		}
		if got := h.step(room, "get"); got != "1" {
			t.Errorf("a is %s", got)
		}
	}, keeper)
}

func TestResetDeletesARoomsStorage(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for _, state := range []string{"cold", "running", "hung", "hibernated"} {
			room := "keeper/" + state
			h.step(room, "put")
			if err := h.SetAlarm(t.Context(), room, epoch.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			var c *client
			switch state {
			case "cold":
				h.sleep(room)
			case "hung":
				c = h.dial(room)
				c.send("hold")
				h.logged(room, "holding", 1)
			case "hibernated":
				c = h.dial(room)
				h.sleep(room)
			}
			if err := h.Reset(t.Context(), room); err != nil {
				t.Fatalf("%s: %v", state, err)
			}
			if c != nil {
				c.closed(1006, "")
			}
			if e := await(h, in[*inspect.RoomReset](room)); !e.Forced {
				t.Errorf("%+v", e)
			}
			await(h, func(e *inspect.AlarmSet) bool { return e.Room == room && e.Deleted && e.Forced })
			if _, err := h.Room(t.Context(), room); !errors.Is(err, inspect.ErrNoRoom) {
				t.Errorf("%s is still there: %v", room, err)
			}
			if err := h.Reset(t.Context(), room); !errors.Is(err, inspect.ErrNoRoom) {
				t.Errorf("a second Reset: %v", err)
			}
			if got := h.step(room, "get"); got != "missing" {
				t.Errorf("%s: a is %s", state, got)
			}
			h.step(room, "put")
			if got := h.kept(room, "a"); got != "1" {
				t.Errorf("%s: a is %s", state, got)
			}
		}
		h.step("keeper/opener", "open")
		h.advance(2 * time.Hour)
		if n := len(events[*inspect.AlarmFired](h, nil)); n != 0 {
			t.Errorf("%d alarms fired", n)
		}
	}, keeper)
}

func TestSetAlarmMovesAndDeletesIt(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		const room = "keeper/a"
		h.step(room, "put")
		h.sleep(room)
		starts := h.starts(room)
		set := func(d time.Duration) {
			t.Helper()
			var to time.Time
			if d > 0 {
				to = epoch.Add(d)
			}
			if err := h.SetAlarm(t.Context(), room, to); err != nil {
				t.Fatal(err)
			}
		}
		set(time.Hour)
		set(time.Minute)
		if h.starts(room) != starts {
			t.Error("the room was woken")
		}
		h.advance(2 * time.Minute)
		if e := await(h, in[*inspect.AlarmFired](room)); at(e) != time.Minute || e.Forced {
			t.Errorf("%+v", e)
		}
		h.turns(room, "alarm", 1)
		set(time.Hour)
		set(0)
		h.advance(2 * time.Hour)
		if n := len(events[*inspect.AlarmFired](h, nil)); n != 1 {
			t.Errorf("%d alarms fired", n)
		}
		sets := awaitN(h, 5, in[*inspect.AlarmSet](room))
		for i, e := range sets {
			if e.Forced != (i != 2) { // the third is its own end
				t.Errorf("%d: %+v", i, e)
			}
		}
		if last := sets[4]; !last.Deleted {
			t.Errorf("%+v", last)
		}
	}, keeper)
}

func TestSendReachesClientsAsTheServersOwn(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		a, b := h.dial("lab/a", id("a")), h.dial("lab/a", id("b"))
		h.sleep("lab/a")
		if n, err := h.Send(t.Context(), "lab/a", "", false, []byte("all")); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := h.Send(t.Context(), "lab/a", "b", true, []byte{1, 2}); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		a.want("all")
		b.want("all", "binary:\x01\x02")
		a.none()
		if e := awaitN(h, 3, func(e *inspect.MessageOut) bool { return e.Forced })[2]; e.Connection != "b" || !e.Binary || e.Size != 2 {
			t.Errorf("%+v", e)
		}
		if _, err := h.Send(t.Context(), "lab/a", "stranger", false, nil); err == nil || !strings.Contains(err.Error(), `no connection "stranger"; it has a, b`) {
			t.Errorf("%v", err)
		}
	})
}

func TestCutEndsAConnectionAsABrokenNetworkDoes(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		a, b := h.dial("lab/a", id("a")), h.dial("lab/a", id("b"))
		if n, err := h.Cut(t.Context(), "lab/a", "a"); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		a.closed(1006, "")
		h.logged("lab/a", fmt.Sprintf("OnClose a 1006 %q false ready=2", "WebSocket disconnected without sending Close frame."), 1)
		if e := await(h, in[*inspect.ConnectionCut]("lab/a")); e.Connection != "a" || !e.Forced {
			t.Errorf("%+v", e)
		}
		if e := await(h, in[*inspect.ConnectionClosed]("lab/a")); e.Connection != "a" || e.Code != 1006 || !e.Forced {
			t.Errorf("%+v", e)
		}
		if got := b.ask("echo well"); got != "well" {
			t.Errorf("got %q", got)
		}
		// Also where a hook never returns.
		b.send("wait gate")
		b.want("waiting")
		if n, err := h.Cut(t.Context(), "lab/a", ""); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		b.closed(1006, "")
		h.open("gate")
	})
}

func TestDelayHoldsMessagesBackInOrder(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		slow, other := h.dial("lab/a", id("slow")), h.dial("lab/a", id("other"))
		if n, err := h.Delay(t.Context(), "lab/a", "slow", time.Hour); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		other.do("broadcast one")
		other.do("broadcast two")
		for i := range 5 {
			slow.send(fmt.Sprintf("echo %d", i))
		}
		other.barrier()
		if got := h.verb("lab/a", "seen"); got != "2" {
			t.Errorf("%s messages have arrived", got)
		}
		if len(slow.in) != 0 {
			t.Error("a message came too early")
		}
		all, err := h.Connections(t.Context())
		if err != nil || len(all) != 2 || all[0].Delay != time.Hour || all[0].Queued == 0 || all[1].Delay != 0 {
			t.Errorf("%+v, %v", all, err)
		}
		if n, err := h.Delay(t.Context(), "lab/a", "slow", 0); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		slow.want("one", "two", "0", "1", "2", "3", "4")
		if got := slow.ask("echo again"); got != "again" {
			t.Errorf("got %q", got)
		}
		for i, e := range awaitN(h, 2, in[*inspect.ConnectionDelayed]("lab/a")) {
			if e.Connection != "slow" || !e.Forced || (e.Delay == time.Hour) != (i == 0) {
				t.Errorf("%+v", e)
			}
		}
		if _, err := h.Delay(t.Context(), "lab/a", "", -1); err == nil {
			t.Error("a negative delay")
		}
		// A connection that is cut or closed while something is on its way.
		if _, err := h.Delay(t.Context(), "lab/a", "", time.Hour); err != nil {
			t.Error(err)
		}
		if n, err := h.Cut(t.Context(), "lab/a", "slow"); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		slow.closed(1006, "")
		if err := h.Abort(t.Context(), "lab/a"); err != nil {
			t.Error(err)
		}
	})
}

func TestFailCommitLosesWhatATurnWrote(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for _, state := range []string{"running", "cold"} {
			room := "keeper/" + state
			h.step(room, "put")
			if state == "cold" {
				h.sleep(room)
			}
			if err := h.FailCommit(t.Context(), room); err != nil {
				t.Fatal(err)
			}
			if e := await(h, in[*inspect.CommitFailing](room)); !e.Forced {
				t.Errorf("%+v", e)
			}
			if resp := h.get("/parties/" + room + "/?do=kinds"); resp.status == http.StatusOK {
				t.Errorf("%s: %d %s", state, resp.status, resp.body)
			}
			if e := await(h, in[*inspect.RoomAborted](room)); !e.Forced || !strings.Contains(e.Reason, "made to fail") {
				t.Errorf("%+v", e)
			}
			if got := h.kept(room, "text"); got != "none" {
				t.Errorf("text is %s", got)
			}
			h.step(room, "put")
		}
	}, keeper)
}

func TestActingOnARoomThatDoesNotExistMakesNone(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.step("keeper/lobby", "put")
		for name, f := range map[string]func(ctx context.Context, room string) error{
			"Reset":    h.Reset,
			"SetAlarm": func(ctx context.Context, room string) error { return h.SetAlarm(ctx, room, epoch.Add(time.Hour)) },
			"Exec": func(ctx context.Context, room string) error {
				_, err := h.Exec(ctx, room, "CREATE TABLE t (x)")
				return err
			},
			"Put":   func(ctx context.Context, room string) error { return h.Put(ctx, room, "a", []byte("1")) },
			"Send":  func(ctx context.Context, room string) error { _, err := h.Send(ctx, room, "", false, nil); return err },
			"Cut":   func(ctx context.Context, room string) error { _, err := h.Cut(ctx, room, ""); return err },
			"Delay": func(ctx context.Context, room string) error { _, err := h.Delay(ctx, room, "", 1); return err },
			"Fail":  h.FailCommit,
			"Fire":  h.Fire,
			"Evict": h.Evict,
			"Abort": h.Abort,
			"Sleep": func(ctx context.Context, room string) error { return h.Hibernate(ctx, room, false) },
		} {
			err := f(t.Context(), "keeper/loby")
			if !errors.Is(err, inspect.ErrNoRoom) || !strings.Contains(err.Error(), "did you mean keeper/lobby?") {
				t.Errorf("%s: %v", name, err)
			}
			if err := f(t.Context(), "kepper/lobby"); err == nil || !strings.Contains(err.Error(), "keeper") {
				t.Errorf("%s: %v", name, err)
			}
			if err := f(t.Context(), "lobby"); err == nil || !strings.Contains(err.Error(), "party/name") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s, err := h.Snapshot(t.Context()); err != nil || len(s.Rooms) != 1 {
			t.Errorf("%+v, %v", s, err)
		}
	}, keeper)
}
