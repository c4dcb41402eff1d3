// Package emulator is the runtime: the gateway that clients connect to, the
// rooms with their connections and turns, hibernation, eviction and abort, and
// the generations of the user's code.
//
// Everything that must survive the user's code lives here. The code itself runs
// in a guest behind [github.com/goparty/party/emulator/wire], in a process of
// its own or in this one; the emulator never runs it on its own goroutines and
// never waits for it.
package emulator

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage"
	"github.com/goparty/party/emulator/wire"
)

// Defaults of Config.
const (
	DefaultHibernateAfter = 10 * time.Second
	DefaultEvictAfter     = 70 * time.Second
)

// Config of an emulator. The zero value is usable.
type Config struct {
	// HibernateAfter is how long a room stays in memory with nothing to do.
	// 0: DefaultHibernateAfter. (Measured on the platform: 10 s.)
	HibernateAfter time.Duration
	// EvictAfter is how long timers and background work keep a room in memory
	// without a connection. 0: DefaultEvictAfter. (Platform: 70 to 140 s.)
	EvictAfter time.Duration
	// Env is what Server.Env reads.
	Env map[string]string
	// Debug sends stacks to clients.
	Debug bool
	// Patient waits for code however long it stands still, as in a debugger.
	Patient bool
	// Clock is the rooms' time. Nil: the wall's.
	Clock *clock.Clock
	// State is the directory of the rooms' databases. "": a temporary one that
	// Close removes.
	State string
	// Durable makes every commit wait for the disk, so that it survives a loss
	// of power and not only the end of the process.
	Durable bool
	// OpenFiles is how many rooms' databases are open at once. 0: 64.
	OpenFiles int
	// Seed of what is random in the rooms' time: the jitter of retries, and the
	// ids of clients that have none. 0: nothing is predictable.
	Seed uint64
	// Generation is the number of the first code that runs. 0: 1.
	Generation uint64
}

// Emulator runs rooms. Its methods may be used from any goroutine.
type Emulator struct {
	config Config
	clock  *clock.Clock
	events *inspect.Stream
	server *http.Server

	store     *storage.Store // opened by Run
	temporary string         // directory to remove
	files     *openFiles

	alarmMu sync.Mutex // guards alarms and rand; a leaf
	alarms  map[wire.Address]*alarm
	rand    *rand.Rand
	seeded  bool // rand is asked for, so that runs are alike

	looks
	motion

	faults faults
	next   atomic.Uint64 // numbers of instances, turns, connections, streams
	waits  waits
	ctx    context.Context // ends with Close
	end    context.CancelFunc
	work   sync.WaitGroup // goroutines that Close waits for
	closed atomic.Bool

	loading      sync.Mutex   // held while code is started
	door         sync.RWMutex // read-held while a WebSocket is let into its class
	restartDelay atomic.Int64 // before code that ended is started again the next time

	// mu guards what follows. It is never held while a room's mailbox is
	// drained or a link is written to.
	mu         sync.RWMutex
	rooms      map[wire.Address]*room
	instances  map[uint64]*room
	exchanges  map[uint64]*exchange
	generation *generation              // nil: no code runs
	latest     *generation              // the newest that has served, also once it has ended
	number     uint64                   // of the newest code that has served
	loader     Loader                   // of that code
	env        map[string]string        // what Server.Env reads
	live       map[*generation]struct{} // those that run, also those that newer code replaces
	reason     string                   // why no code runs
	changed    chan struct{}            // closed when generation changes
	reloads    int                      // that begin or wait to
	yield      context.CancelFunc       // ends an attempt to start code again; nil: there was none
	leaving    *changeover              // the last reload, while rooms still run older code
}

