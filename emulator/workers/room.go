//go:build js

package workers

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// conn is one WebSocket.
type conn struct {
	r        *room
	key      uint64
	id, uri  string
	tags     []string
	state    []byte
	accepted bool // it has tags and gets broadcasts
	open     bool // the engine has it
	sent     bool // our close frame left
	gone     bool // its last event has come
	early    []any
	leaving  func() // a close before it was open
}

func (c *conn) wire() wire.Connection {
	return wire.Connection{Key: c.key, ID: c.id, URI: c.uri, Tags: c.tags, State: c.state, Closing: c.sent}
}

// findSockets lists the connections that were kept over the room's sleep.
func (r *room) findSockets() {
	all := r.shim.Call("all")
	for i := 0; i+2 < all.Length(); i += 3 {
		c := &conn{r: r, key: uint64(all.Index(i).Int()), accepted: true, open: true}
		for tags, j := all.Index(i+2), 0; j < tags.Length(); j++ {
			c.tags = append(c.tags, tags.Index(j).String())
		}
		kept, err := wire.Connection{}, errors.New("none")
		if v := all.Index(i + 1); !v.IsNull() {
			kept, err = parseAttachment(bytesOf(v))
		}
		if err != nil { // accepted by a program in another language
			kept = wire.Connection{ID: newID()}
			if len(c.tags) > 0 {
				kept.ID = c.tags[0]
			}
		}
		c.id, c.uri, c.state, c.sent = kept.ID, kept.URI, kept.State, kept.Closing
		r.last = max(r.last, c.key)
		r.add(c)
	}
}

func (r *room) add(c *conn) {
	r.conns = append(r.conns, c)
	r.byKey[c.key] = c
}

func (r *room) remove(c *conn) {
	delete(r.byKey, c.key)
	r.conns = slices.DeleteFunc(r.conns, func(other *conn) bool { return other == c })
	if c.open {
		r.shim.Call("forget", c.key)
	}
}

// connect lets a WebSocket in: ConnectionTags and OnConnect run before the
// engine has it.
func (r *room) connect(a []js.Value) {
	id, props := a[0].Int(), propsOf(a[3])
	req, base, err := newRequest("GET", a[1].String(), a[2].String())
	if err != nil {
		r.refuse(id, &wire.Failure{Text: "the request's URL: " + err.Error()})
		return
	}
	r.base = base
	r.given(props) // for OnStart
	r.last++
	c := &conn{r: r, key: r.last, uri: a[1].String(), id: base.Query().Get("_pk")}
	if c.id == "" {
		c.id = newID()
	}
	r.add(c)
	req.Length = 0
	ev := &event{payload: &wire.Connect{Connection: c.wire(), Request: req, Props: props}}
	ev.done = func(m *wire.Done) {
		if m.Err != nil {
			r.remove(c)
			r.refuse(id, m.Err)
			return
		}
		c.opened(id, protocol(r.class.Subprotocols, req.Header))
	}
	r.enqueue(ev)
}

// protocol is the first of ours that the client offers.
func protocol(ours []string, header map[string][]string) string {
	var offered []string
	for _, v := range header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(v, ",") {
			offered = append(offered, strings.TrimSpace(p))
		}
	}
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}

// refuse lets a WebSocket in only to say why it must go, as partyserver does.
func (r *room) refuse(id int, f *wire.Failure) {
	b, err := json.Marshal(map[string]string{"error": f.Public(r.debug)})
	if err != nil {
		b = []byte(`{"error":"Internal Server Error"}`)
	}
	r.shim.Call("refuse", id, string(b))
}

// opened gives the engine the connection, with what was sent before.
func (c *conn) opened(id int, protocol string) {
	c.open = true
	hibernates := c.r.class.Hibernate
	c.r.shim.Call("accept", id, c.key, hibernates, anys(c.tags), toJS(appendAttachment(nil, c.wire())), protocol)
	for _, m := range c.early {
		c.r.shim.Call("send", c.key, m)
	}
	c.early = nil
	if c.leaving != nil {
		c.leaving()
	}
}

func (c *conn) send(m any) {
	switch {
	case !c.accepted || c.sent || c.gone:
	case !c.open:
		c.early = append(c.early, m)
	default:
		c.r.shim.Call("send", c.key, m)
	}
}

func (r *room) broadcast(m *wire.Broadcast) {
	data := message(m.Binary, m.Data)
	args := []any{data}
	for _, c := range r.conns {
		switch {
		case slices.Contains(m.Without, c.id):
			args = append(args, c.key)
		case !c.open:
			c.send(data)
		}
	}
	r.shim.Call("broadcast", args...)
}

// attach lets the engine keep what the connection is.
func (c *conn) attach() {
	if c.open && c.r.class.Hibernate {
		c.r.shim.Call("attach", c.key, toJS(appendAttachment(nil, c.wire())))
	}
}

// close sends our close frame, once.
func (c *conn) close(code int, reason string) {
	if c.sent {
		return
	}
	c.sent = true
	leave := func() {
		c.attach()
		c.r.shim.Call("close", c.key, code, reason)
	}
	if c.open {
		leave()
	} else {
		c.leaving = leave
	}
}

func (r *room) message(a []js.Value) {
	id, key := a[0].Int(), uint64(a[1].Int())
	m := &wire.Deliver{Connection: key}
	if a[2].Type() == js.TypeString {
		m.Data = []byte(a[2].String())
	} else {
		m.Binary, m.Data = true, bytesOf(a[2])
	}
	c := r.byKey[key]
	if c == nil || c.sent {
		r.shim.Call("done", id)
		return
	}
	r.enqueue(&event{payload: m, done: func(*wire.Done) { r.shim.Call("done", id) }})
}

// closed runs OnClose, then completes the handshake.
func (r *room) closed(id int, key uint64, code int, reason string, clean bool) {
	c := r.byKey[key]
	if c == nil || c.gone {
		r.shim.Call("done", id)
		return
	}
	c.gone = true
	ev := &event{payload: &wire.Closed{Connection: key, Code: code, Reason: reason, Clean: clean}}
	ev.done = func(*wire.Done) {
		if clean && !c.sent {
			if guest.CheckClose(code, reason) != nil {
				code, reason = 0, "" // 1005: the client gave none
			}
			c.sent = true
			r.shim.Call("close", key, code, reason)
		}
		r.remove(c)
		r.shim.Call("done", id)
	}
	r.enqueue(ev)
}

// faulted runs OnError for a connection that broke the protocol.
func (r *room) faulted(id int, key uint64, why string) {
	c := r.byKey[key]
	if c == nil || c.gone {
		r.shim.Call("done", id)
		return
	}
	c.gone = true
	ev := &event{payload: &wire.Faulted{Connection: key, Text: why}}
	ev.done = func(*wire.Done) {
		r.remove(c)
		r.shim.Call("done", id)
	}
	r.enqueue(ev)
}

func newID() string {
	var b [21]byte
	_, _ = rand.Read(b[:])
	return wire.NanoID(b)
}
