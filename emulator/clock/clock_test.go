package clock

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func TestManualClockRunsWhatFallsDueInOrder(t *testing.T) {
	c := NewManual(start)
	defer c.Close()
	var got []string
	note := func(s string) func() {
		return func() { got = append(got, fmt.Sprintf("%s@%s", s, c.Now().Sub(start))) }
	}
	c.At(start.Add(2*time.Second), Idle, "a/1", note("idle"))
	c.At(start.Add(2*time.Second), Sleep, "a/1", note("sleep a"))
	c.At(start.Add(2*time.Second), Timer, "b/1", note("timer b"))
	c.At(start.Add(2*time.Second), Timer, "a/1", note("timer a"))
	c.At(start.Add(2*time.Second), Alarm, "a/1", note("alarm"))
	stopped := c.At(start.Add(time.Second), Timer, "a/1", note("stopped"))
	c.At(start.Add(time.Second), Timer, "a/1", func() {
		note("first")()
		c.At(c.Now().Add(500*time.Millisecond), Timer, "a/1", note("set by first"))
	})
	c.At(start.Add(time.Hour), Timer, "a/1", note("too late"))
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop must report once that it stopped")
	}
	settled := 0
	c.Advance(3*time.Second, nil, func() error { settled++; return nil })
	want := []string{"first@1s", "set by first@1.5s", "timer a@2s", "sleep a@2s", "timer b@2s", "alarm@2s", "idle@2s"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if now := c.Now(); !now.Equal(start.Add(3 * time.Second)) {
		t.Errorf("now %s", now)
	}
	if settled != len(want) {
		t.Errorf("settled %d times", settled)
	}
}

func TestWallClockFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewWall()
		var got []time.Duration
		began := time.Now()
		for _, d := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second} {
			c.At(c.Now().Add(d), Timer, "", func() { got = append(got, time.Since(began)) })
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("fired at %v, want %v", got, want)
		}
		c.Close()
	})
}

func TestWallClockCanBeAdvanced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewWall()
		fired := 0
		c.At(c.Now().Add(time.Hour), Timer, "", func() { fired++ })
		late := c.At(c.Now().Add(3*time.Hour), Timer, "", func() { fired++ })
		before := c.Now()
		c.Advance(2*time.Hour, nil, nil)
		if fired != 1 || c.Now().Sub(before) != 2*time.Hour {
			t.Errorf("fired %d, moved %s", fired, c.Now().Sub(before))
		}
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		if fired != 2 || late.Stop() {
			t.Errorf("what was set before must come earlier by wall time; fired %d", fired)
		}
		c.Close()
	})
}
