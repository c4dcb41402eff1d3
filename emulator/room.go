package emulator

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// room is one room. All fields but box, auto and the constant ones belong to
// the mailbox's owner.
type room struct {
	em      *Emulator
	address wire.Address
	name    string // for people: chat/lobby
	id      string
	box     mailbox
	life    *life
	auto    atomic.Pointer[autoResponse]

	inst    *instance     // nil: no code in memory
	db      *database     // nil: not used since the room was last in memory
	work    worker        // of db
	starts  bool          // work waits for a goroutine
	leaving int           // databases that are being closed
	alarm   *alarm        // whose turn waits or runs
	queue   []*event      // turns that have not been sent to the guest
	conns   []*connection // in the order they came
	byKey   map[uint64]*connection
	props   []byte

	lastTurn  time.Time // when something last kept the room awake
	lastOther time.Time // the same, but for timers and background work
	idle      *clock.Entry
	eviction  *clock.Entry

	dirty   []*connection   // have something to flush
	flush   bool            // the guest's link has something to flush
	sent    int             // turns in it
	moves   uint64          // messages of the room's code, and turns
	writing bool            // a write runs: no turn begins
	waiting bool            // for a generation
	closing bool            // the emulator closes: no new turns
	quiet   []chan struct{} // closed when no turn runs
	forced  bool            // what happens now was asked for by a person

	// suspects is how many turns at the front of the queue lay with a process
	// that crashed. They go to the next one by one: one of them may have done
	// it, and is not to take the others along once more.
	suspects int

	wanted     bool // code is to start although nothing waits for a turn
	keepsProps bool // new code is to find the props again
}

type autoResponse struct{ request, response string }

// instance is one life of a room in a guest's memory.
type instance struct {
	succession

	number   uint64
	gen      *generation
	started  bool // OnStart has run
	starting bool // OnStart runs
	running  []*event
	began    time.Time // machine time: when running[0] could begin
	timers   map[uint64]*clock.Entry
	sleeps   map[uint64]sleep
	holds    map[uint64]string
	streams  map[uint64]*exchange
	gate     gate
	atGuest  int // turns that it has not done

	alarmRuns    bool // the running turn is OnAlarm
	alarmTouched bool // it set or deleted the alarm
	spoiled      bool // the running turn's commit failed
}

func newRoom(e *Emulator, a wire.Address) *room {
	return &room{em: e, address: a, name: a.String(), id: a.ID(), life: e.life(a), byKey: map[uint64]*connection{}, lastTurn: e.clock.Now(), lastOther: e.clock.Now()}
}

func (r *room) header() inspect.Header {
	h := inspect.Header{Room: r.name, Forced: r.forced}
	if r.inst != nil {
		h.Generation = r.inst.gen.number
	}
	return h
}

// forgettable reports whether the room is nothing any more.
func (r *room) forgettable() bool {
	return r.inst == nil && len(r.queue) == 0 && len(r.conns) == 0 && !r.waiting && r.db == nil && r.leaving == 0 &&
		!r.wanted && !r.keepsProps
}

// settle is what an owner does whenever the mailbox is empty: send the guest
// what can run, let everything leave, and see when the room may sleep.
func (r *room) settle() {
	r.moveOn()
	r.pump()
	for _, c := range r.dirty {
		c.dirty = false
		c.flush()
	}
	r.dirty = r.dirty[:0]
	if r.flush && r.inst != nil {
		r.flush = false
		r.inst.gen.flush(r.sent)
	}
	r.sent = 0
	r.arm()
	if len(r.quiet) > 0 && (r.inst == nil || len(r.inst.running) == 0) {
		for _, c := range r.quiet {
			close(c)
		}
		r.quiet = nil
	}
}

func (r *room) tell(m wire.Message) {
	r.inst.gen.link.Send(m)
	r.flush = true
}

// window is how many turns lie with the guest at once. It runs them one at a
// time; what has not begun when an instance ends comes back.
const window = 64

// pump sends waiting turns to the guest, starting an instance where there is
// none.
func (r *room) pump() {
	r.queue = slices.DeleteFunc(r.queue, func(ev *event) bool { return ev.withdrawn })
	if len(r.queue) == 0 && !r.wanted || r.closing || r.writing {
		return
	}
	if r.writeNext() {
		r.runWrite()
		return
	}
	if r.inst == nil {
		g := r.em.current()
		if g == nil {
			r.awaitGeneration()
			return
		}
		if _, ok := g.classes[r.address.Binding]; !ok {
			r.classless(g)
			return
		}
		r.start(g)
		return
	}
	if r.inst.leaving {
		r.pumpLeaving()
		return
	}
	if r.inst.starting || r.inst.atGuest > 0 || len(r.inst.running) >= window {
		return // what comes meanwhile goes together, when it has done these
	}
	if !r.inst.started {
		r.sendStart()
		return
	}
	n := r.share()
	if n == 0 {
		if r.writeNext() { // behind an alarm that was moved
			r.runWrite()
		}
		return
	}
	r.send(r.queue[:n])
	clear(r.queue[:n])
	r.queue = r.queue[n:]
	if len(r.queue) == 0 {
		r.queue = nil
	}
}

