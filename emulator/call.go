package emulator

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// callLimit is how long a call between rooms may take, of machine time.
const callLimit = 30 * time.Second

// patience is limit, or for ever where somebody may have stopped the code.
func (e *Emulator) patience(limit time.Duration) time.Duration {
	if e.config.Patient {
		return 1<<63 - 1
	}
	return limit
}

// call is one room's (or App.Handler's) wait for another room.
type call struct {
	em       *Emulator
	gen      *generation // the caller's
	id       uint64      // the caller's number
	who      wire.Caller
	from, to wire.Address
	waits    atomic.Bool // a turn of from waits: the call is in the graph
	ev       *event
	timer    *time.Timer
	once     sync.Once
	failure  func(*wire.Failure) // answers the caller
}

// begin enters the call into the graph of who waits for whom.
func (e *Emulator) begin(g *generation, id uint64, who wire.Caller, to wire.Address, ev *event, failure func(*wire.Failure)) (*call, bool) {
	if f := g.refuse(to); f != nil {
		failure(f)
		return nil, false
	}
	c := &call{em: e, gen: g, id: id, who: who, to: to, ev: ev, failure: failure}
	if who.Turn != 0 {
		if r := e.owner(who.Instance); r != nil {
			if path := e.waits.add(r.address, to); path != nil {
				failure(&wire.Failure{Code: wire.CodeCycle, Text: "call cycle: " + strings.Join(path, " waits for ") + ", so none would ever end; let one of them return first, or call from WaitUntil"})
				return nil, false
			}
			c.from = r.address
			c.waits.Store(true)
		}
	}
	limit := e.patience(callLimit)
	c.timer = time.AfterFunc(limit, func() {
		c.withdraw()
		c.fail(&wire.Failure{Code: wire.CodeTimeout, Text: fmt.Sprintf("%s did not answer within %s", to, limit)})
	})
	g.mu.Lock()
	g.calls[id] = c
	g.waiting[who.Turn]++
	g.mu.Unlock()
	g.callers.Add(1)
	// Whoever left memory before the call was entered has not abandoned it.
	if who.Instance != 0 && e.owner(who.Instance) == nil {
		c.fail(retryable("the room that calls has left memory"))
		return nil, false
	}
	return c, true
}

// refuse says what is wrong with an address.
func (g *generation) refuse(to wire.Address) *wire.Failure {
	if _, ok := g.classes[to.Binding]; !ok {
		return &wire.Failure{Code: wire.CodeInvalid, Text: fmt.Sprintf("no class is bound to %q; there are %q", to.Binding, g.bindings)}
	}
	if len(to.Name) > wire.MaxName {
		return &wire.Failure{Code: wire.CodeTooLarge, Text: nameTooLong(to.Name)}
	}
	return nil
}

// fail answers the caller with an error, once.
func (c *call) fail(f *wire.Failure) {
	if c.finish() {
		c.failure(f)
	}
}

// answered ends the limit on the wait for an answer that streams.
func (c *call) answered() { c.timer.Stop() }

// finish forgets the call, and reports whether it had not ended before.
func (c *call) finish() bool {
	first := false
	c.once.Do(func() {
		first = true
		c.timer.Stop()
		c.gen.mu.Lock()
		delete(c.gen.calls, c.id)
		if c.gen.waiting[c.who.Turn]--; c.gen.waiting[c.who.Turn] == 0 {
			delete(c.gen.waiting, c.who.Turn)
		}
		c.gen.mu.Unlock()
		c.gen.callers.Add(-1)
		c.unwait()
	})
	return first
}

// unwait takes the call out of the graph.
func (c *call) unwait() {
	if c.waits.Swap(false) {
		c.em.waits.remove(c.from, c.to)
	}
}

// turnEnded takes what a turn has begun and not waited for out of the graph:
// an answer that streams, or a call on a goroutine of its own.
func (g *generation) turnEnded(turn uint64) {
	if g.callers.Load() == 0 {
		return // as after nearly every turn
	}
	g.mu.Lock()
	var left []*call
	if g.waiting[turn] > 0 {
		for _, c := range g.calls {
			if c.who.Turn == turn {
				left = append(left, c)
			}
		}
	}
	g.mu.Unlock()
	for _, c := range left {
		c.unwait()
	}
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

// result answers a guest's Call or Wakeup.
func (g *generation) result(r *wire.Result) {
	g.link.Send(r)
	g.link.Flush()
}

// call brings a Call to its room.
func (e *Emulator) call(g *generation, m *wire.Call, b *batch) {
	ev := &event{kind: kindCall, payload: &wire.Invoke{Method: m.Method, Args: m.Args}}
	if e.await(g, m.ID, m.Caller, m.To, ev) {
		b.add(e.post(m.To, arrive{ev}))
	}
}

// await makes a guest wait for ev, unless that would never end.
func (e *Emulator) await(g *generation, id uint64, who wire.Caller, to wire.Address, ev *event) bool {
	c, ok := e.begin(g, id, who, to, ev, func(f *wire.Failure) { g.result(&wire.Result{ID: id, Err: f}) })
	if !ok {
		return false
	}
	ev.done = func(d *wire.Done) {
		if c.finish() {
			g.result(&wire.Result{ID: id, Value: d.Value, Err: d.Err})
		}
	}
	ev.failed = c.fail
	return true
}

// wakeup brings a ServerByName to its room. A room that has started answers at
// once, whatever it is doing now, so nobody waits for it then.
func (e *Emulator) wakeup(g *generation, m *wire.Wakeup, b *batch) {
	if f := g.refuse(m.To); f != nil {
		g.result(&wire.Result{ID: m.ID, Err: f})
		return
	}
	b.add(e.post(m.To, do(func(r *room) {
		if m.Props != nil {
			r.props = m.Props
		}
		ev := &event{kind: kindWake, payload: &wire.Wake{Props: m.Props}}
		switch {
		case r.inst == nil || !r.inst.started:
			if e.await(g, m.ID, m.Caller, m.To, ev) {
				r.enqueue(ev)
			}
		default:
			g.result(&wire.Result{ID: m.ID})
			if m.Props != nil {
				r.enqueue(ev) // brings them
			}
		}
	})))
}

// fetchID keeps the numbers of fetches apart from those of calls.
const fetchID = 1 << 63

// fetch brings a request of a guest to a room.
func (e *Emulator) fetch(g *generation, m *wire.Fetch, b *batch) {
	x := e.newExchange("")
	x.caller, x.stream = g, m.Stream
	g.mu.Lock()
	g.fetches[m.Stream] = x
	g.mu.Unlock()
	ev := requestEvent(x, m.Request, m.Props)
	c, ok := e.begin(g, fetchID|m.Stream, m.Caller, m.To, ev, x.fail)
	if !ok {
		return
	}
	x.call.Store(c)
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

// any reports whether a waits for another room.
func (w *waits) any(a wire.Address) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.edges[a]) > 0
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
