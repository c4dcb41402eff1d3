package emulator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// ReloadLimit is how long what runs under old code may go on, where
// ReloadOptions names no other limit.
const ReloadLimit = 5 * time.Second

// ReloadOptions say how new code takes over.
type ReloadOptions struct {
	// Disconnect cuts every open connection, as a deploy does: clients see 1006
	// and come back.
	Disconnect bool
	// Limit is how long a turn or background work may go on under the old code,
	// of machine time. 0: ReloadLimit; less: for ever.
	Limit time.Duration
	// Env replaces what Server.Env reads. Nil: it stays.
	Env map[string]string
	// Since is when the change was made, from which events count how long it
	// took to come into effect. Zero: when Reload was called.
	Since time.Time
}

// SetEnv replaces what Server.Env reads in code that is started from now on.
func (e *Emulator) SetEnv(env map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.env = env
}

// Reload lets new code take over, as the next generation. The old code serves
// until the new one has started; where it does not start, or lacks a class whose
// rooms have connections, nothing changes and no number is used up: the error
// says why. Otherwise each room changes over between two of its turns, by
// itself: connections, their state, props and what waits for its turn stay.
//
// When Reload returns, every room at rest runs the new code or will at its next
// event. The others follow when the turn that runs has ended, and background
// work, whose context ends: see [Emulator.Reloading]. What takes longer than the
// limit is lost and reported. Another Reload may begin meanwhile.
func (e *Emulator) Reload(ctx context.Context, l Loader, o ReloadOptions) error {
	began := time.Now()
	if o.Since.IsZero() {
		o.Since = began
	}
	e.mu.Lock()
	e.reloads++
	yield := e.yield
	e.mu.Unlock()
	if yield != nil {
		yield() // the code that ended need not be started again first
	}
	e.loading.Lock()
	defer e.loading.Unlock()
	defer func() {
		e.mu.Lock()
		e.reloads--
		e.mu.Unlock()
	}()
	number := e.Generation()
	if number == 0 {
		return errors.New("no code has served yet: use Run")
	}
	e.mu.Lock()
	env := e.env
	if o.Env != nil {
		e.env = o.Env
	}
	e.mu.Unlock()
	c, err := e.takeOver(ctx, l, number+1, o)
	if err != nil {
		e.mu.Lock()
		e.env = env
		e.mu.Unlock()
		e.events.Publish(&inspect.ReloadFailed{Header: inspect.Header{Generation: number}, Reason: err.Error(), Took: time.Since(began)})
		return err
	}
	e.restartDelay.Store(0)
	e.tellRooms(c)
	e.events.Publish(&inspect.Swapped{
		Header: inspect.Header{Generation: c.to.number}, From: number,
		Changed: c.changed, Waiting: c.waiting, Cut: c.cut, Took: time.Since(c.began), Total: time.Since(o.Since),
	})
	if c.from != nil {
		e.work.Go(func() { e.retire(c) })
	}
	return nil
}

// Reloading tells of a reload that is under way. While new code is being started
// left is 0; after that it is how many rooms still run older code than to. Where
// nothing is under way, to is 0.
func (e *Emulator) Reloading() (from, to uint64, left int) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if c := e.leaving; c != nil {
		for g := range e.live {
			if g.number < c.to.number {
				g.mu.Lock()
				left += g.inside
				g.mu.Unlock()
			}
		}
		if left > 0 {
			return c.from.number, c.to.number, left
		}
	}
	if e.reloads > 0 {
		return e.number, e.number + 1, 0
	}
	return 0, 0, 0
}

// succession is where an instance stands between older and newer code.
type succession struct {
	startTurn uint64 // of OnStart
	leaving   bool   // newer code serves: no new turns
	revive    bool   // and is to start at once, because something kept the room awake
	renewed   bool   // it started for that reason
}

// changeover is one reload as it goes through the rooms.
type changeover struct {
	from, to *generation // from is nil where no code ran
	options  ReloadOptions
	began    time.Time // the new code had started

	mu      sync.Mutex
	changed int // rooms that run the new code, or will at their next event
	waiting int // rooms where something still runs
	cut     int
}