// New returns an emulator without code: requests wait for [Emulator.Run].
func New(c Config) *Emulator {
	if c.HibernateAfter <= 0 {
		c.HibernateAfter = DefaultHibernateAfter
	}
	if c.EvictAfter <= 0 {
		c.EvictAfter = DefaultEvictAfter
	}
	if c.OpenFiles <= 0 {
		c.OpenFiles = openMost
	}
	if c.Clock == nil {
		c.Clock = clock.NewWall()
	}
	e := &Emulator{
		config:    c,
		clock:     c.Clock,
		rooms:     map[wire.Address]*room{},
		instances: map[uint64]*room{},
		exchanges: map[uint64]*exchange{},
		alarms:    map[wire.Address]*alarm{},
		looks:     looks{lives: map[wire.Address]*life{}},
		files:     newOpenFiles(c.OpenFiles),
		live:      map[*generation]struct{}{},
		env:       c.Env,
		changed:   make(chan struct{}),
	}
	if e.seeded = c.Seed != 0; !e.seeded {
		c.Seed = rand.Uint64()
	}
	e.rand = rand.New(rand.NewPCG(c.Seed, 0))
	if c.Clock.Manual() {
		c.Clock.Settle(func() {
			ctx, cancel := context.WithTimeout(e.ctx, QuietLimit)
			defer cancel()
			_ = e.settle(ctx, false) // whoever waits for quiet hears of it
		})
	}
	e.events = inspect.NewStream(c.Clock.Now)
	e.ctx, e.end = context.WithCancel(context.Background())
	e.server = newServer(e)
	return e
}

// ErrState matches [Emulator.Run]'s error where the directory of the rooms'
// state cannot be used. No other code mends that.
var ErrState = errors.New("the state cannot be used")

type stateError struct{ error }

func (e stateError) Unwrap() error        { return e.error }
func (e stateError) Is(target error) bool { return target == ErrState }

// open opens the rooms' databases.
func (e *Emulator) open() error {
	dir := e.config.State
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "party-state-"); err != nil {
			return fmt.Errorf("making a directory for state: %w", err)
		}
		e.temporary = dir
	}
	store, err := storage.Open(dir, storage.Options{Full: e.config.Durable, Now: e.clock.Now})
	if err != nil {
		return stateError{err}
	}
	e.store = store
	return nil
}

// connectionID makes up the id of a client that has none. Only a seed that was
// asked for makes it predictable.
func (e *Emulator) connectionID() string {
	var b [21]byte
	if !e.seeded {
		_, _ = crand.Read(b[:])
		return wire.NanoID(b)
	}
	e.alarmMu.Lock()
	defer e.alarmMu.Unlock()
	for i := range b {
		b[i] = byte(e.rand.Uint64())
	}
	return wire.NanoID(b)
}

// random returns a number from 0 to n.
func (e *Emulator) random(n int64) int64 {
	e.alarmMu.Lock()
	defer e.alarmMu.Unlock()
	return e.rand.Int64N(n + 1)
}

// Events is the stream of everything that happens.
func (e *Emulator) Events() *inspect.Stream { return e.events }

// KeepPayloads lets events show up to n bytes of each message, until the
// function that it returns is called.
func (e *Emulator) KeepPayloads(n int) (end func()) { return e.events.Keep(n) }

// Clock is the rooms' clock. Move it with [Emulator.Advance].
func (e *Emulator) Clock() *clock.Clock { return e.clock }

// Advance moves the rooms' clock by d, which is not negative, and runs what
// falls due in order. It returns the new time.
func (e *Emulator) Advance(ctx context.Context, d time.Duration) (time.Time, error) {
	if d < 0 {
		return e.clock.Now(), errors.New("the clock cannot go back: alarms and timers have seen this time")
	}
	if err := ctx.Err(); err != nil {
		return e.clock.Now(), err
	}
	err := e.AdvanceClock(d, e.settler(ctx))
	return e.clock.Now(), err
}

// endOfTime is how far the clock goes: times are counted in nanoseconds.
var endOfTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// AdvanceClock is Advance with settle, which, if not nil, is called after each
// thing that fell due. Where it fails, the clock stays where it is.
func (e *Emulator) AdvanceClock(d time.Duration, settle func() error) error {
	if e.clock.Now().Add(d).After(endOfTime) {
		return fmt.Errorf("the clock goes up to %s, and no further", endOfTime.Format(time.DateOnly))
	}
	err := e.clock.Advance(d, e.tellClock, settle)
	e.events.Publish(&inspect.ClockMoved{Header: inspect.Header{Forced: true}, By: d})
	return err
}

