package emulator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// Loader starts the user's code.
type Loader interface {
	// Load starts the code as a generation and returns when it has said hello.
	Load(ctx context.Context, generation uint64) (Guest, error)
}

// Guest is running code at the other end of a link.
type Guest interface {
	Hello() *wire.Hello
	// Run welcomes the guest. handle gets its messages, in order for each
	// instance, and pause is called behind every batch of them.
	Run(w *wire.Welcome, handle func(wire.Message), pause func()) wire.Link
	// Done is closed when the guest has ended, by itself or by Close.
	Done() <-chan struct{}
	// Err says why it ended, and Output the last of what it wrote.
	Err() error
	Output() string
	// PID of its process; 0: it runs in this one.
	PID() int
	// Close ends it and waits until it has ended.
	Close()
}

// generation is one run of the user's code.
type generation struct {
	number   uint64
	guest    Guest
	link     wire.Link
	classes  map[string]wire.Class // by binding
	parties  map[string]string     // binding by what URLs say
	bindings []string
	handler  bool
	callers  atomic.Int64 // calls that have not ended
	pinged   atomic.Int64 // machine time of a ping not answered yet; 0: none

	// See flush.
	turns atomic.Int64 // that lie with the guest
	heard atomic.Int64 // machine time when it last sent something
	held  atomic.Bool  // something waits in the outbox
	pulse *wire.Pulse

	mu      sync.Mutex
	fetches map[uint64]*exchange // by the caller's stream
	calls   map[uint64]*call
	waiting map[uint64]int         // calls, by the turn that made them
	serving map[*exchange]struct{} // of App.Handler
}

func newGeneration(number uint64, g Guest) (*generation, error) {
	gen := &generation{
		number: number, guest: g, classes: map[string]wire.Class{}, parties: map[string]string{},
		fetches: map[uint64]*exchange{}, calls: map[uint64]*call{}, waiting: map[uint64]int{}, serving: map[*exchange]struct{}{},
	}
	h := g.Hello()
	gen.handler = h.Handler
	for _, c := range h.Classes {
		gen.classes[c.Binding] = c
		gen.parties[wire.Kebab(c.Binding)] = c.Binding
		gen.bindings = append(gen.bindings, c.Binding)
	}
	return gen, wire.CheckBindings(gen.bindings)
}

// Classes are the classes of the running code, by binding.
func (e *Emulator) Classes() []wire.Class {
	g := e.current()
	if g == nil {
		return nil
	}
	var all []wire.Class
	for _, b := range g.bindings {
		all = append(all, g.classes[b])
	}
	return all
}

func (e *Emulator) current() *generation {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.generation
}

// awaitCurrent waits until code runs.
func (e *Emulator) awaitCurrent(ctx context.Context) (*generation, error) {
	for {
		e.mu.RLock()
		g, changed := e.generation, e.changed
		e.mu.RUnlock()
		if g != nil {
			return g, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-e.ctx.Done():
			return nil, e.ctx.Err()
		}
	}
}

func (e *Emulator) whyNot() string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.reason == "" {
		return "it has not started yet"
	}
	return e.reason
}

// setGeneration makes g, or nothing, the code that new instances run.
func (e *Emulator) setGeneration(g *generation, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.generation, e.reason = g, reason
	close(e.changed)
	e.changed = make(chan struct{})
}

// The delays before code that ended is started again.
const (
	restartFirst = 100 * time.Millisecond
	restartMost  = 5 * time.Second
	restartCalm  = 10 * time.Second // up for so long, and the delays start anew
)

// Run starts the code and keeps it running: when it ends it is started again,
// at once the first time, then with growing delays. Run returns when the code
// serves for the first time, or with the reason why it does not. It may be
// called once.
func (e *Emulator) Run(ctx context.Context, l Loader) error {
	const number = 1
	if err := e.open(); err != nil {
		return err
	}
	g, err := e.load(ctx, l, number)
	if err != nil {
		return err
	}
	if err := e.loadAlarms(); err != nil {
		return err
	}
	e.work.Go(func() { e.supervise(l, g) })
	return nil
}