// takeOver starts the new code and makes it the current one.
func (e *Emulator) takeOver(ctx context.Context, l Loader, number uint64, o ReloadOptions) (*changeover, error) {
	g, err := e.load(ctx, l, number)
	if err != nil {
		return nil, err
	}
	c := &changeover{to: g, options: o, began: time.Now()}
	// Nobody may come in by a class that is gone while we look.
	e.door.Lock()
	defer e.door.Unlock()
	old := e.current()
	if err := e.keepsClasses(g, o); err != nil {
		g.close()
		e.gone(g)
		return nil, err
	}
	g.fresh.from(o.Since)
	c.from = e.install(g, l)
	if c.from != nil {
		e.mu.Lock()
		e.leaving = c
		e.mu.Unlock()
	}
	e.wakeAlarms(old, g)
	return c, nil
}

// keepsClasses refuses code without a class whose rooms have connections: there
// would be nobody to talk to.
func (e *Emulator) keepsClasses(g *generation, o ReloadOptions) error {
	if o.Disconnect {
		return nil
	}
	open := map[string]int{}
	for _, r := range e.allRooms() {
		if _, ok := g.classes[r.address.Binding]; ok {
			continue
		}
		r.do(func() { open[r.address.Binding] += len(r.conns) })
	}
	var gone []string
	for binding, n := range open {
		if n > 0 {
			gone = append(gone, fmt.Sprintf("%q (%s)", binding, count(n, "connection")))
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Sort(gone)
	return fmt.Errorf("the new code has no class bound to %s; it has %q. Bring the class back, close the connections, or reload with --on-reload=disconnect", strings.Join(gone, " and "), g.bindings)
}

// wakeAlarms lets the alarms of classes that are new fall due, also those that
// did so while their class was gone.
func (e *Emulator) wakeAlarms(old, g *generation) {
	e.alarmMu.Lock()
	again := map[wire.Address]*alarm{}
	for a, al := range e.alarms {
		_, is := g.classes[a.Binding]
		was := false
		if old != nil {
			_, was = old.classes[a.Binding]
		}
		if is && !was {
			again[a] = al
		}
	}
	e.alarmMu.Unlock()
	for a, al := range again {
		e.setAlarm(a, &alarm{scheduled: al.scheduled, due: al.due, retries: al.retries, indexed: al.indexed})
	}
}

// tellRooms lets every room change over. It returns when each has begun to, and
// those at rest have.
func (e *Emulator) tellRooms(c *changeover) {
	var told sync.WaitGroup
	for _, r := range e.allRooms() {
		told.Add(1)
		if !r.post(do(func(r *room) { r.changeOver(c); told.Done() })) {
			told.Done()
		}
	}
	told.Wait()
}

// changeOver lets the room leave the older code as soon as it can.
func (r *room) changeOver(c *changeover) {
	cut := 0
	if c.options.Disconnect {
		cut = r.cutOpen()
	}
	in := r.inst
	waits := false
	if in != nil && in.gen != c.to && !in.leaving {
		in.leaving = true
		in.revive = r.keptAwake()
		if waits = !r.atRest(); waits {
			r.tell(&wire.Leave{Instance: in.number})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut += cut
	switch {
	case waits:
		c.waiting++
	case in != nil:
		c.changed++
	}
}

// keptAwake reports whether something besides turns keeps the room in memory,
// so that new code must start at once.
func (r *room) keptAwake() bool {
	in := r.inst
	return len(in.timers)+len(in.sleeps)+len(in.holds) > 0 || len(r.conns) > 0 && !r.class().Hibernate
}

// atRest reports whether the room can change over now.
func (r *room) atRest() bool {
	in := r.inst
	return !in.starting && in.atGuest == 0 && len(in.running) == 0 && len(in.holds) == 0 && !in.gate.committing
}

// moveOn drops an instance of older code that is at rest. What waits runs under
// the new code.
func (r *room) moveOn() {
	if r.inst == nil || !r.inst.leaving || !r.atRest() {
		return
	}
	r.wanted = r.inst.revive
	r.keepsProps = r.props != nil
	r.drop("replaced by new code", false)
}

// givenBack takes turns back that had not begun when the guest was asked to
// leave.
func (r *room) givenBack(m *wire.Left) {
	in := r.inst
	if !in.leaving {
		return // a guest that says so unasked hurts only itself
	}
	back := make(map[uint64]bool, len(m.Turns))
	for _, n := range m.Turns {
		back[n] = true
	}
	n := 0
	if in.starting && back[in.startTurn] {
		in.starting = false
		n++
	}
	var again []*event
	in.running = slices.DeleteFunc(in.running, func(ev *event) bool {
		if !back[ev.number] {
			return false
		}
		n++
		if ev.served != nil {
			delete(in.streams, ev.served.id)
		}
		if ev.kind == kindAlarm {
			in.alarmRuns = false
		}
		if !ev.instanceOnly() {
			again = append(again, ev)
		}
		return true
	})
	r.queue = append(again, r.queue...)
	in.atGuest -= n
	in.gen.turns.Add(-int64(n))
}

// pumpLeaving sends the guest what background work still wants to do before the
// instance goes.
func (r *room) pumpLeaving() {
	in := r.inst
	if !in.started || in.starting || in.atGuest > 0 || len(in.running) > 0 {
		return
	}
	i := slices.IndexFunc(r.queue, func(ev *event) bool { return ev.kind == kindDo })
	if i < 0 {
		return
	}
	ev := r.queue[i]
	r.queue = slices.Delete(r.queue, i, i+1)
	r.send([]*event{ev})
}

// cutOpen cuts the connections that are open, as a deploy does. Those that are
// being opened get in.
func (r *room) cutOpen() int {
	n := 0
	for _, c := range slices.Clone(r.conns) {
		if c.sock != nil {
			c.remove()
			n++
		}
	}
	return n
}

// handlerGrace is how long a request of App.Handler that has not begun to answer
// may go on before its context ends.
const handlerGrace = 2 * time.Second

// retire ends older code once nothing needs it any more, or its time is up.
func (e *Emulator) retire(c *changeover) {
	g := c.from
	limit := c.options.Limit
	if limit == 0 {
		limit = ReloadLimit
	}
	g.mu.Lock()
	g.retired = true
	g.lookEmpty()
	g.mu.Unlock()
	g.leaveHandlers(false)
	grace, over := time.NewTimer(min(handlerGrace, max(limit, -limit)/2)), time.NewTimer(max(limit, 0))
	defer grace.Stop()
	defer over.Stop()
	if limit < 0 {
		over.Stop()
	}
	work := 0
	for waiting := true; waiting; {
		select {
		case <-grace.C:
			g.leaveHandlers(true)
		case <-g.empty:
			waiting = false
		case <-over.C:
			work = e.giveUp(g, limit)
			waiting = false
		case <-e.ctx.Done():
			return // Close ends the code
		}
	}
	g.endServing()
	g.close()
	_ = g.link.Close()
	g.end()
	e.gone(g)
	e.mu.Lock()
	if e.leaving == c {
		e.leaving = nil
	}
	e.mu.Unlock()
	if c.waiting > 0 {
		e.events.Publish(&inspect.Retired{Header: inspect.Header{Generation: g.number}, Lost: work, Took: time.Since(c.began)})
	}
}

// giveUp ends what still runs under older code, and reports in how many rooms
// that was.
func (e *Emulator) giveUp(g *generation, limit time.Duration) (rooms int) {
	for _, r := range e.allRooms() {
		r.do(func() {
			in := r.inst
			if in == nil || in.gen != g {
				return
			}
			rooms++
			reason := "replaced by new code after " + limit.String()
			if in.starting {
				e.events.Publish(&inspect.TurnLost{Header: r.header(), Kind: "start", Reason: reason})
			}
			if len(in.holds) > 0 {
				var what []string
				for _, w := range in.holds {
					what = append(what, w)
				}
				slices.Sort(what)
				e.events.Publish(&inspect.WorkLost{Header: r.header(), What: what, Reason: reason})
			}
			r.wanted = in.revive
			r.keepsProps = r.props != nil
			r.drop(reason, true)
		})
	}
	return rooms
}

// leaveHandlers ends the contexts of the requests of App.Handler: of those that
// answer already, or of all.
func (g *generation) leaveHandlers(all bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for x := range g.serving {
		if all || x.answers.Load() {
			g.link.Send(&wire.Leave{Stream: x.id})
		}
	}
	g.link.Flush()
}
