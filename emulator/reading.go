package emulator

import (
	"sync"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// receiver makes what the goroutines that read a guest's link call. A guest in a
// process has one such goroutine at a time; its messages are gathered, so that
// each room is drained once for all that came together. A guest in this process
// has none: its messages come on the goroutines that send them.
func (e *Emulator) receiver(g *generation, linked chan struct{}) wire.Receiver {
	if g.guest.PID() == 0 {
		return func() (func(wire.Message) bool, func() bool) {
			return func(m wire.Message) bool {
				var b batch
				e.handle(g, m, &b)
				b.drain(nil) // work with a database runs on the goroutine that waits for it
				return true
			}, func() bool { return true }
		}
	}
	g.pulse = wire.NewPulse(g.beat)
	return func() (func(wire.Message) bool, func() bool) {
		b := &batch{}
		n := g.reading.begin()
		return func(m wire.Message) bool {
				<-linked
				e.handle(g, m, b)
				return true
			}, func() bool {
				<-linked
				g.heard.Store(time.Now().UnixNano())
				b.drain(func(work func()) {
					g.pulse.Use()
					g.reading.borrow(n)
					work()
				})
				g.flushHeld()
				return g.reading.goesOn(n)
			}
	}
}

// beat is called every millisecond or so while the guest has much to do.
func (g *generation) beat() {
	g.flushHeld()
	if g.reading.overdue() {
		g.guest.ReadOn()
	}
}

// reading is the goroutine that reads a guest's link. It lends itself to rooms
// for their work with databases, which so needs no other to be woken. Where that
// takes more than a beat or two, another goroutine reads on.
type reading struct {
	mu   sync.Mutex
	n    uint64 // number of the goroutine that reads
	lent bool
	late bool // it was lent at the last beat
}

// begin is called by a goroutine that reads from here on.
func (r *reading) begin() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.lent, r.late = false, false
	return r.n
}

// borrow notes that the n-th goroutine works for a room.
func (r *reading) borrow(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == n {
		r.lent, r.late = true, false
	}
}

// goesOn ends that, and reports whether the goroutine still is the one to read.
func (r *reading) goesOn(n uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n != n {
		return false
	}
	r.lent = false
	return true
}

// overdue reports that another goroutine must read on.
func (r *reading) overdue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := r.lent && r.late
	r.late = r.lent
	if over {
		r.n++ // whoever reads next counts on
		r.lent, r.late = false, false
	}
	return over
}
