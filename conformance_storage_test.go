//go:build !partyplugin && !js

package party

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

// keeper lets a row run against the rooms that store.
func keeper(s *setup) { s.app = "keeper" }

// step runs a step of a room and returns what it wrote.
func (h *harness) step(room, name string) string {
	h.t.Helper()
	r := h.get("/parties/" + room + "?do=" + strings.ReplaceAll(name, " ", "%20"))
	if r.status != 200 {
		h.t.Errorf("%s of %s: %d %s", name, room, r.status, r.body)
	}
	return r.body
}

func (h *harness) wantStep(room, name, want string) {
	h.t.Helper()
	if got := h.step(room, name); got != want {
		h.t.Errorf("%s: got  %q\nwant %q", name, got, want)
	}
}

func TestValuesAreKept(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.wantStep("keeper/a", "get", "missing")
		h.wantStep("keeper/a", "put", "")
		h.wantStep("keeper/a", "get", "1")
		h.wantStep("keeper/other", "get", "missing")
		h.wantStep("keeper/kinds", "kinds", `[0 1 255] {"bytes":"AAH/","list":[1,2],"null":null,"number":2.5,"text":"é"} 1`)
		h.wantStep("keeper/lists", "lists", `["a" "b" "c" "ca" "\uffff" "😀"] ["b" "c" "ca" "\uffff" "😀"] ["c" "ca" "\uffff" "😀"] ["a" "b"] ["c" "ca"] ["😀" "\uffff"] ["c" "b"] `)
		h.wantStep("keeper/many", "list many", "1000 600")
		h.wantStep("keeper/all", "delete all", "true missing")
		h.wantStep("keeper/a", "size", "true")
	}, keeper)
}

func TestLimitsOfStorageAreErrorsThatNameThem(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		got := h.step("keeper/a", "limits")
		for i, line := range strings.Split(strings.TrimSpace(got), "\n") {
			contains(t, line, "true", []string{"2048", "2097152", "128", "128"}[i], []string{"2049", "2097153", "129", "129"}[i])
		}
		contains(t, h.get("/parties/keeper/a?do=bad%20list").body, "Start and StartAfter cannot be used together")
	}, keeper, func(s *setup) { s.config.Debug = true })
}

func TestATurnIsACommit(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.step("keeper/a", "put fail")
		h.wantStep("keeper/a", "get", "2") // an error does not undo
		if r := h.get("/parties/keeper/a?do=put%20panic"); r.status != 500 {
			t.Errorf("a panic answered %d", r.status)
		}
		h.wantStep("keeper/a", "get", "3")
		h.get("/parties/keeper/a?do=put%20abort")
		h.wantStep("keeper/a", "get", "3") // a reset does
		h.get("/parties/keeper/a?do=put%20sync%20abort")
		h.wantStep("keeper/a", "get", "5") // but not what was synced
		h.wantStep("keeper/t", "transactions", `true "outer" true true "before"`)
		h.wantStep("keeper/t", "get", `"before"`)
		h.wantStep("keeper/p", "panicking transaction", `"before"`)
	}, keeper)
}

func TestWhatFollowsAWriteWaitsForItsCommit(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.step("keeper/a", "put")
		c := h.dial("keeper/a")
		c.send("saved")
		c.want("saved")
		h.wantStep("keeper/a", "get", `"saved"`)

		// The deferred foreign key fails when the turn commits.
		c.send("held")
		c.want("before the write")
		c.closed(1006, "")
		await(h, func(e *inspect.RoomAborted) bool { return strings.Contains(e.Reason, "FOREIGN KEY") })
		h.wantStep("keeper/a", "get", `"saved"`)
	}, keeper)
}

func TestStorageOutsideOfATurnIsAnError(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("keeper/a")
		c.send("outside")
		c.want("true true false")
		h.wantStep("keeper/a", "get", `"from Do"`)
	}, keeper)
}

func TestACallCommitsWhatWasWrittenBefore(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/parties/keeper/a?do=call") // aborts behind the call
		h.wantStep("keeper/a", "get", `"called"`)
		contains(t, h.step("keeper/b", "call in transaction"), "cannot call another room within a Transaction")
	}, keeper)
}

