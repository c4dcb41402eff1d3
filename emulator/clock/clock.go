// Package clock is the rooms' time: wall time that can be moved forward, or a
// clock that stands still until it is advanced.
//
// What falls due runs one at a time, on the clock's own goroutine or on that of
// Advance, ordered by time, then kind, then room, then the order of setting. A room's
// timers run before what sleeps in it.
package clock

import (
	"container/heap"
	"strings"
	"sync"
	"time"
)

// Kind orders what falls due at the same time.
type Kind int

// The kinds, in the order in which they run.
const (
	Timer Kind = iota // AfterFunc
	Sleep             // as Timer, but behind those of its room: background work may set it sooner or later
	Alarm
	Idle // hibernation and eviction
)

// rank is the kind's place among those of all rooms.
func (k Kind) rank() Kind {
	if k == Sleep {
		return Timer
	}
	return k
}

// Clock is safe for use by many goroutines.
type Clock struct {
	manual bool

	mu     sync.Mutex
	now    time.Time     // of a manual clock
	offset time.Duration // of a wall clock
	due    entries
	seq    uint64
	timer  *time.Timer // of a wall clock; fires for due[0]
	moving bool        // Advance runs what is due
	firing bool        // something runs that fell due by itself
	settle func()      // behind each of those
	closed bool
	fired  sync.WaitGroup
}

// NewWall returns a clock that runs at wall speed.
func NewWall() *Clock { return &Clock{} }

// NewManual returns a clock that stands at start until advanced.
func NewManual(start time.Time) *Clock { return &Clock{manual: true, now: start.UTC()} }

// Settle makes f wait behind everything that falls due by itself until what that
// set off is over, so that such things happen one after the other. It must be
// called before the clock is used.
func (c *Clock) Settle(f func()) { c.settle = f }

// Manual reports whether the clock stands still by itself.
func (c *Clock) Manual() bool { return c.manual }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Clock) nowLocked() time.Time {
	if c.manual {
		return c.now
	}
	return time.Now().Add(c.offset)
}

// Offset is how far a wall clock was moved.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// Entry is something that falls due; Stop withdraws it.
type Entry struct {
	clock *Clock
	at    time.Time
	kind  Kind
	room  string
	seq   uint64
	index int // in the heap; -1: not there
	f     func()
}

// At runs f at t, or at once where t is not in the future. f must not block.
func (c *Clock) At(t time.Time, kind Kind, room string, f func()) *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	e := &Entry{clock: c, at: t, kind: kind, room: room, seq: c.seq, f: f, index: -1}
	if c.closed {
		return e
	}
	heap.Push(&c.due, e)
	if e.index == 0 {
		c.arm()
	}
	return e
}

// Stop withdraws the entry and reports whether it had not run.
func (e *Entry) Stop() bool {
	e.clock.mu.Lock()
	defer e.clock.mu.Unlock()
	if e.index < 0 {
		return false
	}
	heap.Remove(&e.clock.due, e.index)
	return true
}

// arm must be called with mu held. A manual clock runs what is due at once only
// within Advance, or from here where something is already due.
func (c *Clock) arm() {
	if c.moving || c.closed || len(c.due) == 0 {
		return
	}
	wait := c.due[0].at.Sub(c.nowLocked())
	if c.manual {
		if wait > 0 {
			return
		}
		wait = 0
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(max(wait, 0), c.fire)
		return
	}
	c.timer.Reset(max(wait, 0))
}

// fire runs what is due now.
func (c *Clock) fire() {
	c.mu.Lock()
	if c.closed || c.moving {
		c.mu.Unlock()
		return
	}
	c.fired.Add(1)
	defer c.fired.Done()
	for len(c.due) > 0 && !c.moving && !c.closed && !c.due[0].at.After(c.nowLocked()) {
		e := heap.Pop(&c.due).(*Entry)
		c.firing = true
		c.mu.Unlock()
		e.f()
		if c.settle != nil {
			c.settle()
		}
		c.mu.Lock()
		c.firing = false
	}
	c.arm()
	c.mu.Unlock()
}

// Advance moves the clock by d and runs what falls due, each entry with the
// clock at its own time. After each one settle (if not nil) waits until what it
// set off is over; where it fails, the clock stays at that time. moved (if not
// nil) is told of every step of the clock before what is due then runs.
func (c *Clock) Advance(d time.Duration, moved func(), settle func() error) error {
	c.mu.Lock()
	if d < 0 || c.moving || c.closed {
		c.mu.Unlock()
		return nil
	}
	c.moving = true
	target := c.nowLocked().Add(d)
	for !c.closed && len(c.due) > 0 && !c.due[0].at.After(target) {
		e := heap.Pop(&c.due).(*Entry)
		c.setLocked(e.at)
		c.mu.Unlock()
		if moved != nil {
			moved()
		}
		e.f()
		var err error
		if settle != nil {
			err = settle()
		}
		c.mu.Lock()
		if err != nil {
			c.moving = false
			c.arm()
			c.mu.Unlock()
			return err
		}
	}
	c.setLocked(target)
	c.moving = false
	c.arm()
	c.mu.Unlock()
	if moved != nil {
		moved()
	}
	return nil
}

// setLocked moves the clock to t, never back.
func (c *Clock) setLocked(t time.Time) {
	step := t.Sub(c.nowLocked())
	if step <= 0 {
		return
	}
	if c.manual {
		c.now = t
	} else {
		c.offset += step
	}
}

// Due reports whether something is to run now, or runs, without the clock being
// moved.
func (c *Clock) Due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.firing || !c.closed && !c.moving && len(c.due) > 0 && !c.due[0].at.After(c.nowLocked())
}

// Close drops everything that is due and waits for what runs.
func (c *Clock) Close() {
	c.mu.Lock()
	c.closed = true
	for _, e := range c.due {
		e.index = -1
	}
	c.due = nil
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	c.fired.Wait()
}

// entries is a heap.
type entries []*Entry

func (h entries) Len() int { return len(h) }
func (h entries) Less(i, j int) bool {
	a, b := h[i], h[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	if ka, kb := a.kind.rank(), b.kind.rank(); ka != kb {
		return ka < kb
	}
	if r := strings.Compare(a.room, b.room); r != 0 {
		return r < 0
	}
	if a.kind != b.kind {
		return a.kind < b.kind
	}
	return a.seq < b.seq
}
func (h entries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *entries) Push(x any) {
	e := x.(*Entry)
	e.index = len(*h)
	*h = append(*h, e)
}
func (h *entries) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}
