package guest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// Errors that the SDK hands on.
var (
	ErrNoTurn   = errors.New("no turn")
	ErrInTurn   = errors.New("in a turn")
	ErrCycle    = errors.New("call cycle")
	ErrClosed   = errors.New("closed")
	ErrTooLarge = errors.New("too large")
)

// errGone is what a fenced instance answers.
var errGone = fmt.Errorf("%w: this instance of the room has left memory, so what it does has no effect any more; end your goroutines when Context() is done", ErrClosed)

// Instance is one life of a room in memory. Unless said otherwise its methods
// may be used from any goroutine.
type Instance struct {
	Number  uint64
	Address wire.Address
	ID      string

	storage *Storage

	guest   *Guest
	class   *Class
	object  Object
	ctx     context.Context
	cancel  context.CancelCauseFunc
	staying context.Context // of background work; it ends before ctx where other code takes over
	end     context.CancelCauseFunc
	fenced  atomic.Bool
	turn    atomic.Pointer[turn] // nil: none runs
	gid     atomic.Int64         // goroutine that runs the turns

	mu      sync.Mutex
	queue   []*wire.Turn // turns that have not begun
	owned   bool         // a goroutine runs the queue
	props   []byte
	conns   []*Conn // in the order they came
	byKey   map[uint64]*Conn
	told    []wire.Connection // of a Start that is not whole yet
	timers  map[uint64]func(context.Context)
	asked   map[uint64]*asked
	invoked []byte // result of the running Invoke
}

func newInstance(g *Guest, class *Class, m *wire.Start) *Instance {
	in := &Instance{
		Number: m.Instance, Address: m.Address, ID: m.ID,
		guest: g, class: class, props: m.Props,
		byKey:  map[uint64]*Conn{},
		timers: map[uint64]func(context.Context){},
		asked:  map[uint64]*asked{},
	}
	ctx, cancel := context.WithCancelCause(g.ctx)
	in.ctx, in.cancel = instanceContext{ctx, in}, cancel
	in.staying, in.end = context.WithCancelCause(in.ctx)
	in.storage = &Storage{in: in}
	in.object = class.New(in)
	return in
}

// meet tells the instance which connections there are, and reports whether it
// knows them all. Where OnStart failed before, some may have gone since.
func (in *Instance) meet(m *wire.Start) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.told = append(in.told, m.Connections...)
	if m.More {
		return false
	}
	there := make(map[uint64]bool, len(in.told))
	for _, c := range in.told {
		there[c.Key] = true
		if in.byKey[c.Key] == nil {
			in.add(newConn(in, c))
		}
	}
	in.told = nil
	in.conns = slices.DeleteFunc(in.conns, func(c *Conn) bool {
		if there[c.key] {
			return false
		}
		c.ready = Closed
		delete(in.byKey, c.key)
		return true
	})
	if m.Props != nil {
		in.props = m.Props
	}
	return true
}

// Context is cancelled when the instance leaves memory.
func (in *Instance) Context() context.Context { return in.ctx }

// Binding is the class's binding.
func (in *Instance) Binding() string { return in.class.Binding }

// Now is the room's clock.
func (in *Instance) Now() time.Time { return in.guest.now() }

// Env returns a variable of the emulator's environment for servers.
func (in *Instance) Env(key string) string { return in.guest.welcome.Env[key] }

// Debug reports whether clients may see stacks.
func (in *Instance) Debug() bool { return in.guest.welcome.Debug }

// Props returns the room's props as JSON; nil: none were ever given.
func (in *Instance) Props() []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.props
}

func (in *Instance) setProps(p []byte) {
	if p != nil {
		in.mu.Lock()
		in.props = p
		in.mu.Unlock()
	}
}

// Log sends one line of the room's log.
func (in *Instance) Log(level slog.Level, text string) {
	if !in.fenced.Load() {
		in.guest.log(in.Number, level, text)
	}
}