func TestStorageOutlivesSleepEvictionAndRestart(t *testing.T) {
	dir := t.TempDir()
	for _, separate := range []bool{false, true} {
		room := map[bool]string{false: "keeper/in", true: "keeper/out"}[separate]
		state := func(s *setup) { keeper(s); s.config.State = dir }
		t.Run(room, func(t *testing.T) {
			h := newHarness(t, separate, []func(*setup){state})
			h.step(room, "put")
			if err := h.Hibernate(t.Context(), room, true); err != nil {
				t.Fatal(err)
			}
			h.wantStep(room, "get", "1")
			if err := h.Evict(t.Context(), room); err != nil {
				t.Fatal(err)
			}
			h.wantStep(room, "get", "1")
			if err := h.Abort(t.Context(), room); err != nil {
				t.Fatal(err)
			}
			h.wantStep(room, "get", "1")
		})
		t.Run(room+" again", func(t *testing.T) {
			h := newHarness(t, separate, []func(*setup){state})
			h.wantStep(room, "get", "1")
		})
	}
}

// alarmTimes are the spans after which the alarms of a room fired.
func (h *harness) alarmTimes(room string) []time.Duration {
	var all []time.Duration
	for _, e := range events(h, in[*inspect.AlarmFired](room)) {
		all = append(all, at(e))
	}
	return all
}

func TestAnAlarmFiresAtItsTimeAndWakesItsRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("keeper/a")
		c.do("alarm in 1m")
		h.wantStep("keeper/a", "alarm?", "1m0s")
		c.want("alarm is 1m0s")
		h.turns("keeper/a", "request", 1)
		h.advance(time.Minute - time.Millisecond)
		if n := len(h.alarmTimes("keeper/a")); n != 0 {
			t.Errorf("fired %d times too early", n)
		}
		h.asleepAt("keeper/a", 1, 10*time.Second)
		h.advance(time.Millisecond)
		c.want("alarm 0 false 1m0s")
		h.turns("keeper/a", "alarm", 1)
		h.wantStep("keeper/a", "alarm?", "none")
		c.want("alarm is none")

		c.do("alarm in the past")
		c.want("alarm 0 false 1m0s")
		c.do("alarm in 1m")
		c.do("delete alarm")
		h.advance(time.Hour)
		c.do("rolled back alarm")
		h.advance(time.Hour)
		c.none()
		got := h.step("keeper/a", "bad alarms")
		contains(t, got, "<= 0", "2189")
	}, keeper)
}

func TestAnAlarmThatFailsIsRetriedThenGivenUp(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.step("keeper/a", "alarm fails")
		c := h.dial("keeper/a")
		c.do("alarm in 1m")
		h.advance(time.Minute)
		c.want("alarm 0 false 1m0s")
		last := time.Minute
		for retry := 1; retry <= 6; retry++ {
			e := awaitN(h, retry, in[*inspect.AlarmRetried]("keeper/a"))[retry-1]
			wait := e.Due.Sub(epoch) - last
			nominal := time.Second << retry
			if wait < nominal || wait > nominal+nominal/4 {
				t.Errorf("retry %d after %s, want %s to a quarter more", retry, wait, nominal)
			}
			h.turns("keeper/a", "alarm", retry)
			h.advance(wait)
			c.want("alarm " + string(rune('0'+retry)) + " true 1m0s")
			last += wait
		}
		await(h, in[*inspect.AlarmGivenUp]("keeper/a"))
		h.turns("keeper/a", "alarm", 7)
		h.wantStep("keeper/a", "alarm?", "none")
		c.want("alarm is none")
		h.advance(time.Hour)
		c.none()
	}, keeper)
}

func TestAnAlarmThatSetsAnotherIsNotRetried(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.step("keeper/a", "alarm sets")
		c := h.dial("keeper/a")
		c.do("alarm in 1m")
		h.advance(time.Minute)
		c.want("alarm 0 false 1m0s")
		h.turns("keeper/a", "alarm", 1)
		h.wantStep("keeper/a", "alarm?", "1h1m0s")
		c.want("alarm is 1h1m0s")
		h.advance(time.Hour)
		c.want("alarm 0 false 1h1m0s")

		h.step("keeper/b", "alarm deletes")
		b := h.dial("keeper/b")
		b.do("alarm in 1m")
		h.advance(time.Minute)
		b.want("alarm 0 false 1h2m0s")
		h.turns("keeper/b", "alarm", 1)
		h.advance(time.Hour)
		b.none()
	}, keeper)
}

func TestWhileAnAlarmRunsThereIsNone(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.step("keeper/a", "alarm looks")
		c := h.dial("keeper/a")
		c.do("alarm in 1m")
		h.advance(time.Minute)
		c.want("alarm 0 false 1m0s", "alarm is none")
	}, keeper)
}

