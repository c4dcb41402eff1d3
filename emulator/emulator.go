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
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage"
	"github.com/goparty/party/emulator/wire"
)

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

// Open takes the directory of the rooms' state, as Run does where nobody has
// before: whoever calls it learns early that it cannot be used. Close gives the
// directory back.
func (e *Emulator) Open() error {
	e.loading.Lock()
	defer e.loading.Unlock()
	return e.open()
}

// open opens the rooms' databases. It must be called with loading held.
func (e *Emulator) open() error {
	if e.store != nil {
		return nil
	}
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
		return err
	}
	e.store = store
	return nil
}

// Events is the stream of everything that happens.
func (e *Emulator) Events() *inspect.Stream { return e.events }

// KeepPayloads lets events show up to n bytes of each message, until the
// function that it returns is called.
func (e *Emulator) KeepPayloads(n int) (end func()) { return e.events.Keep(n) }

// drainLimit is how long Close lets turns finish.
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