// tellClock brings the clock to the running code.
func (e *Emulator) tellClock() {
	e.mu.RLock()
	g := e.generation
	e.mu.RUnlock()
	if g != nil { // what older code still runs hears of it by its turns
		g.link.Send(&wire.SetClock{Clock: e.wireClock()})
		g.link.Flush()
	}
}

func (e *Emulator) wireClock() wire.Time {
	if e.clock.Manual() {
		return wire.Time{Fixed: e.clock.Now().UnixNano()}
	}
	return wire.Time{Offset: int64(e.clock.Offset())}
}

// drainLimit is how long Shutdown lets turns finish.
const drainLimit = 600 * time.Millisecond

// Close stops everything: no new requests, what runs is given a moment to end,
// then connections are cut and the code is stopped. It waits until all is gone.
// ctx ends the moment early.
func (e *Emulator) Close(ctx context.Context) error {
	if e.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	e.server.SetKeepAlivesEnabled(false)
	e.drain(ctx)
	e.end()
	_ = e.server.Close()
	for _, r := range e.allRooms() {
		if r.do(func() { r.shut() }) {
			r.work.wait()
		}
	}
	e.mu.Lock()
	live := e.live
	e.generation, e.live = nil, map[*generation]struct{}{}
	e.mu.Unlock()
	for g := range live {
		g.close()
	}
	e.clock.Close()
	e.work.Wait()
	var err error
	if e.store != nil {
		err = e.store.Close()
	}
	if e.temporary != "" {
		err = errors.Join(err, os.RemoveAll(e.temporary))
	}
	return err
}

