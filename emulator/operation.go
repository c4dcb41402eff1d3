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
	switch m := m.(type) {
	case *wire.Send:
		e.operate(m.Instance, m, b)
	case *wire.Done:
		e.operate(m.Instance, m, b)
	case *wire.Broadcast:
		e.operate(m.Instance, m, b)
	case *wire.Close:
		e.operate(m.Instance, m, b)
	case *wire.SetState:
		e.operate(m.Instance, m, b)
	case *wire.Accept:
		e.operate(m.Instance, m, b)
	case *wire.AutoRespond:
		e.operate(m.Instance, m, b)
	case *wire.Hold:
		e.operate(m.Instance, m, b)
	case *wire.SetTimer:
		e.operate(m.Instance, m, b)
	case *wire.StopTimer:
		e.operate(m.Instance, m, b)
	case *wire.Sleep:
		e.operate(m.Instance, m, b)
	case *wire.RequestTurn:
		e.operate(m.Instance, m, b)
	case *wire.Abort:
		e.operate(m.Instance, m, b)
	case *wire.Left:
		e.operate(m.Instance, m, b)
	case *wire.Get:
		e.operate(m.Instance, m, b)
	case *wire.List:
		e.operate(m.Instance, m, b)
	case *wire.Put:
		e.operate(m.Instance, m, b)
	case *wire.Delete:
		e.operate(m.Instance, m, b)
	case *wire.DeleteAll:
		e.operate(m.Instance, m, b)
	case *wire.SetAlarm:
		e.operate(m.Instance, m, b)
	case *wire.Savepoint:
		e.operate(m.Instance, m, b)
	case *wire.Sync:
		e.operate(m.Instance, m, b)
	case *wire.Query:
		e.operate(m.Instance, m, b)
	case *wire.NextRows:
		e.operate(m.Instance, m, b)
	case *wire.CloseCursor:
		e.operate(m.Instance, m, b)
	case *wire.Interrupt:
		e.operate(m.Instance, m, b)
	case *wire.StorageCall:
		e.operate(m.Instance, m, b)
	case *wire.Response:
		if m.Instance != 0 {
			e.operate(m.Instance, m, b)
		} else if x := e.exchange(m.Stream); x != nil && x.servedBy() == g {
			e.moves.Add(1)
			x.respond(m)
			e.answered(g, "")
		}
	case *wire.Cancel:
		if !g.cancelCall(m.ID) && m.Instance != 0 {
			e.operate(m.Instance, m, b)
		}
	case *wire.Log:
		if m.Instance != 0 {
			e.operate(m.Instance, m, b)
			return
		}
		e.events.Publish(&inspect.Log{Header: inspect.Header{Generation: g.number}, Level: slog.Level(m.Level).String(), Text: m.Text})
	case *wire.Exception:
		if m.Instance != 0 {
			e.operate(m.Instance, m, b)
			return
		}
		e.events.Publish(&inspect.Exception{Header: inspect.Header{Generation: g.number}, Hook: m.Hook, Error: m.Err.Text, Stack: m.Err.Stack})
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
	case *wire.Pong:
		g.answered()
	case *wire.Settled:
		e.settled(m)
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
	in := r.inst
	switch m := m.(type) {
	case *wire.Send:
		if c := r.connection(m.Connection); c != nil && c.accepted {
			data := outgoing(m.Binary, m.Data)
			if r.em.events.Wanted() {
				r.em.events.Publish(&inspect.MessageOut{Header: r.header(), Connection: c.id, Count: 1, Payload: r.em.events.Payload(m.Binary, data)})
			} else {
				r.em.events.Missed()
			}
			c.send(opcode(m.Binary), data)
			r.em.answered(in.gen, r.name)
		}
	case *wire.Done:
		r.ended(m)
	case *wire.Broadcast:
		r.broadcast(m)
		r.em.answered(in.gen, r.name)
	case *wire.Close:
		if c := r.connection(m.Connection); c != nil {
			c.close(m.Code, m.Reason, closeLimit)
		}
	case *wire.SetState:
		if c := r.connection(m.Connection); c != nil {
			c.state = m.State
		}
	case *wire.Accept:
		if c := r.connection(m.Connection); c != nil {
			c.accepted, c.tags = true, m.Tags
		}
	case *wire.AutoRespond:
		if m.Request == "" {
			r.auto.Store(nil)
		} else {
			r.auto.Store(&autoResponse{m.Request, m.Response})
		}
	case *wire.Hold:
		if m.Begin {
			in.holds[m.ID] = m.What
		} else {
			delete(in.holds, m.ID)
		}
		r.touch(false)
	case *wire.SetTimer:
		r.setTimer(m)
	case *wire.StopTimer:
		if t := in.timers[m.ID]; t != nil {
			t.Stop()
			delete(in.timers, m.ID)
			r.touch(false)
		}
	case *wire.Sleep:
		r.sleep(m)
	case *wire.RequestTurn:
		r.requestTurn(m)
	case *wire.Cancel:
		r.cancel(m.ID)
	case *wire.Abort:
		r.abort(m.Reason, false)
	case *wire.Left:
		r.givenBack(m)
	case *wire.Response:
		if x := in.streams[m.Stream]; x != nil {
			if m.End {
				delete(in.streams, m.Stream)
				r.touch(true)
			}
			x.respond(m)
			r.em.answered(in.gen, r.name)
		}
	case *wire.Log:
		r.em.events.Publish(&inspect.Log{Header: r.header(), Level: slog.Level(m.Level).String(), Text: m.Text})
	case *wire.Get, *wire.List, *wire.Put, *wire.Delete, *wire.DeleteAll, *wire.SetAlarm, *wire.Savepoint,
		*wire.Sync, *wire.Query, *wire.NextRows, *wire.CloseCursor, *wire.Interrupt, *wire.StorageCall:
		r.store(m)
	case *wire.Exception:
		r.life.failed(m.Hook+": "+m.Err.Text, r.em.clock.Now())
		r.em.events.Publish(&inspect.Exception{Header: r.header(), Hook: m.Hook, Error: m.Err.Text, Stack: m.Err.Stack})
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

func (r *room) broadcast(m *wire.Broadcast) {
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
	in.sleeps[m.ID] = sleep{turn: m.Turn, entry: r.em.clock.At(at, clock.Timer, r.name, func() {
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
