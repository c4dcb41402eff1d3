package wire

import (
	"sync"
	"sync/atomic"
	"time"
)

// Pulse beats every millisecond while turns run, and stops some beats after the
// last one. What must happen a moment after a turn has done something, should
// the turn go on, waits for a beat: a timer set anew in each turn would cost
// more than the turn (it wakes the thread that waits for the network).
type Pulse struct {
	beat  func()
	made  sync.Once // timer: where it is never used there is none
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

// NewPulse returns a pulse that calls beat; it does not beat yet.
func NewPulse(beat func()) *Pulse {
	return &Pulse{beat: beat}
}

// Use starts the pulse or keeps it going.
func (p *Pulse) Use() {
	if !p.used.Load() {
		p.used.Store(true)
	}
	if !p.on.Load() && p.on.CompareAndSwap(false, true) && !p.ended.Load() {
		p.made.Do(func() {
			p.timer = time.AfterFunc(time.Hour, p.tick)
			p.timer.Stop()
		})
		p.timer.Reset(beatEvery)
	}
}

func (p *Pulse) tick() {
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
			p.Use() // somebody came in between
		}
	}
}

// Stop ends it.
func (p *Pulse) Stop() {
	p.ended.Store(true)
	p.made.Do(func() {})
	if p.timer != nil {
		p.timer.Stop()
	}
}
