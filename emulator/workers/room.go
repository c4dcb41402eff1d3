//go:build js

package workers

import (
	"fmt"
	"slices"
	"syscall/js"
	"time"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// room is the one room of this program. What it keeps belongs to the host's
// mailbox.
type room struct {
	*host
	class   wire.Class
	address wire.Address
	id      string
	storage *storage
	limit   time.Duration // of a turn

	started, starting bool
	queue             []*event // turns that have not begun
	running           *event
	number            uint64 // of the turn that runs, or ran last
	props             []byte

	conns []*conn
	byKey map[uint64]*conn
	last  uint64 // key

	sleeps   map[uint64]*timer       // and AfterFuncs
	waitsFor map[uint64]wire.Address // what the running turn waits for, by call
	probes   uint64
}

// instance is the number of the only one.
const instance = 1

// event is a turn that waits or runs.
type event struct {
	payload   wire.Event
	waiting   waiting
	begin     func() // it runs from now on
	done      func(*wire.Done)
	withdrawn bool
}

// turnLimit is how long a turn may take, unless the variable PARTY_TURN_LIMIT
// says otherwise. Nobody else could end a hook that never returns.
const turnLimit = 5 * time.Minute

func (h *host) makeRoom(p guest.Program) error {
	r := &room{
		host: h, id: h.shim.Get("id").String(), limit: turnLimit,
		address: wire.Address{Binding: h.shim.Get("binding").String(), Jurisdiction: h.shim.Get("jurisdiction").String()},
		byKey:   map[uint64]*conn{}, sleeps: map[uint64]*timer{}, waitsFor: map[uint64]wire.Address{},
	}
	i := slices.IndexFunc(p.Classes, func(c guest.Class) bool { return c.Binding == r.address.Binding })
	if i < 0 {
		return fmt.Errorf("the bundle has a class %q that the program does not: build it again with `party build --target=workers`", r.address.Binding)
	}
	r.class = p.Classes[i].Class
	if s := text(h.shim.Get("env").Get("PARTY_TURN_LIMIT")); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return fmt.Errorf("PARTY_TURN_LIMIT=%q is no span of time: use one such as 5m", s)
		}
		r.limit = d
	}
	if s := text(h.shim.Get("props")); s != "" {
		r.props = []byte(s)
	}
	r.storage = newStorage(r)
	h.room = r
	r.findSockets()
	return nil
}

func (r *room) listen(on js.Value) {
	r.hear(on, "connect", r.connect)
	r.hear(on, "overdue", func([]js.Value) {
		r.abort(fmt.Sprintf("a turn took longer than %s (PARTY_TURN_LIMIT sets another limit)", r.limit))
	})
	r.hear(on, "message", r.message)
	r.hear(on, "closed", func(a []js.Value) {
		r.closed(a[0].Int(), uint64(a[1].Int()), a[2].Int(), a[3].String(), a[4].Bool())
	})
	r.hear(on, "faulted", func(a []js.Value) { r.faulted(a[0].Int(), uint64(a[1].Int()), a[2].String()) })
	r.hear(on, "alarm", r.alarm)
	r.hear(on, "call", func(a []js.Value) {
		id := a[0].Int()
		ev := &event{payload: &wire.Invoke{Method: a[1].String(), Args: []byte(a[2].String())}}
		ev.done = func(m *wire.Done) { r.done(id, m.Value, m.Err) }
		r.called(ev, text(a[3]))
	})
	r.hear(on, "wake", func(a []js.Value) {
		id, props := a[0].Int(), propsOf(a[1])
		r.given(props)
		ev := &event{payload: &wire.Wake{Props: props}}
		ev.done = func(m *wire.Done) { r.done(id, nil, m.Err) }
		if r.started {
			r.done(id, nil, nil)
			ev.done = func(*wire.Done) {}
			if props != nil {
				r.enqueue(ev)
			}
			return
		}
		r.called(ev, text(a[2]))
	})
	r.hear(on, "probe", func(a []js.Value) {
		id := a[0].Int()
		r.probe(parseWaiting(text(a[1])), func(found string) { r.done(id, []byte(found), nil) })
	})
}

// given notes the room's props, if there are new ones: also for its next life.
func (r *room) given(props []byte) {
	if props != nil {
		r.props = props
		r.shim.Get("database").Call("keepProps", string(props))
	}
}

// done answers another room's question.
func (r *room) done(id int, value []byte, failure *wire.Failure) {
	answer := map[string]any{"value": string(value)}
	if failure != nil {
		answer = map[string]any{"code": int(failure.Code), "text": failure.Text, "stack": failure.Stack}
	}
	r.shim.Call("done", id, answer)
}

// called queues the turn of a call, and fails it where it would wait for ever.
func (r *room) called(ev *event, who string) {
	ev.waiting = parseWaiting(who)
	r.enqueue(ev)
	if r.running == ev || len(ev.waiting) == 0 {
		return
	}
	r.probe(ev.waiting, func(found string) {
		if i := slices.Index(r.queue, ev); found != "" && i >= 0 {
			r.queue = slices.Delete(r.queue, i, i+1)
			ev.done(&wire.Done{Err: &wire.Failure{Code: wire.CodeCycle, Text: found}})
		}
	})
}

// enqueue queues a turn.
func (r *room) enqueue(ev *event) {
	r.queue = append(r.queue, ev)
	r.pump()
}