// send brings turns to the guest.
func (r *room) send(events []*event) {
	n := len(events)
	now := r.em.wireClock()
	for _, ev := range events {
		ev.number = r.em.next.Add(1)
		wanted := true
		if ev.served != nil {
			wanted = ev.served.sendTo(r.inst.gen)
			r.inst.streams[ev.served.id] = ev.served
		}
		r.tell(&wire.Turn{Instance: r.inst.number, Turn: ev.number, Clock: now, Event: ev.payload})
		if !wanted {
			r.tell(&wire.Reset{Stream: ev.served.id})
		}
	}
	r.inst.running = append(r.inst.running, events...)
	r.inst.atGuest += n
	r.inst.gen.turns.Add(int64(n))
	r.sent += n
	if len(r.inst.running) == n {
		r.inst.began = time.Now()
	}
}

// classless fails what waits for a room whose class the code does not have. An
// alarm stays set: the class may come back.
func (r *room) classless(g *generation) {
	queue := r.queue
	r.queue, r.wanted = nil, false
	for _, ev := range queue {
		if ev.kind == kindAlarm {
			r.alarm = nil
			continue
		}
		r.fail(ev, g.refuse(r.address))
	}
}

// share is how many of the waiting turns may go to the guest together. An alarm
// goes alone, and only if it is still what it was when it fell due.
func (r *room) share() int {
	if r.inst.alarmRuns {
		return 0
	}
	for len(r.queue) > 0 && r.queue[0].kind == kindAlarm {
		if len(r.inst.running) > 0 {
			return 0
		}
		if r.alarmStarts() {
			return 1
		}
		r.queue = r.queue[1:]
	}
	if len(r.queue) > 0 && r.queue[0].write != nil {
		return 0
	}
	if r.suspects > 0 && len(r.queue) > 0 {
		if len(r.inst.running) > 0 {
			return 0
		}
		r.suspects--
		return 1
	}
	n := min(len(r.queue), window-len(r.inst.running))
	for i, ev := range r.queue[:n] {
		if !ev.ahead() && len(r.inst.running)+i > 0 {
			return i
		}
	}
	return n
}

// start makes an instance and runs its OnStart.
func (r *room) start(g *generation) {
	r.inst = &instance{
		number: r.em.next.Add(1), gen: g,
		timers: map[uint64]*clock.Entry{}, sleeps: map[uint64]sleep{},
		holds: map[uint64]string{}, streams: map[uint64]*exchange{},
	}
	r.inst.renewed = r.wanted
	r.wanted, r.keepsProps = false, false
	g.enter()
	r.life.started(g.number)
	r.em.bind(r.inst.number, r)
	r.touch(true)
	r.sendStart()
}

// sendStart runs OnStart, for the first time or, where it failed, again.
func (r *room) sendStart() {
	r.inst.starting = true
	r.inst.began = time.Now()
	r.inst.atGuest++
	r.inst.gen.turns.Add(1)
	r.sent++
	r.inst.startTurn = r.em.next.Add(1)
	m := wire.Start{Instance: r.inst.number, Address: r.address, ID: r.id, Props: r.props, Turn: r.inst.startTurn}
	size := 0
	for _, c := range r.conns {
		if !c.listed() {
			continue
		}
		v := c.wire()
		m.Connections = append(m.Connections, v)
		if size += len(v.ID) + len(v.URI) + len(v.State); size > startShare {
			part := m
			part.More = true
			r.tell(&part)
			m.Connections, size = nil, 0
		}
	}
	r.tell(&m)
}

// startShare is how much of its connections one message tells a starting
// instance. A room may have more than one message can hold.
const startShare = wire.MaxFrame / 4

// startDone is the end of OnStart. Where it failed, the event that wanted the
// room fails, and the next one tries again.
func (r *room) startDone(m *wire.Done) {
	r.inst.starting = false
	r.touch(true)
	if m.Err == nil {
		r.inst.started = true
		cause := "request"
		switch {
		case r.inst.renewed:
			cause = "reload"
		case len(r.queue) > 0:
			cause = r.queue[0].kind
		}
		r.em.events.Publish(&inspect.RoomStarted{Header: r.header(), Cause: cause})
		r.answerWakes()
		return
	}
	if len(r.queue) > 0 && !r.inst.leaving {
		ev := r.queue[0]
		r.queue = r.queue[1:]
		r.fail(ev, m.Err)
	}
}