func TestAnAlarmOutlivesTheEmulatorAndFiresWhenItIsOverdue(t *testing.T) {
	for _, separate := range []bool{false, true} {
		dir := t.TempDir()
		state := func(s *setup) { keeper(s); s.config.State = dir }
		t.Run("set", func(t *testing.T) {
			h := newHarness(t, separate, []func(*setup){state})
			h.step("keeper/a", "alarm in 1m")
			h.step("keeper/b", "alarm in the past") // and gone
			h.turns("keeper/b", "alarm", 1)
		})
		t.Run("fired", func(t *testing.T) {
			h := newHarness(t, separate, []func(*setup){state})
			h.advance(time.Minute)
			e := await(h, in[*inspect.AlarmFired]("keeper/a"))
			if got := e.Scheduled.Sub(epoch); got != time.Minute {
				t.Errorf("scheduled for %s", got)
			}
			h.turns("keeper/a", "alarm", 1)
			if n := len(h.alarmTimes("keeper/b")); n != 0 {
				t.Errorf("an alarm that had its turn fired again")
			}
		})
	}
}

func TestARoomGoesBackToABookmark(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		restart := func() {
			t.Helper()
			if err := h.Abort(t.Context(), "keeper/a"); err != nil {
				t.Fatal(err)
			}
		}
		h.step("keeper/a", "put")
		h.step("keeper/a", "alarm in 1m")
		first := h.step("keeper/a", "mark")
		h.advance(2 * time.Second)
		h.step("keeper/a", "saved")
		h.step("keeper/a", "delete alarm")
		if second := h.step("keeper/a", "mark"); second <= first {
			t.Errorf("bookmark %s is not behind %s", second, first)
		}

		undo := h.step("keeper/a", "restore "+first)
		h.wantStep("keeper/a", "get", `"saved"`) // not before the next start
		restart()
		h.wantStep("keeper/a", "get", "1")
		h.wantStep("keeper/a", "alarm?", "1m0s")
		h.step("keeper/a", "restore "+undo)
		restart()
		h.wantStep("keeper/a", "get", `"saved"`)
		h.wantStep("keeper/a", "alarm?", "none")

		h.advance(59 * time.Second)
		h.step("keeper/a", "back") // to a minute ago, between the writes
		restart()
		h.wantStep("keeper/a", "get", "1")
		h.turns("keeper/a", "alarm", 1) // it was due meanwhile
		if n := len(h.alarmTimes("keeper/a")); n != 1 {
			t.Errorf("the restored alarm fired %d times", n)
		}
		contains(t, h.step("keeper/a", "restore nonsense"), "error")
	}, keeper)
}

func TestManyRoomsStoreWithFewFilesOpen(t *testing.T) {
	rooms := 500
	if testing.Short() {
		rooms = 200
	}
	conform(t, func(t *testing.T, h *harness) {
		before := openFileCount(t)
		parallel(t, 8, func(i int) error {
			for n := i; n < rooms; n += 8 {
				if r := h.get("/parties/keeper/" + strconv.Itoa(n) + "?do=put"); r.status != 200 {
					return errors.New(r.body)
				}
			}
			return nil
		})
		for _, n := range []int{0, rooms / 2, rooms - 1} {
			h.wantStep("keeper/"+strconv.Itoa(n), "get", "1")
		}
		if n := openFileCount(t) - before; n > 400 { // a hundred rooms, and what is just being closed
			t.Errorf("%d files are open", n)
		}
	}, keeper)
}

// openFileCount is how many files this process has open.
func openFileCount(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system has no /proc to count open files in")
	}
	return len(all)
}

func TestSetAlarmNeedsAHook(t *testing.T) {
	p, err := keeperApp().Program()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Classes {
		if has := c.Hooks&(1<<7) != 0; has != (c.Binding == "Keeper") {
			t.Errorf("class %s: has OnAlarm: %t", c.Binding, has)
		}
	}
}

func TestASecondEmulatorOnTheSameStateIsRefused(t *testing.T) {
	dir := t.TempDir()
	newHarness(t, false, []func(*setup){func(s *setup) { keeper(s); s.config.State = dir }})
	p, err := keeperApp().Program()
	if err != nil {
		t.Fatal(err)
	}
	second := emulator.New(emulator.Config{State: dir})
	defer second.Close(t.Context())
	if err := second.Run(t.Context(), emulator.InProcess(p)); err == nil {
		t.Error("it started")
	} else {
		contains(t, err.Error(), "process "+strconv.Itoa(os.Getpid()))
	}
}
