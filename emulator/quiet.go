package emulator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/process"
	"github.com/goparty/party/emulator/wire"
)

// Quiet waits until nothing moves by itself: no turn runs or waits, nothing is
// due, no commit, answer or close handshake is on its way, and the code's
// goroutines wait for something. A turn that waits for the rooms' clock, and
// what waits for it, do not count: only moving the clock lets them go on. Where
// ctx ends first, the error names what still runs.
//
// It is for clocks that stand still; with others something always falls due.
func (e *Emulator) Quiet(ctx context.Context) error { return e.settle(ctx, true) }

// settleEach and settleAll are how long a step of a clock that also runs by
// itself waits for what it set off, and how long all steps together: on a busy
// server it is never quiet.
const (
	settleEach = 100 * time.Millisecond
	settleAll  = 2 * time.Second
)

// settler waits behind each thing that falls due when the clock is moved.
func (e *Emulator) settler(ctx context.Context) func() error {
	if e.clock.Manual() {
		return func() error { return e.settle(ctx, false) }
	}
	left := settleAll
	return func() error {
		if left <= 0 {
			return nil
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, settleEach)
		defer cancel()
		if e.settle(ctx, false) != nil {
			left -= time.Since(began)
		}
		return nil
	}
}

// Settled is Quiet for whoever moves the clock: what is due does not count.
func (e *Emulator) Settled(ctx context.Context) error { return e.settle(ctx, false) }

// QuietLimit is how long it is worth waiting for an emulator to become quiet, of
// machine time.
const QuietLimit = 5 * time.Second

// The time between two looks, of machine time.
const (
	pollLeast = 20 * time.Microsecond
	pollMost  = time.Millisecond
)

// settle is Quiet; due is false where the clock runs what is due meanwhile.
func (e *Emulator) settle(ctx context.Context, due bool) error {
	wait := pollLeast
	for {
		why, before := e.stirring(due)
		if len(why) == 0 {
			e.settleCode(ctx, "")
			var after uint64
			if why, after = e.stirring(due); len(why) == 0 && before == after && ctx.Err() == nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			if len(why) == 0 {
				return ctx.Err()
			}
			return fmt.Errorf("still running: %s", strings.Join(why, "; "))
		}
		time.Sleep(wait)
		wait = min(2*wait, pollMost)
	}
}

// stirring lists what moves, and counts what has moved so far.
func (e *Emulator) stirring(due bool) (why []string, moves uint64) {
	moves = e.next.Load() + e.moves.Load()
	if due && e.clock.Due() {
		why = append(why, "something is due")
	}
	if n := e.transit.Load(); n > 0 {
		why = append(why, count(int(n), "request")+" at the gateway")
	}
	if what := e.codeStirs(); what != "" {
		why = append(why, what)
	}
	rooms := e.allRooms()
	slices.SortFunc(rooms, func(a, b *room) int { return strings.Compare(a.name, b.name) })
	for _, r := range rooms {
		waits := e.waits.any(r.address)
		r.do(func() {
			moves += r.moves
			if what := r.stirs(waits); what != "" {
				why = append(why, r.name+": "+what)
			}
		})
	}
	return why, moves
}