// answerWakes ends the waits for OnStart, without waiting for the turns before
// them in the queue.
func (r *room) answerWakes() {
	for _, ev := range r.queue {
		if w, ok := ev.payload.(*wire.Wake); ok && !ev.withdrawn {
			r.finish(ev, &wire.Done{})
			ev.done = nil
			ev.withdrawn = w.Props == nil // otherwise they are still to be brought
		}
	}
}

// hibernate drops the instance and keeps the connections.
func (r *room) hibernate(forced bool) {
	r.forced = forced
	h := r.header()
	r.drop("hibernated", forced)
	r.em.events.Publish(&inspect.RoomHibernated{Header: h, Connections: len(r.conns)})
	r.forced = false
}

// evict drops the instance and the connections that cannot hibernate.
func (r *room) evict(reason string, forced bool) {
	r.forced = forced
	h, hibernates := r.header(), r.class().Hibernate
	r.drop("evicted", true)
	cut := 0
	if !hibernates {
		cut = r.cutAll()
	}
	r.em.events.Publish(&inspect.RoomEvicted{Header: h, Reason: reason, Cut: cut})
	r.forced = false
}

// abort resets the room.
func (r *room) abort(reason string, forced bool) {
	r.forced = forced
	h := r.header()
	if r.inst != nil {
		if r.inst.starting {
			r.failFirst(r.inst.lost(r.name + " was aborted: " + reason + " while it was starting"))
		}
		r.drop("aborted: "+reason, true)
	}
	cut := r.cutAll() // behind drop, which brings back turns of connections
	r.auto.Store(nil)
	r.em.events.Publish(&inspect.RoomAborted{Header: h, Reason: reason, Cut: cut})
	r.forced = false
}

// shut ends the room with the emulator.
func (r *room) shut() {
	r.cutAll()
	if r.inst != nil {
		r.drop("the emulator ended", false)
	}
	for _, ev := range r.queue {
		r.fail(ev, retryable("the emulator is stopping"))
	}
	r.queue = nil
	r.waiting = false
}

// drop takes the instance out of memory. The turn that ran is lost; those
// behind it have not begun and wait for the next instance.
func (r *room) drop(reason string, loud bool) {
	in := r.inst
	r.tell(&wire.Stop{Instance: in.number, Reason: reason})
	in.gen.link.Flush()
	r.flush = false
	r.leave(reason, loud)
}

// leave forgets the instance without telling the guest.
func (r *room) leave(reason string, loud bool) {
	in := r.inst
	r.em.unbind(in.number)
	for _, e := range in.timers {
		e.Stop()
	}
	for _, s := range in.sleeps {
		s.entry.Stop()
	}
	in.gen.abandonCalls(in.number)
	lost := in.running
	in.gen.turns.Add(-int64(in.atGuest))
	if len(lost) > 0 {
		ev := lost[0]
		if loud {
			r.em.events.Publish(&inspect.TurnLost{Header: r.header(), Kind: ev.kind, Connection: ev.connection(), Reason: reason})
		}
		r.fail(ev, in.lost(r.name+" was "+reason+" while it handled this"))
		var again []*event
		for _, ev := range lost[1:] {
			if !ev.instanceOnly() {
				again = append(again, ev)
			}
			if ev.served != nil {
				delete(in.streams, ev.served.id) // the next instance serves it
			}
		}
		r.queue = append(again, r.queue...)
	}
	r.queue = slices.DeleteFunc(r.queue, func(ev *event) bool { return ev.instanceOnly() })
	for _, x := range in.streams {
		x.fail(retryable(r.name + " was " + reason + " while it answered this"))
	}
	r.inst = nil
	in.gen.left()
	r.flush = false
	r.closeDatabase()
	if r.idle != nil {
		r.idle.Stop()
		r.idle = nil
	}
	if r.eviction != nil {
		r.eviction.Stop()
		r.eviction = nil
	}
}

// failFirst fails the event that an instance was started for, so that a start
// that never succeeds is not tried for ever.
func (r *room) failFirst(why *wire.Failure) {
	if len(r.queue) > 0 {
		ev := r.queue[0]
		r.queue = r.queue[1:]
		r.fail(ev, why)
	}
}

// lost is the failure of the turn that ran when the instance went. One whose
// commit failed is not to be tried again: it would fail again, and may have done
// things elsewhere.
func (in *instance) lost(text string) *wire.Failure {
	f := retryable(text)
	if in.spoiled {
		f.Code = wire.CodeUser
	}
	return f
}

// retryable is the failure of somebody who waited for an instance that is gone.
func retryable(text string) *wire.Failure {
	return &wire.Failure{Code: wire.CodeRetryable, Text: text}
}

// awaitGeneration comes back to the queue when there is code again.
func (r *room) awaitGeneration() {
	if r.waiting {
		return
	}
	r.waiting = true
	e := r.em
	e.work.Go(func() {
		if _, err := e.awaitCurrent(e.ctx); err != nil {
			return
		}
		r.post(do(func(r *room) { r.waiting = false }))
	})
}
