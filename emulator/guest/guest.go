// Package guest is the end of the wire that holds the rooms' Go values: it
// makes instances, runs their turns one at a time, and fences what an instance
// does after it has left memory. Nothing in it is durable.
//
// It knows nothing of the SDK's types: a [Class] makes an [Object], which is
// the user's value behind one method a hook.
package guest

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// Program is what a guest runs.
type Program struct {
	Module  string // the SDK's version, for people
	Classes []Class
	Handler http.Handler // nil: none
}

// Class is one class of a program.
type Class struct {
	wire.Class
	New func(*Instance) Object
}

// Object is the user's value. Each method is a hook and runs in a turn.
type Object interface {
	Start(ctx context.Context) error
	Tags(ctx context.Context, c *Conn, r *http.Request) ([]string, error)
	Connect(ctx context.Context, c *Conn, r *http.Request) error
	Message(ctx context.Context, c *Conn, binary bool, data []byte) error
	Close(ctx context.Context, c *Conn, code int, reason string, clean bool) error
	Error(ctx context.Context, c *Conn, err error)
	Request(w http.ResponseWriter, r *http.Request)
	Alarm(ctx context.Context, retries int, scheduled time.Time) error
	Invoke(ctx context.Context, method string, args []byte) ([]byte, error)
	Exception(ctx context.Context, err error)
}

// Guest runs a program for one emulator.
type Guest struct {
	program Program
	classes map[string]*Class
	link    wire.Link
	direct  bool // the link delivers at once; there is nothing to flush

	welcome wire.Welcome
	offset  atomic.Int64 // of the rooms' clock
	fixed   atomic.Int64
	away    atomic.Int64 // goroutines that stay in a system call, plus one; 0: not known yet

	next  atomic.Uint64 // numbers of calls, timers and functions
	ctx   context.Context
	end   context.CancelFunc
	pulse *wire.Pulse
	dirty atomic.Bool // something was sent and not flushed
	watch watchdog
	jobs  chan *Instance // to workers that wait
	idle  atomic.Int32   // those workers

	// Set by what serves the link, where that runs turns itself: inline takes
	// an instance, and handOver is called before a turn may have to wait.
	inline   func(*Instance)
	handOver func()
	overdue  func() // called with each beat
	// serveUntil reads the link on the caller's goroutine until an answer has
	// come; false: that is not possible now.
	serveUntil func(answered func() bool) bool

	mu        sync.RWMutex
	instances map[uint64]*Instance
	waiting   map[uint64]*waiter
	serving   map[uint64]*exchange
	early     map[uint64]struct{} // streams that were reset before their turn
	fetching  map[uint64]*fetch
}

// New returns the guest of p. It does nothing before Connect.
func New(p Program) *Guest {
	g := &Guest{
		program:   p,
		classes:   map[string]*Class{},
		instances: map[uint64]*Instance{},
		waiting:   map[uint64]*waiter{},
		serving:   map[uint64]*exchange{},
		early:     map[uint64]struct{}{},
		fetching:  map[uint64]*fetch{},
		jobs:      make(chan *Instance),
	}
	for i := range p.Classes {
		g.classes[p.Classes[i].Binding] = &p.Classes[i]
	}
	g.ctx, g.end = context.WithCancel(context.Background())
	g.ctx = guestContext{g.ctx, g}
	g.watch.guest = g
	g.pulse = wire.NewPulse(g.beat)
	return g
}

// Hello introduces the guest.
func (g *Guest) Hello() *wire.Hello {
	h := &wire.Hello{Version: wire.Version, Module: g.program.Module, Go: runtime.Version(), Handler: g.program.Handler != nil}
	for _, c := range g.program.Classes {
		h.Classes = append(h.Classes, c.Class)
	}
	return h
}

// Connect gives the guest its link and the emulator's welcome. Messages may be
// handled from here on.
func (g *Guest) Connect(link wire.Link, w *wire.Welcome) {
	g.link = link
	_, g.direct = link.(*wire.Pipe)
	g.welcome = *w
	g.setClock(w.Clock)
	current.Store(g)
}

// current is the program's guest, for calls whose context tells of none.
var current atomic.Pointer[Guest]

// Close stops every instance. The link is the caller's.
func (g *Guest) Close() {
	g.end()
	g.mu.Lock()
	all := make([]*Instance, 0, len(g.instances))
	for _, in := range g.instances {
		all = append(all, in)
	}
	g.mu.Unlock()
	for _, in := range all {
		in.stop("the emulator ended")
	}
	g.watch.stop()
	g.pulse.Stop()
	current.CompareAndSwap(g, nil)
}

