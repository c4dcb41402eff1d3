package wire

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPulseBeatsWhileItIsUsedAndStopsAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var beats atomic.Int64
		p := NewPulse(func() { beats.Add(1) })
		rest := func(d time.Duration) { <-time.After(d); synctest.Wait() }
		rest(time.Hour)
		if n := beats.Load(); n != 0 {
			t.Fatalf("%d beats before it was used", n)
		}
		for round := range 3 {
			beats.Store(0)
			p.Use()
			rest(beatEvery)
			if n := beats.Load(); n != 1 {
				t.Fatalf("round %d: %d beats after one span", round, n)
			}
			for range 200 {
				p.Use()
				rest(beatEvery)
			}
			if n := beats.Load(); n != 201 {
				t.Errorf("round %d: %d beats while it was used", round, n)
			}
			rest(time.Hour)
			if n := beats.Load() - 201; n < quietBeats-1 || n > quietBeats+1 {
				t.Errorf("round %d: %d more beats, want %d", round, n, quietBeats)
			}
		}
		p.Use()
		p.Stop()
		beats.Store(0)
		p.Use()
		rest(time.Hour)
		if n := beats.Load(); n != 0 {
			t.Errorf("%d beats after Stop", n)
		}
	})
}
