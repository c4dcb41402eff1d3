package emulator

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// callLimit is how long a call between rooms may take, of machine time.
const callLimit = 30 * time.Second

// call is one room's (or App.Handler's) wait for another room.
type call struct {
	em       *Emulator
	gen      *generation // the caller's
	id       uint64      // the caller's number
	who      wire.Caller
	from, to wire.Address
	waits    bool // a turn of from waits: the call is in the graph
	ev       *event
	timer    *time.Timer
	once     sync.Once
	failure  func(*wire.Failure) // answers the caller
}

// begin enters the call into the graph of who waits for whom.
func (e *Emulator) begin(g *generation, id uint64, who wire.Caller, to wire.Address, ev *event, failure func(*wire.Failure)) (*call, bool) {
	if _, ok := g.classes[to.Binding]; !ok {
		failure(&wire.Failure{Code: wire.CodeInvalid, Text: fmt.Sprintf("no class is bound to %q; there are %q", to.Binding, g.bindings)})
		return nil, false
	}
	if len(to.Name) > wire.MaxName {
		failure(&wire.Failure{Code: wire.CodeTooLarge, Text: nameTooLong(to.Name)})
		return nil, false
	}
	c := &call{em: e, gen: g, id: id, who: who, to: to, ev: ev, failure: failure}
	g.mu.Lock()
	g.calls[id] = c
	g.mu.Unlock()
	if who.Turn != 0 {
		if r := e.owner(who.Instance); r != nil {
			if path := e.waits.add(r.address, to); path != nil {
				c.finish()
				failure(&wire.Failure{Code: wire.CodeCycle, Text: "call cycle: " + strings.Join(path, " waits for ") + ", so none would ever end; let one of them return first, or call from WaitUntil"})
				return nil, false
			}
			c.from, c.waits = r.address, true
		}
	}
	c.timer = time.AfterFunc(callLimit, func() {
		c.withdraw()
		c.fail(&wire.Failure{Code: wire.CodeTimeout, Text: fmt.Sprintf("%s did not answer within %s", to, callLimit)})
	})
	return c, true
}

// fail answers the caller with an error, once.
func (c *call) fail(f *wire.Failure) {
	if c.finish() {
		c.failure(f)
	}
}

// answered ends the limit on the wait for an answer that streams.
func (c *call) answered() { c.timer.Stop() }

// finish takes the call out of the graph, and reports whether it was in it.
func (c *call) finish() bool {
	first := false
	c.once.Do(func() {
		first = true
		if c.timer != nil {
			c.timer.Stop()
		}
		if c.waits {
			c.em.waits.remove(c.from, c.to)
		}
		c.gen.mu.Lock()
		delete(c.gen.calls, c.id)
		c.gen.mu.Unlock()
	})
	return first
}

// abandon ends a call whose caller is gone.
func (c *call) abandon() {
	if c.finish() {
		c.withdraw()
	}
}

// withdraw keeps the event from running where it has not begun.
func (c *call) withdraw() {
	c.em.mu.RLock()
	r := c.em.rooms[c.to]
	c.em.mu.RUnlock()
	if r != nil && c.ev != nil {
		ev := c.ev
		// On a goroutine of its own: the caller may be another room's owner.
		go r.post(do(func(*room) { ev.withdrawn = true }))
	}
}

// abandonCalls ends the calls of an instance that has left memory.
func (g *generation) abandonCalls(instance uint64) {
	g.mu.Lock()
	var all []*call
	for _, c := range g.calls {
		if c.who.Instance == instance {
			all = append(all, c)
		}
	}
	g.mu.Unlock()
	for _, c := range all {
		c.abandon()
	}
}

func (g *generation) cancelCall(id uint64) bool {
	g.mu.Lock()
	c := g.calls[id]
	g.mu.Unlock()
	if c == nil {
		return false
	}
	c.abandon()
	return true
}