// drain waits until no turn runs.
func (e *Emulator) drain(ctx context.Context) {
	for _, r := range e.allRooms() {
		for {
			quiet := make(chan struct{})
			idle := false
			if !r.do(func() {
				r.closing = true
				if idle = r.inst == nil || len(r.inst.running) == 0; !idle {
					r.quiet = append(r.quiet, quiet)
				}
			}) {
				break
			}
			if idle {
				break
			}
			select {
			case <-quiet:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (e *Emulator) allRooms() []*room {
	e.mu.RLock()
	defer e.mu.RUnlock()
	all := make([]*room, 0, len(e.rooms))
	for _, r := range e.rooms {
		all = append(all, r)
	}
	return all
}

// room returns the room at an address, making it where there is none.
func (e *Emulator) room(a wire.Address) *room {
	e.mu.RLock()
	r := e.rooms[a]
	e.mu.RUnlock()
	if r != nil {
		return r
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r = e.rooms[a]; r == nil {
		r = newRoom(e, a)
		e.rooms[a] = r
	}
	return r
}

// post brings m to the room at an address, which may have to be made again
// because the last one was forgotten in the same moment. It returns the room,
// which the caller must drain.
func (e *Emulator) post(a wire.Address, m message) *room {
	for {
		r := e.room(a)
		if r.box.put(m) {
			return r
		}
	}
}

// doAt runs f as the owner of the room at an address and returns when it has
// run. What falls due does so, so that the clock does not go on before.
func (e *Emulator) doAt(a wire.Address, f func(r *room)) {
	for {
		r := e.room(a)
		if r.do(func() { f(r) }) {
			return
		}
	}
}

// forget drops a room that is nothing any more.
func (e *Emulator) forget(r *room) {
	e.mu.Lock()
	if e.rooms[r.address] == r {
		delete(e.rooms, r.address)
	}
	e.mu.Unlock()
	e.outlive(r.address)
}

func (e *Emulator) bind(number uint64, r *room) {
	e.mu.Lock()
	e.instances[number] = r
	e.mu.Unlock()
}

func (e *Emulator) unbind(number uint64) {
	e.mu.Lock()
	delete(e.instances, number)
	e.mu.Unlock()
}

func (e *Emulator) owner(instance uint64) *room {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.instances[instance]
}

// parse finds the address that party/name stands for, by the newest code, also
// while it does not run.
func (e *Emulator) parse(name string) (wire.Address, error) {
	e.mu.RLock()
	g := e.latest
	e.mu.RUnlock()
	if g == nil {
		return wire.Address{}, errors.New("no code is running")
	}
	party, room, ok := wire.SplitPath("", name)
	if !ok {
		like := "chat/lobby"
		if len(g.bindings) > 0 && party != "" {
			like = wire.Kebab(g.bindings[0]) + "/" + party
		}
		return wire.Address{}, fmt.Errorf("%q is no room: write party/name, such as %s", name, like)
	}
	jurisdiction := ""
	if before, after, ok := strings.Cut(party, ":"); ok { // as rooms are shown
		jurisdiction, party = before, after
	}
	binding, ok := g.parties[party]
	if !ok {
		if like := inspect.Similar(party, slices.Sorted(maps.Keys(g.parties))); like != "" {
			return wire.Address{}, fmt.Errorf("no class answers at /parties/%s; did you mean %s/%s?", party, like, room)
		}
		return wire.Address{}, wire.UnknownParty(party, g.bindings)
	}
	return wire.Address{Binding: binding, Name: room, Jurisdiction: jurisdiction}, nil
}

// ErrAsleep is what forcing an instance out of a room without one answers.
var ErrAsleep = errors.New("the room is not in memory")

// hibernateWait is how long Hibernate waits, of machine time, for what a room
// does just now: whoever has seen an answer may be ahead of the end of its turn.
const hibernateWait = 100 * time.Millisecond

// Hibernate drops a room's memory and keeps its connections. It refuses, with
// the reasons, a room that could not hibernate by itself and that does not come
// to rest in a moment, unless forced. A room already asleep is fine.
func (e *Emulator) Hibernate(ctx context.Context, name string, force bool) error {
	patience, cancel := context.WithTimeout(ctx, hibernateWait)
	defer cancel()
	for wait := pollLeast; ; wait = min(2*wait, pollMost) {
		var why []string
		err := e.force(ctx, name, func(r *room) error {
			if r.inst == nil {
				return nil
			}
			if why = r.awake(); len(why) > 0 && !force {
				return fmt.Errorf("%s cannot hibernate now: %s; force it to drop that", r.name, joinReasons(why))
			}
			r.hibernate(true)
			return nil
		})
		if err == nil || len(why) == 0 || patience.Err() != nil {
			return err
		}
		time.Sleep(wait)
	}
}

// Evict drops a room's memory as the platform would: connections of classes
// that hibernate stay, others are cut. It works on a room whose hook hangs.
func (e *Emulator) Evict(ctx context.Context, name string) error {
	return e.force(ctx, name, func(r *room) error {
		if r.inst == nil {
			return fmt.Errorf("%s: %w", r.name, ErrAsleep)
		}
		r.evict("asked for", true)
		return nil
	})
}

// Abort resets a room: what is not committed is lost and every connection is
// cut. It works on a room whose hook hangs.
func (e *Emulator) Abort(ctx context.Context, name string) error {
	return e.force(ctx, name, func(r *room) error {
		if r.inst == nil && len(r.conns) == 0 {
			return fmt.Errorf("%s: %w", r.name, ErrAsleep)
		}
		r.abort("asked for", true)
		return nil
	})
}

// force runs f as r's owner. A room that does not exist is not made for it.
func (e *Emulator) force(ctx context.Context, name string, f func(r *room) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, err := e.parse(name)
	if err != nil {
		return err
	}
	e.mu.RLock()
	r := e.rooms[a]
	e.mu.RUnlock()
	if r == nil {
		if _, err := e.find(name); err != nil {
			return err
		}
		return f(newRoom(e, a))
	}
	if !r.do(func() { err = f(r) }) {
		return e.force(ctx, name, f) // forgotten meanwhile
	}
	return err
}
