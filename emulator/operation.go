package emulator

import (
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// handle takes one message of a generation's guest. It never waits. Rooms that
// got something are added to b, which the caller drains.
func (e *Emulator) handle(g *generation, m wire.Message, b *batch) {
	if op, ok := m.(wire.Operation); ok {
		if instance := op.Of(); instance != 0 {
			e.operate(instance, m, b) // goes on in room.operate
			return
		}
	}
	switch m := m.(type) {

	// Code outside of rooms: App.Handler, and what the program starts by itself.
	case *wire.Response:
		e.handlerAnswers(g, m)
	case *wire.Log:
		e.events.Publish(&inspect.Log{Header: inspect.Header{Generation: g.number}, Level: slog.Level(m.Level).String(), Text: m.Text})
	case *wire.Exception:
		e.events.Publish(&inspect.Exception{Header: inspect.Header{Generation: g.number}, Hook: m.Hook, Error: m.Err.Text, Stack: m.Err.Stack})

	// Whoever reaches a room: other rooms, and App.Handler.
	case *wire.Call:
		e.moves.Add(1)
		e.call(g, m, b)
	case *wire.Wakeup:
		e.moves.Add(1)
		e.wakeup(g, m, b)
	case *wire.Fetch:
		e.moves.Add(1)
		e.fetch(g, m, b)
	case *wire.Upgrade:
		e.upgrade(g, m)
	case *wire.Cancel:
		if !g.cancelCall(m.ID) {
			e.operate(m.Instance, m, b) // a room's own Sleep or Do
		}

	// Streams.
	case *wire.Chunk:
		if x := g.fetched(m.Stream); x != nil {
			x.chunk(m.Data, m.End, m.Err)
		}
	case *wire.Ack:
		e.ack(g, m)
	case *wire.Reset:
		if x := g.fetched(m.Stream); x != nil {
			x.cancel()
		}

	// The generation itself.
	case *wire.Pong:
		g.answered()
	case *wire.Settled:
		e.settled(m)
	}
}

// handlerAnswers brings a part of App.Handler's answer to its client.
func (e *Emulator) handlerAnswers(g *generation, m *wire.Response) {
	if x := e.exchange(m.Stream); x != nil && x.servedBy() == g {
		e.moves.Add(1)
		x.respond(m)
		e.answered(g, "")
	}
}

// operation is a guest's message about one of its instances.
type operation struct {
	instance uint64
	m        wire.Message
	seen     bool // it was kept back before
}

func (e *Emulator) operate(instance uint64, m wire.Message, b *batch) {
	r := e.owner(instance)
	if r == nil {
		return // fenced: the instance has left memory
	}
	if r.box.put(operation{instance: instance, m: m}) {
		b.add(r)
	}
}

func (o operation) apply(r *room) {
	if r.inst == nil || r.inst.number != o.instance {
		return // fenced
	}
	r.moves++
	if _, done := o.m.(*wire.Done); done && !o.seen {
		r.inst.atGuest--
		r.inst.gen.turns.Add(-1)
	}
	o.seen = true
	g := &r.inst.gate
	if !g.passes(o) {
		if g.commitsEarly(o.m) {
			r.commit(func() {})
		}
		return
	}
	r.operate(o.m)
}

// operate does what an instance asked for.
func (r *room) operate(m wire.Message) {
	switch m := m.(type) {
	case *wire.Done:
		r.ended(m)
	case *wire.Left:
		r.givenBack(m)
	case *wire.Abort:
		r.abort(m.Reason, false)

	// Connections.
	case *wire.Send:
		r.sendMessage(m)
	case *wire.Broadcast:
		r.broadcast(m)
	case *wire.Accept:
		if c := r.connection(m.Connection); c != nil {
			c.accepted, c.tags = true, m.Tags
		}
	case *wire.Close:
		if c := r.connection(m.Connection); c != nil {
			c.close(m.Code, m.Reason, closeLimit)
		}
	case *wire.SetState:
		if c := r.connection(m.Connection); c != nil {
			c.state = m.State
		}
	case *wire.AutoRespond:
		r.autoRespond(m)
	case *wire.Response:
		r.respond(m)

	// What keeps the room awake.
	case *wire.Hold:
		r.hold(m)
	case *wire.SetTimer:
		r.setTimer(m)
	case *wire.StopTimer:
		r.stopTimer(m.ID)
	case *wire.Sleep:
		r.sleep(m)
	case *wire.RequestTurn:
		r.requestTurn(m)
	case *wire.Cancel:
		r.cancel(m.ID)

	// For people.
	case *wire.Log:
		r.em.events.Publish(&inspect.Log{Header: r.header(), Level: slog.Level(m.Level).String(), Text: m.Text})
	case *wire.Exception:
		r.life.failed(m.Hook+": "+m.Err.Text, r.em.clock.Now())
		r.em.events.Publish(&inspect.Exception{Header: r.header(), Hook: m.Hook, Error: m.Err.Text, Stack: m.Err.Stack})

	default:
		r.store(m)
	}
}

func opcode(isBinary bool) byte {
	if isBinary {
		return websocket.BinaryMessage
	}
	return websocket.TextMessage
}

// outgoing mends text that clients would have to refuse.
func outgoing(isBinary bool, data []byte) []byte {
	if !isBinary && !utf8.Valid(data) {
		return validText(data)
	}
	return data
}

func (r *room) connection(key uint64) *connection { return r.byKey[key] }

func (r *room) sendMessage(m *wire.Send) {
	in, c := r.inst, r.connection(m.Connection)
	if c == nil || !c.accepted {
		return
	}
	data := outgoing(m.Binary, m.Data)
	if r.em.events.Wanted() {
		r.em.events.Publish(&inspect.MessageOut{Header: r.header(), Connection: c.id, Count: 1, Payload: r.em.events.Payload(m.Binary, data)})
	} else {
		r.em.events.Missed()
	}
	c.send(opcode(m.Binary), data)
	r.em.answered(in.gen, r.name)
}

func (r *room) broadcast(m *wire.Broadcast) {
	in := r.inst
	data := outgoing(m.Binary, m.Data)
	frame := appendFrame(make([]byte, 0, len(data)+10), opcode(m.Binary), data)
	n := 0
	for _, c := range r.conns {
		if c.listed() && !c.sent && !c.gone && !contains(m.Without, c.id) {
			c.sendShared(frame, len(data))
			n++
		}
	}
	if r.em.events.Wanted() {
		r.em.events.Publish(&inspect.MessageOut{Header: r.header(), Count: n, Without: m.Without, Payload: r.em.events.Payload(m.Binary, data)})
	} else {
		r.em.events.Missed()
	}
	r.em.answered(in.gen, r.name)
}

func (r *room) autoRespond(m *wire.AutoRespond) {
	if m.Request == "" {
		r.auto.Store(nil)
	} else {
		r.auto.Store(&autoResponse{m.Request, m.Response})
	}
}

// respond brings a part of the answer to a request to whoever waits for it.
func (r *room) respond(m *wire.Response) {
	in := r.inst
	x := in.streams[m.Stream]
	if x == nil {
		return
	}
	if m.End {
		delete(in.streams, m.Stream)
		r.touch(true)
	}
	x.respond(m)
	r.em.answered(in.gen, r.name)
}

// hold begins or ends background work.
func (r *room) hold(m *wire.Hold) {
	if m.Begin {
		r.inst.holds[m.ID] = m.What
	} else {
		delete(r.inst.holds, m.ID)
	}
	r.touch(false)
}

func contains(all []string, s string) bool {
	for _, have := range all {
		if have == s {
			return true
		}
	}
	return false
}

// setTimer starts an AfterFunc: when it is due it asks for its turn.
func (r *room) setTimer(m *wire.SetTimer) {
	in := r.inst
	r.touch(false)
	at := r.em.clock.Now().Add(time.Duration(m.After))
	in.timers[m.ID] = r.em.clock.At(at, clock.Timer, r.name, func() {
		r.do(func() {
			if r.inst != in || in.timers[m.ID] == nil {
				return
			}
			delete(in.timers, m.ID)
			r.enqueue(&event{kind: kindTimer, payload: &wire.RunTimer{ID: m.ID}})
		})
	})
}

func (r *room) stopTimer(id uint64) {
	if t := r.inst.timers[id]; t != nil {
		t.Stop()
		delete(r.inst.timers, id)
		r.touch(false)
	}
}

// sleep is a wait for the rooms' clock.
type sleep struct {
	entry *clock.Entry
	turn  uint64 // that waits; 0: background work
}

// sleep answers after a span of the rooms' clock.
func (r *room) sleep(m *wire.Sleep) {
	in := r.inst
	r.touch(false)
	at := r.em.clock.Now().Add(time.Duration(m.After))
	in.sleeps[m.ID] = sleep{turn: m.Turn, entry: r.em.clock.At(at, clock.Sleep, r.name, func() {
		r.do(func() {
			if _, waits := in.sleeps[m.ID]; r.inst != in || !waits {
				return
			}
			delete(in.sleeps, m.ID)
			r.touch(false)
			r.tell(&wire.SetClock{Clock: r.em.wireClock()})
			r.tell(&wire.Result{ID: m.ID})
		})
	})}
}

// requestTurn queues a Do.
func (r *room) requestTurn(m *wire.RequestTurn) {
	in := r.inst
	ev := &event{kind: kindDo, payload: &wire.RunDo{ID: m.ID}}
	ev.done = func(d *wire.Done) {
		if r.inst == in {
			r.tell(&wire.Result{ID: m.ID, Err: d.Err})
		}
	}
	ev.failed = func(*wire.Failure) {} // its instance is gone
	r.enqueue(ev)
}

// cancel withdraws a Sleep or a Do.
func (r *room) cancel(id uint64) {
	if s, ok := r.inst.sleeps[id]; ok {
		s.entry.Stop()
		delete(r.inst.sleeps, id)
		r.touch(false)
		return
	}
	for _, ev := range r.queue {
		if d, ok := ev.payload.(*wire.RunDo); ok && d.ID == id {
			ev.withdrawn = true
		}
	}
}