// call brings a Call or a Wakeup to its room.
func (e *Emulator) call(g *generation, m wire.Message, b *batch) {
	var id uint64
	var who wire.Caller
	var to wire.Address
	ev := &event{}
	switch m := m.(type) {
	case *wire.Call:
		id, who, to = m.ID, m.Caller, m.To
		ev.kind, ev.payload = kindCall, &wire.Invoke{Method: m.Method, Args: m.Args}
	case *wire.Wakeup:
		id, who, to = m.ID, m.Caller, m.To
		ev.kind, ev.payload = kindWake, &wire.Wake{Props: m.Props}
	}
	answer := func(r *wire.Result) {
		g.link.Send(r)
		g.link.Flush()
	}
	c, ok := e.begin(g, id, who, to, ev, func(f *wire.Failure) { answer(&wire.Result{ID: id, Err: f}) })
	if !ok {
		return
	}
	ev.done = func(d *wire.Done) {
		if c.finish() {
			answer(&wire.Result{ID: id, Value: d.Value, Err: d.Err})
		}
	}
	ev.failed = c.fail
	r := e.post(to, do(func(r *room) {
		if w, ok := ev.payload.(*wire.Wake); ok {
			r.wake(ev, w.Props)
			return
		}
		r.enqueue(ev)
	}))
	b.add(r)
}

// wake answers a ServerByName: at once where the room has started, whatever it
// is doing now.
func (r *room) wake(ev *event, props []byte) {
	if props != nil {
		r.props = props
	}
	if r.inst != nil && r.inst.started {
		r.finish(ev, &wire.Done{})
		ev.done = nil
		if props == nil {
			return
		}
	}
	r.enqueue(ev)
}

// fetchID keeps the numbers of fetches apart from those of calls.
const fetchID = 1 << 63

// fetch brings a request of a guest to a room.
func (e *Emulator) fetch(g *generation, m *wire.Fetch, b *batch) {
	x := e.newExchange()
	x.caller, x.stream = g, m.Stream
	g.mu.Lock()
	g.fetches[m.Stream] = x
	g.mu.Unlock()
	ev := requestEvent(x, m.Request, m.Props)
	refuse := func(f *wire.Failure) {
		g.link.Send(&wire.Response{Stream: m.Stream, End: true, Err: f})
		g.link.Flush()
		x.drop()
	}
	c, ok := e.begin(g, fetchID|m.Stream, m.Caller, m.To, ev, refuse)
	if !ok {
		return
	}
	c.failure = x.fail
	x.call = c
	r := e.post(m.To, do(func(r *room) {
		if m.Props != nil {
			r.props = m.Props
		}
		r.enqueue(ev)
	}))
	b.add(r)
}

// waits is the graph of which room's turn waits for which room.
type waits struct {
	mu    sync.Mutex
	edges map[wire.Address]map[wire.Address]int
}

// add enters an edge, unless it would close a cycle: then it returns the rooms
// along it, the first one again at the end.
func (w *waits) add(from, to wire.Address) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if path := w.path(to, from, map[wire.Address]bool{}); path != nil {
		return append([]string{from.String()}, path...)
	}
	if w.edges == nil {
		w.edges = map[wire.Address]map[wire.Address]int{}
	}
	if w.edges[from] == nil {
		w.edges[from] = map[wire.Address]int{}
	}
	w.edges[from][to]++
	return nil
}

// path finds a way from a to b along who waits for whom.
func (w *waits) path(a, b wire.Address, seen map[wire.Address]bool) []string {
	if a == b {
		return []string{a.String()}
	}
	seen[a] = true
	for next := range w.edges[a] {
		if !seen[next] {
			if p := w.path(next, b, seen); p != nil {
				return append([]string{a.String()}, p...)
			}
		}
	}
	return nil
}

func (w *waits) remove(from, to wire.Address) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.edges[from][to]--; w.edges[from][to] <= 0 {
		delete(w.edges[from], to)
		if len(w.edges[from]) == 0 {
			delete(w.edges, from)
		}
	}
}