func (e *Emulator) load(ctx context.Context, l Loader, number uint64) (*generation, error) {
	began := time.Now()
	guest, err := l.Load(ctx, number)
	if err != nil {
		return nil, err
	}
	g, err := newGeneration(number, guest)
	if err != nil {
		guest.Close()
		return nil, err
	}
	// Messages may come before Run has returned the link.
	linked := make(chan struct{})
	handle, pause := e.receiver(g, linked)
	g.link = guest.Run(&wire.Welcome{Generation: number, Debug: e.config.Debug, Env: e.config.Env, Clock: e.wireClock()}, handle, pause)
	close(linked)
	e.events.Publish(&inspect.GenerationStarted{Header: inspect.Header{Generation: number}, PID: guest.PID(), Took: time.Since(began)})
	e.setGeneration(g, "")
	if e.closed.Load() { // Close may have looked before there was a generation
		guest.Close()
	}
	return g, nil
}

// receiver returns what a guest's link calls. A guest in a process has one
// goroutine that calls; its messages are gathered, so that each room is drained
// once for all that came together. A guest in this process calls from many.
func (e *Emulator) receiver(g *generation, linked chan struct{}) (handle func(wire.Message), pause func()) {
	if g.guest.PID() == 0 {
		return func(m wire.Message) {
			var b batch
			e.handle(g, m, &b)
			b.drain()
		}, func() {}
	}
	b := &batch{}
	g.pulse = wire.NewPulse(g.flushHeld)
	return func(m wire.Message) {
			<-linked
			e.handle(g, m, b)
		}, func() {
			<-linked
			g.heard.Store(time.Now().UnixNano())
			b.drain()
			g.flushHeld()
		}
}

// supervise restarts code that ends.
func (e *Emulator) supervise(l Loader, g *generation) {
	delay := time.Duration(0)
	up := time.Now()
	beat := time.NewTicker(pingEvery)
	defer beat.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-beat.C:
			e.ping(g)
			continue
		case <-g.guest.Done():
		}
		if e.closed.Load() {
			return
		}
		e.crashed(g)
		if time.Since(up) > restartCalm {
			delay = 0
		}
		for {
			if !e.pause(delay) {
				return
			}
			delay = min(max(2*delay, restartFirst), restartMost)
			next, err := e.load(e.ctx, l, g.number)
			if err == nil {
				g, up = next, time.Now()
				break
			}
			if e.closed.Load() {
				return
			}
			e.setGeneration(nil, err.Error())
			e.events.Publish(&inspect.GenerationFailed{Header: inspect.Header{Generation: g.number}, Reason: err.Error(), Retry: delay})
		}
	}
}

// pause waits for d of machine time; it reports false when the emulator closes.
func (e *Emulator) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.ctx.Done():
		return false
	}
}

// How often a guest in a process is asked whether it still reads, and when its
// silence is said.
const (
	pingEvery = 2 * time.Second
	pingLimit = 5 * time.Second
)

// ping finds out whether the whole process stands still, as in a debugger. It
// only says so: whoever stopped it may want to go on.
func (e *Emulator) ping(g *generation) {
	if g.guest.PID() == 0 {
		return
	}
	since := g.pinged.Load()
	if since == 0 {
		g.pinged.Store(time.Now().UnixNano())
		g.link.Send(&wire.Ping{})
		g.link.Flush()
		return
	}
	if silent := time.Since(time.Unix(0, since)); since > 0 && silent >= pingLimit {
		g.pinged.Store(-since) // said once
		e.events.Publish(&inspect.GenerationFailed{
			Header: inspect.Header{Generation: g.number},
			Reason: fmt.Sprintf("process %d has not answered for %s: it may be stopped (a debugger, Ctrl-Z); its rooms wait", g.guest.PID(), silent.Round(time.Second)),
		})
	}
}