// pump lets the guest run the next turn.
func (r *room) pump() {
	r.queue = slices.DeleteFunc(r.queue, func(ev *event) bool { return ev.withdrawn })
	if r.running != nil || r.starting || len(r.queue) == 0 {
		return
	}
	r.number++
	number := r.number
	r.shim.Call("turn", float64(r.limit/time.Millisecond))
	if !r.started {
		r.starting = true
		if r.address.Name == "" {
			r.address.Name = text(r.shim.Get("name"))
		}
		m := &wire.Start{Instance: instance, Address: r.address, ID: r.id, Props: r.props, Turn: number}
		for _, c := range r.conns {
			if c.accepted {
				m.Connections = append(m.Connections, c.wire())
			}
		}
		r.guest.Handle(m)
		return
	}
	ev := r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	r.running = ev
	if ev.begin != nil {
		ev.begin()
	}
	r.guest.Handle(&wire.Turn{Instance: instance, Turn: number, Event: ev.payload})
}

// ended is the end of a turn.
func (r *room) ended(m *wire.Done) {
	if m.Turn != r.number {
		return
	}
	r.shim.Call("turn", 0)
	clear(r.waitsFor)
	if r.starting {
		r.starting = false
		if m.Err == nil {
			r.started = true
			r.answerWakes()
		} else if len(r.queue) > 0 {
			ev := r.queue[0]
			r.queue = r.queue[1:]
			ev.done(&wire.Done{Err: m.Err})
		}
		r.pump()
		return
	}
	ev := r.running
	r.running = nil
	ev.done(m)
	r.pump()
}

// answerWakes ends the waits for OnStart.
func (r *room) answerWakes() {
	for _, ev := range r.queue {
		if w, ok := ev.payload.(*wire.Wake); ok {
			ev.done(&wire.Done{})
			ev.done = func(*wire.Done) {}
			ev.withdrawn = w.Props == nil // otherwise they are still to be brought
		}
	}
}

// abort resets the room: the engine drops what is not committed, cuts every
// connection and ends this program. It does not return where the engine runs
// us.
func (r *room) abort(reason string) {
	r.log(4, "aborted: "+reason)
	r.shim.Call("abort", reason)
}

// operate does what the guest asks for that only a room can do.
func (r *room) operate(m wire.Message) {
	switch m := m.(type) {
	case *wire.Done:
		r.ended(m)
	case *wire.Accept:
		if c := r.byKey[m.Connection]; c != nil {
			c.accepted, c.tags = true, m.Tags
		}
	case *wire.Send:
		if c := r.byKey[m.Connection]; c != nil {
			c.send(message(m.Binary, m.Data))
		}
	case *wire.Broadcast:
		r.broadcast(m)
	case *wire.Close:
		if c := r.byKey[m.Connection]; c != nil {
			c.close(m.Code, m.Reason)
		}
	case *wire.SetState:
		if c := r.byKey[m.Connection]; c != nil {
			c.state = m.State
			c.attach()
		}
	case *wire.AutoRespond:
		r.shim.Call("autoRespond", m.Request, m.Response)
	case *wire.Hold:
		if m.Begin {
			r.hold(m.ID, true)
		} else {
			r.release(m.ID)
		}
	case *wire.SetTimer:
		r.timer(m.ID, time.Duration(m.After), func() {
			r.enqueue(&event{payload: &wire.RunTimer{ID: m.ID}, done: func(*wire.Done) {}})
		})
	case *wire.StopTimer:
		r.stopTimer(m.ID)
	case *wire.Sleep:
		r.timer(m.ID, time.Duration(m.After), func() { r.guest.Handle(&wire.Result{ID: m.ID}) })
	case *wire.RequestTurn:
		ev := &event{payload: &wire.RunDo{ID: m.ID}}
		ev.done = func(d *wire.Done) { r.guest.Handle(&wire.Result{ID: m.ID, Err: d.Err}) }
		r.enqueue(ev)
	case *wire.Abort:
		r.abort(m.Reason)
	}
}

// timer calls f after d and keeps the room awake until then.
func (r *room) timer(id uint64, d time.Duration, f func()) {
	r.hold(id, false)
	r.sleeps[id] = r.after(d, func() {
		if r.stopTimer(id) {
			f()
		}
	})
}

func (r *room) stopTimer(id uint64) bool {
	t := r.sleeps[id]
	if t == nil {
		return false
	}
	t.stop()
	delete(r.sleeps, id)
	r.release(id)
	return true
}

// cancel withdraws a Sleep or a Do.
func (r *room) cancel(id uint64) {
	if r.stopTimer(id) {
		return
	}
	for _, ev := range r.queue {
		if d, ok := ev.payload.(*wire.RunDo); ok && d.ID == id {
			ev.withdrawn = true
		}
	}
}

// serve queues the turn of a request.
func (r *room) serve(s *serve, req wire.Request, props []byte, who string) {
	r.given(props)
	ev := &event{payload: &wire.Serve{Stream: s.stream, Request: req, Props: props}}
	ev.done = func(m *wire.Done) {
		if m.Err != nil { // where the guest did not get to the request, nobody has answered
			s.fail(m.Err)
		}
	}
	r.called(ev, who)
}

func (r *room) alarm(a []js.Value) {
	id, retries := a[0].Int(), a[1].Int()
	scheduled := time.UnixMilli(int64(a[2].Float()))
	if a[2].Int() == 0 {
		scheduled = r.storage.scheduled(time.Now())
	}
	ev := &event{payload: &wire.RunAlarm{RetryCount: retries, Scheduled: scheduled.UnixNano()}}
	ev.begin = r.storage.alarmRuns
	ev.done = func(m *wire.Done) {
		r.storage.alarmRan(m.Err != nil, retries, scheduled)
		if m.Err != nil {
			r.shim.Call("fail", id, "OnAlarm: "+m.Err.Text) // the engine runs it again
			return
		}
		r.shim.Call("done", id)
	}
	r.enqueue(ev)
}