// codeStirs says what the code does that belongs to no room.
func (e *Emulator) codeStirs() string {
	g := e.current()
	switch {
	case g == nil:
		return "the server's code is not running: " + e.whyNot()
	case ended(g.guest.Done()):
		return "the server's process has just ended"
	}
	if _, to, left := e.Reloading(); to != 0 && left == 0 {
		return fmt.Sprintf("generation %d is being started", to)
	}
	// Handlers that wait for a room are that room's affair.
	g.mu.Lock()
	handling := 0
	for x := range g.serving {
		if !x.answering() {
			handling++
		}
	}
	for _, c := range g.calls {
		if c.who.Instance == 0 {
			handling--
		}
	}
	g.mu.Unlock()
	if handling > 0 {
		return count(handling, "request") + " of App.Handler"
	}
	return ""
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// stirs says what moves in the room; "" where nothing does. waits is whether a
// turn of it waits for another room, which then is what moves.
func (r *room) stirs(waits bool) string {
	if r.leaving > 0 || r.work.pending() {
		return "its database is at work"
	}
	for _, c := range r.conns {
		if c.sock != nil && c.sent && !c.gone {
			return "connection " + c.id + " is being closed"
		}
	}
	in := r.inst
	switch {
	case in == nil && len(r.queue) > 0:
		return count(len(r.queue), "turn") + " waiting"
	case in == nil:
		return ""
	case in.gate.committing:
		return "it commits"
	case waits || in.sleepsInTurn():
		return ""
	case in.starting:
		return "OnStart has been running for " + sinceText(in.began)
	case len(in.running) > 0:
		ev := in.running[0]
		what := fmt.Sprintf("a turn (%s", ev.kind)
		if ev.conn != nil {
			what += " of " + ev.conn.id
		}
		return what + ") has been running for " + sinceText(in.began)
	case len(r.queue) > 0 || in.atGuest > 0:
		return count(max(len(r.queue), 1), "turn") + " waiting"
	}
	return ""
}

func sinceText(t time.Time) string {
	return time.Since(t).Round(time.Millisecond).String()
}

// sleepsInTurn reports whether the running turn waits for the clock.
func (in *instance) sleepsInTurn() bool {
	turn := in.startTurn
	if len(in.running) > 0 {
		turn = in.running[0].number
	}
	for _, s := range in.sleeps {
		if s.turn != 0 && s.turn == turn {
			return true
		}
	}
	return false
}

// motion is what tells whether the emulator has come to rest.
type motion struct {
	transit atomic.Int64  // requests and answers between clients and rooms
	moves   atomic.Uint64 // messages of the code that belong to no room

	settleMu sync.Mutex
	settling map[uint64]chan struct{} // closed when the code has answered
}

// settleCode waits until the code's goroutines have come to rest, and, where
// mark is set, until what they wrote before has come.
func (e *Emulator) settleCode(ctx context.Context, mark string) {
	g := e.current()
	if g == nil {
		return
	}
	id := e.settleID()
	answered := make(chan struct{})
	e.settleMu.Lock()
	if e.settling == nil {
		e.settling = map[uint64]chan struct{}{}
	}
	e.settling[id] = answered
	e.settleMu.Unlock()
	m := &wire.Settle{ID: id}
	if mark != "" {
		m.Mark = process.MarkPrefix + mark
	}
	g.link.Send(m)
	g.link.Flush()
	select {
	case <-answered:
	case <-ctx.Done():
	case <-g.guest.Done():
	}
	e.settleMu.Lock()
	delete(e.settling, id)
	e.settleMu.Unlock()
	if p, ok := g.guest.(interface {
		AwaitMark(ctx context.Context, mark string)
	}); ok && mark != "" {
		p.AwaitMark(ctx, mark)
	}
}

// settleNumber counts questions; it is no move, unlike what Emulator.next counts.
var settleNumber atomic.Uint64

func (e *Emulator) settleID() uint64 { return settleNumber.Add(1) }

func (e *Emulator) settled(m *wire.Settled) {
	e.settleMu.Lock()
	defer e.settleMu.Unlock()
	if answered := e.settling[m.ID]; answered != nil {
		close(answered)
		delete(e.settling, m.ID)
	}
}

// Output waits, as long as ctx lets it, until what the code has written to its
// standard output and error has become events.
func (e *Emulator) Output(ctx context.Context) {
	e.settleCode(ctx, fmt.Sprint(e.settleID()))
}

// poll looks whether something is done until it is, at least once and as long as
// ctx lets it, where nothing tells.
func poll(ctx context.Context, done func() bool) {
	for wait := pollLeast; !done() && ctx.Err() == nil; wait = min(2*wait, pollMost) {
		time.Sleep(wait)
	}
}

// AwaitArrival waits, as long as ctx lets it, until the emulator has a request of
// the client whose address is addr.
func (e *Emulator) AwaitArrival(ctx context.Context, addr string) {
	poll(ctx, func() bool { return !e.departed(addr) })
}

// AwaitDeparture waits, as long as ctx lets it, until the emulator has noticed
// that the client whose address is addr went away. Until then a turn for it may
// still come.
func (e *Emulator) AwaitDeparture(ctx context.Context, addr string) {
	poll(ctx, func() bool { return e.departed(addr) })
}

func (e *Emulator) departed(addr string) bool {
	e.mu.RLock()
	for _, x := range e.exchanges {
		if x.remote == addr {
			e.mu.RUnlock()
			return false
		}
	}
	e.mu.RUnlock()
	for _, r := range e.allRooms() {
		there := false
		r.do(func() {
			for _, c := range r.conns {
				if c.sock != nil && !c.gone && !c.cut && c.sock.RemoteAddr().String() == addr {
					there = true
				}
			}
		})
		if there {
			return false
		}
	}
	return true
}