// Handle takes one message of the emulator. It never blocks and never runs the
// user's code on the caller's goroutine.
func (g *Guest) Handle(m wire.Message) {
	switch m := m.(type) {
	case *wire.Turn:
		if in := g.instance(m.Instance); in != nil {
			in.enqueue(m)
		}
	case *wire.Start:
		g.start(m)
	case *wire.Stop:
		if in := g.instance(m.Instance); in != nil {
			in.stop(m.Reason)
		}
	case *wire.Leave:
		g.leave(m)
	case *wire.Result:
		g.answer(m.ID, m)
	case *wire.Entries:
		g.answer(m.ID, m)
	case *wire.Rows:
		g.answer(m.ID, m)
	case *wire.Serve:
		g.serveHandler(m)
	case *wire.Response:
		g.mu.RLock()
		f := g.fetching[m.Stream]
		g.mu.RUnlock()
		if f != nil {
			f.part(m)
		}
	case *wire.Chunk:
		if x := g.exchange(m.Stream); x != nil {
			x.chunk(m)
		}
	case *wire.Ack:
		g.ack(m)
	case *wire.Reset:
		g.reset(m.Stream)
	case *wire.SetClock:
		g.setClock(m.Clock)
	case *wire.Ping:
		g.link.Send(&wire.Pong{})
		g.link.Flush()
	case *wire.Settle:
		go g.settle(m)
	}
}

// setClock moves the clock, never back: a turn that had to wait here bears the
// time at which it was sent.
func (g *Guest) setClock(t wire.Time) {
	forward(&g.offset, t.Offset)
	forward(&g.fixed, t.Fixed)
}

func forward(v *atomic.Int64, to int64) {
	for have := v.Load(); have < to && !v.CompareAndSwap(have, to); have = v.Load() {
	}
}

// now is the rooms' clock.
func (g *Guest) now() time.Time {
	if fixed := g.fixed.Load(); fixed != 0 {
		return time.Unix(0, fixed).UTC()
	}
	return time.Now().Add(time.Duration(g.offset.Load()))
}

func (g *Guest) instance(number uint64) *Instance {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.instances[number]
}

func (g *Guest) exchange(stream uint64) *exchange {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.serving[stream]
}

func (g *Guest) start(m *wire.Start) {
	in := g.instance(m.Instance)
	if in == nil {
		class := g.classes[m.Address.Binding]
		if class == nil {
			return // the emulator knows the classes from Hello
		}
		in = newInstance(g, class, m)
		g.mu.Lock()
		g.instances[m.Instance] = in
		g.mu.Unlock()
	}
	if !in.meet(m) {
		return
	}
	in.enqueue(&wire.Turn{Instance: m.Instance, Turn: m.Turn, Clock: wire.Time{Offset: g.offset.Load(), Fixed: g.fixed.Load()}, Event: m})
}

// schedule sees to it that an instance's turns run.
func (g *Guest) schedule(in *Instance) {
	if g.inline != nil {
		g.inline(in)
		return
	}
	g.dispatch(in)
}

// dispatch gives an instance to a worker that waits, or to a new one.
func (g *Guest) dispatch(in *Instance) {
	if !in.own() {
		return
	}
	select {
	case g.jobs <- in:
	default:
		go g.worker(in)
	}
}

// idleWorkers is how many goroutines wait for instances to run.
const idleWorkers = 16

// worker runs instances that it owns.
func (g *Guest) worker(in *Instance) {
	gid := goroutineID()
	for {
		in.work(gid)
		g.link.Flush()
		if g.idle.Add(1) > idleWorkers {
			g.idle.Add(-1)
			return
		}
		select {
		case in = <-g.jobs:
			g.idle.Add(-1)
		case <-g.ctx.Done():
			g.idle.Add(-1)
			return
		}
	}
}

// yield lets everything leave, before the caller waits for an answer to it.
func (g *Guest) yield() {
	g.link.Flush()
	if g.handOver != nil {
		g.handOver()
	}
}

func (g *Guest) forget(number uint64) {
	g.mu.Lock()
	delete(g.instances, number)
	g.mu.Unlock()
}

// flushSoon lets what was sent leave with the next beat, or at the end of the
// turn if that comes first. A turn's messages and its end then leave together.
func (g *Guest) flushSoon() {
	if !g.direct {
		if !g.dirty.Load() {
			g.dirty.Store(true)
		}
		g.pulse.Use()
	}
}

func (g *Guest) beat() {
	if g.dirty.Swap(false) {
		g.link.Flush()
	}
	if g.overdue != nil {
		g.overdue()
	}
}

func (g *Guest) log(instance uint64, level slog.Level, text string) {
	g.link.Send(&wire.Log{Instance: instance, Level: int(level), Text: cut(text)})
	g.flushSoon()
}
