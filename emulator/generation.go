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
	// Run welcomes the guest. What receive makes gets its messages, in order for
	// each instance.
	Run(w *wire.Welcome, receive wire.Receiver) wire.Link
	// ReadOn makes another goroutine read the guest's messages. The one that did
	// does something else, and learns of it from its pause.
	ReadOn()
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
	since    time.Time
	guest    Guest
	link     wire.Link
	classes  map[string]wire.Class // by binding
	parties  map[string]string     // binding by what URLs say
	bindings []string
	handler  bool
	callers  atomic.Int64 // calls that have not ended
	pinged   atomic.Int64 // machine time of a ping not answered yet; 0: none
	closing  atomic.Bool  // it is ended on purpose
	crashed  atomic.Bool  // a person made it crash
	fresh    freshness

	// See flush.
	turns atomic.Int64 // that lie with the guest
	heard atomic.Int64 // machine time when it last sent something
	held  atomic.Bool  // something waits in the outbox
	pulse *wire.Pulse

	reading reading

	mu      sync.Mutex
	fetches map[uint64]*exchange // by the caller's stream
	calls   map[uint64]*call
	waiting map[uint64]int         // calls, by the turn that made them
	serving map[*exchange]struct{} // of App.Handler
	inside  int                    // instances
	retired bool                   // newer code serves, and every room knows
	empty   chan struct{}          // closed once nothing needs retired code any more
	buried  chan struct{}          // closed by bury
	bury    func()                 // once a crash of it has been dealt with, or its end was no crash
}

func newGeneration(number uint64, g Guest) (*generation, error) {
	gen := &generation{
		number: number, since: time.Now(), guest: g, classes: map[string]wire.Class{}, parties: map[string]string{},
		fetches: map[uint64]*exchange{}, calls: map[uint64]*call{}, waiting: map[uint64]int{}, serving: map[*exchange]struct{}{},
		empty: make(chan struct{}), buried: make(chan struct{}),
	}
	gen.bury = sync.OnceFunc(func() { close(gen.buried) })
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

// awaitCode waits until code runs, as long as a request does.
func (e *Emulator) awaitCode(ctx context.Context) (*generation, error) {
	if g := e.current(); g != nil {
		return g, nil
	}
	ctx, cancel := context.WithTimeout(ctx, codeWait)
	defer cancel()
	return e.awaitCurrent(ctx)
}

// Serving waits until code runs, and says why none does where ctx ends before.
func (e *Emulator) Serving(ctx context.Context) error {
	if _, err := e.awaitCurrent(ctx); err != nil {
		return fmt.Errorf("no code is running: %s", e.whyNot())
	}
	return nil
}

func (e *Emulator) whyNot() string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.reason == "" {
		return "it has not started yet"
	}
	return e.reason
}

// Run starts the code and keeps it running: when it ends it is started again,
// at once the first time, then with growing delays. Run returns when the code
// serves for the first time, or with the reason why it does not; then it may be
// called again.
func (e *Emulator) Run(ctx context.Context, l Loader) error {
	number := max(e.config.Generation, 1)
	e.loading.Lock()
	defer e.loading.Unlock()
	if e.Generation() != 0 {
		return errors.New("code runs already: use Reload")
	}
	if err := e.open(); err != nil {
		return err
	}
	g, err := e.load(ctx, l, number)
	if err != nil {
		return err
	}
	if err := e.loadAlarms(); err != nil {
		g.close()
		e.gone(g)
		return err
	}
	e.install(g, l)
	return nil
}

// Generation is the number of the newest code that has served; 0: none has.
func (e *Emulator) Generation() uint64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.number
}

// load starts code. Nothing runs on it before it is installed. The caller holds
// loading.
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
	e.mu.Lock()
	env := e.env
	e.live[g] = struct{}{}
	e.mu.Unlock()
	// Messages may come before Run has returned the link.
	linked := make(chan struct{})
	g.link = guest.Run(&wire.Welcome{Generation: number, Debug: e.config.Debug, Env: env, Clock: e.wireClock()}, e.receiver(g, linked))
	close(linked)
	if e.closed.Load() { // Close may have looked before there was a generation
		g.close()
		e.gone(g)
		return nil, errors.New("the emulator is stopping")
	}
	started := &inspect.GenerationStarted{Header: inspect.Header{Generation: number}, PID: guest.PID(), Took: time.Since(began)}
	if e.config.Patient && started.PID != 0 {
		started.Attach = fmt.Sprintf("dlv attach %d", started.PID)
	}
	e.events.Publish(started)
	return g, nil
}

// install makes loaded code the one that new instances run, and returns what
// ran before.
func (e *Emulator) install(g *generation, l Loader) (old *generation) {
	e.mu.Lock()
	old = e.generation
	e.generation, e.latest, e.number, e.loader, e.reason = g, g, g.number, l, ""
	close(e.changed)
	e.changed = make(chan struct{})
	e.mu.Unlock()
	e.work.Go(func() { e.supervise(g) })
	return old
}

// gone forgets a generation that has ended.
func (e *Emulator) gone(g *generation) {
	e.mu.Lock()
	delete(e.live, g)
	e.mu.Unlock()
}

// close ends the code on purpose.
func (g *generation) close() {
	g.closing.Store(true)
	g.guest.Close()
}

// supervise watches over code until it ends.
func (e *Emulator) supervise(g *generation) {
	up := time.Now()
	beat := time.NewTicker(pingEvery)
	defer beat.Stop()
	defer g.bury()
	for running := true; running; {
		select {
		case <-e.ctx.Done():
			return
		case <-beat.C:
			e.ping(g)
		case <-g.guest.Done():
			running = false
		}
	}
	if e.closed.Load() || g.closing.Load() {
		return
	}
	e.crashed(g, time.Since(up))
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
	if g.guest.PID() == 0 || e.config.Patient {
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

// end fails what the generation's own code waits for and what waits for its
// App.Handler.
func (g *generation) end() {
	if g.pulse != nil {
		g.pulse.Stop()
	}
	g.endServing()
	g.mu.Lock()
	fetches, calls := g.fetches, g.calls
	g.fetches, g.calls = map[uint64]*exchange{}, map[uint64]*call{}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.lookEmpty()
		g.mu.Unlock()
	}()
	for _, x := range fetches {
		x.cancel()
	}
	for _, c := range calls {
		c.abandon()
	}
}

// endServing fails what waits for App.Handler. It comes before code is ended on
// purpose: a handler that then returns early would make a half answer look whole.
func (g *generation) endServing() {
	g.mu.Lock()
	serving := g.serving
	g.serving = map[*exchange]struct{}{}
	g.mu.Unlock()
	for x := range serving {
		x.fail(retryable("the server's process ended while it handled this"))
	}
}

// serve enters a request of App.Handler. It reports false where the code takes
// no more of them.
func (g *generation) serve(x *exchange) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return false
	}
	g.serving[x] = struct{}{}
	return true
}

func (g *generation) unserve(x *exchange) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.serving, x)
	g.lookEmpty()
}

// enter and left count the instances.
func (g *generation) enter() {
	g.mu.Lock()
	g.inside++
	g.mu.Unlock()
}

func (g *generation) left() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.lookEmpty()
}

// lookEmpty must be called with mu held.
func (g *generation) lookEmpty() {
	if !g.retired || g.inside > 0 || len(g.serving) > 0 {
		return
	}
	select {
	case <-g.empty:
	default:
		close(g.empty)
	}
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
