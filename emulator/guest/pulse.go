package guest

import (
	"sync/atomic"
	"time"
)

// pulse beats every millisecond while turns run, and stops some beats after the
// last one. What must happen a moment after a turn has done something, should
// the turn go on, waits for a beat: a timer set anew in each turn would cost
// more than the turn (it wakes the thread that waits for the network).
type pulse struct {
	beat  func()
	timer *time.Timer
	on    atomic.Bool
	used  atomic.Bool // since the last beat
	ended atomic.Bool
	quiet int // beats since the last use
}

const (
	beatEvery  = time.Millisecond
	quietBeats = 50
)

func newPulse(beat func()) *pulse {
	p := &pulse{beat: beat}
	p.timer = time.AfterFunc(time.Hour, p.tick)
	p.timer.Stop()
	return p
}

// use starts the pulse or keeps it going.
func (p *pulse) use() {
	if !p.used.Load() {
		p.used.Store(true)
	}
	if !p.on.Load() && p.on.CompareAndSwap(false, true) && !p.ended.Load() {
		p.timer.Reset(beatEvery)
	}
}

func (p *pulse) tick() {
	p.beat()
	if p.used.Swap(false) {
		p.quiet = 0
	} else {
		p.quiet++
	}
	switch {
	case p.ended.Load():
	case p.quiet < quietBeats:
		p.timer.Reset(beatEvery)
	default:
		p.quiet = 0
		p.on.Store(false)
		if p.used.Load() {
			p.use() // somebody came in between
		}
	}
}

func (p *pulse) stop() {
	p.ended.Store(true)
	p.timer.Stop()
}