func (in *Instance) enqueue(t *wire.Turn) {
	in.mu.Lock()
	in.queue = append(in.queue, t)
	in.mu.Unlock()
	in.guest.schedule(in)
}

// stop fences the instance: its context ends, its turns that have not begun are
// forgotten (the emulator still has them), and the running one has no effect.
func (in *Instance) stop(reason string) {
	if in.fenced.Swap(true) {
		return
	}
	in.cancel(fmt.Errorf("%w (%s)", errGone, reason))
	in.mu.Lock()
	in.queue = nil
	for _, c := range in.conns {
		c.ready = Closed
	}
	asked := in.asked
	in.asked = nil
	in.timers = nil
	in.mu.Unlock()
	for _, a := range asked {
		a.finish(errGone)
	}
	in.guest.forget(in.Number)
	in.storage.close()
}

// send sends m for this instance unless it is fenced.
func (in *Instance) send(m wire.Message) error {
	if in.fenced.Load() {
		return errGone
	}
	in.guest.link.Send(m)
	if in.turn.Load() == nil {
		in.guest.link.Flush()
	} else {
		in.guest.flushSoon()
	}
	in.guest.link.Pace()
	return nil
}

// Broadcast sends to every open connection whose id is not in without. It does
// not keep data.
func (in *Instance) Broadcast(binary bool, data []byte, without []string) error {
	if len(data) > wire.MaxPayload {
		return tooLarge("a message", len(data))
	}
	return in.send(&wire.Broadcast{Instance: in.Number, Binary: binary, Data: data, Without: without})
}

func tooLarge(what string, n int) error {
	return fmt.Errorf("%w: %s of %d bytes; at most %d are allowed, so split it", ErrTooLarge, what, n, wire.MaxPayload)
}

// maxAuto is the platform's limit for each side of an automatic response.
const maxAuto = 2048

// AutoRespond sets what the emulator answers by itself.
func (in *Instance) AutoRespond(request, response string) error {
	for what, s := range map[string]string{"Request": request, "Response": response} {
		if len(s) > maxAuto {
			return fmt.Errorf("%w: %s cannot be larger than %d bytes. A %s of size %d was provided", ErrTooLarge, what, maxAuto, what, len(s))
		}
	}
	return in.send(&wire.AutoRespond{Instance: in.Number, Request: request, Response: response})
}

// Abort resets the room and ends the calling goroutine, as runtime.Goexit does.
func (in *Instance) Abort(reason string) {
	if !in.fenced.Load() {
		in.guest.link.Send(&wire.Abort{Instance: in.Number, Reason: reason})
		in.stop("aborted: " + reason)
		in.guest.link.Flush()
	}
	runtime.Goexit()
}

// Connections yields the open connections that carry every tag, in the order
// they connected. The list is taken when the iteration starts.
func (in *Instance) Connections(tags []string) iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		in.mu.Lock()
		open := make([]*Conn, 0, len(in.conns))
		for _, c := range in.conns {
			if c.ready == Open && c.tagged(tags) {
				open = append(open, c)
			}
		}
		in.mu.Unlock()
		for _, c := range open {
			if !yield(c) {
				return
			}
		}
	}
}

// Connection returns the newest open connection with an id.
func (in *Instance) Connection(id string) (*Conn, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := len(in.conns) - 1; i >= 0; i-- {
		if c := in.conns[i]; c.ID == id && c.ready == Open {
			return c, true
		}
	}
	return nil, false
}

// add must be called with mu held, or before anybody else has the instance.
func (in *Instance) add(c *Conn) {
	in.conns = append(in.conns, c)
	in.byKey[c.key] = c
}

func (in *Instance) remove(c *Conn) {
	in.mu.Lock()
	defer in.mu.Unlock()
	c.ready = Closed
	delete(in.byKey, c.key)
	for i := range in.conns {
		if in.conns[i] == c {
			in.conns = append(in.conns[:i:i], in.conns[i+1:]...)
			return
		}
	}
}

func (in *Instance) conn(key uint64) *Conn {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.byKey[key]
}