// lively is how recently a guest must have sent something to be trusted to send
// again soon.
const lively = 200 * time.Microsecond

// flush lets what rooms sent to the guest leave: at once where it has nothing
// to do. While it works through other turns, a write each would only wake it
// for what it will find soon anyway; then everything leaves together when it
// next sends something, or with a beat.
// sent is how many turns are new to it.
func (g *generation) flush(sent int) {
	if g.pulse != nil && g.turns.Load() > int64(sent) && time.Now().UnixNano()-g.heard.Load() < int64(lively) {
		g.held.Store(true)
		g.pulse.Use()
		return
	}
	g.link.Flush()
}

// flushHeld is called whenever the guest has sent something, and by the pulse.
func (g *generation) flushHeld() {
	if g.held.Load() && g.held.Swap(false) {
		g.link.Flush()
	}
}

func (g *generation) answered() { g.pinged.Store(0) }

// crashed is the end of a generation that nobody asked for: the turns that ran
// are lost, hibernatable connections stay, the others are cut.
func (e *Emulator) crashed(g *generation) {
	reason := "it ended"
	if err := g.guest.Err(); err != nil {
		reason = err.Error()
	}
	e.setGeneration(nil, "it crashed and is being started again: "+reason)
	_ = g.link.Close()
	turns, cut := 0, 0
	for _, r := range e.allRooms() {
		r.do(func() {
			if r.inst == nil || r.inst.gen != g {
				return
			}
			if len(r.inst.running) > 0 || r.inst.starting {
				turns++
			}
			hibernates := r.class().Hibernate
			if r.inst.starting {
				r.failFirst("the server's process ended while " + r.name + " was starting")
			}
			suspects := max(0, len(r.inst.running)-1)
			r.leave("lost with the server's process ("+reason+")", true)
			r.suspects = suspects
			if !hibernates {
				cut += r.cutAll()
			}
		})
	}
	g.end()
	e.events.Publish(&inspect.Crash{
		Header: inspect.Header{Generation: g.number}, Reason: reason, Output: g.guest.Output(),
		Turns: turns, Cut: cut, Restarts: true,
	})
}

// end fails what the generation's own code waits for and what waits for its
// App.Handler.
func (g *generation) end() {
	if g.pulse != nil {
		g.pulse.Stop()
	}
	g.mu.Lock()
	serving, fetches, calls := g.serving, g.fetches, g.calls
	g.serving, g.fetches, g.calls = map[*exchange]struct{}{}, map[uint64]*exchange{}, map[uint64]*call{}
	g.mu.Unlock()
	for x := range serving {
		x.fail(retryable("the server's process ended while it handled this"))
	}
	for _, x := range fetches {
		x.cancel()
	}
	for _, c := range calls {
		c.abandon()
	}
}

func (g *generation) serve(x *exchange) {
	g.mu.Lock()
	g.serving[x] = struct{}{}
	g.mu.Unlock()
}

func (g *generation) unserve(x *exchange) {
	g.mu.Lock()
	delete(g.serving, x)
	g.mu.Unlock()
}

func (g *generation) fetched(stream uint64) *exchange {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fetches[stream]
}

func (g *generation) unfetch(stream uint64) {
	g.mu.Lock()
	delete(g.fetches, stream)
	g.mu.Unlock()
}

// Crash ends the process of the running code at once, as a bug would. Code in
// this process cannot be ended.
func (e *Emulator) Crash(context.Context) error {
	g := e.current()
	switch {
	case g == nil:
		return errors.New("no code is running")
	case g.guest.PID() == 0:
		return errors.New("the code runs in this very process, which a crash would end: run it with `party dev`, which gives it a process of its own")
	}
	g.guest.Close()
	return nil
}
