//go:build !js

package guest

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/goparty/party/emulator/wire"
)

// SocketVariable is the environment variable that tells a guest's process where
// its emulator is: "fd:3", or "unix:" and a path.
const SocketVariable = "PARTY_GUEST"

// Remote is a guest's link to an emulator in another process.
//
// The goroutine that reads the link runs the turns that it read: no other has
// to be woken for them. If that takes long, or a turn is about to wait, another
// goroutine goes on reading, and the turns that have not begun go to workers.
type Remote struct {
	conn  *wire.Conn
	ready chan struct{} // closed when the program is there
	guest *Guest

	mu     sync.Mutex
	reader uint64 // number of the goroutine that reads
	busy   bool   // it runs turns
	late   bool   // it did so at the last beat
	nested bool   // a turn that it runs reads, while it waits for an answer
	orphan bool   // and that turn's reader has ended meanwhile
	todo   []*Instance
}

// Attach connects to the emulator that started this process. When the emulator
// ends, however that happens, so does the process: Attach should run before any
// of the user's code can hang. It returns nil where no emulator started us.
func Attach() (*Remote, error) {
	where := os.Getenv(SocketVariable)
	if where == "" {
		return nil, nil
	}
	_ = os.Unsetenv(SocketVariable) // not for the processes that user code starts
	conn, err := dial(where)
	if err != nil {
		return nil, fmt.Errorf("connecting to the emulator: %w", err)
	}
	r := &Remote{conn: wire.NewConn(conn), ready: make(chan struct{})}
	go r.read(0)
	return r, nil
}

// read serves the link as its n-th reader.
func (r *Remote) read(n uint64) {
	gid := goroutineID()
	err := r.conn.Serve(func(m wire.Message) bool { r.handle(m); return true }, func() bool { return r.pause(n, gid) })
	if err != nil {
		os.Exit(0) // the emulator has ended
	}
}

func (r *Remote) handle(m wire.Message) {
	<-r.ready
	if w, ok := m.(*wire.Welcome); ok {
		r.guest.inline, r.guest.handOver, r.guest.overdue = r.add, r.handOver, r.overdue
		r.guest.serveUntil = r.serveUntil
		r.guest.Connect(r.conn, w)
		return
	}
	r.guest.Handle(m)
}

// add notes an instance that got a turn. Only the reader calls it.
func (r *Remote) add(in *Instance) {
	r.mu.Lock()
	r.todo = append(r.todo, in)
	r.mu.Unlock()
}

// pause runs what was read. It reports false where another goroutine has taken
// over reading meanwhile.
func (r *Remote) pause(n uint64, gid int64) bool {
	r.mu.Lock()
	if len(r.todo) == 0 {
		r.mu.Unlock()
		return true
	}
	r.busy, r.late = true, false
	r.guest.pulse.Use()
	for len(r.todo) > 0 && r.reader == n {
		in := r.todo[0]
		r.todo[0] = nil
		r.todo = r.todo[1:]
		r.mu.Unlock()
		if in.own() {
			r.run(in, gid)
		}
		r.mu.Lock()
	}
	still := r.reader == n
	if still && r.nested { // by a goroutine that the turn left behind
		r.reader++
		r.busy, r.orphan, still = false, true, false
	}
	if still {
		r.busy, r.todo = false, nil
	}
	r.mu.Unlock()
	r.conn.Flush()
	return still
}

// run runs an instance's turns. A turn that ends its goroutine takes the reader
// with it, so another must go on.
func (r *Remote) run(in *Instance, gid int64) {
	ended := false
	defer func() {
		if !ended {
			r.handOver()
		}
	}()
	in.work(gid)
	ended = true
}

// serveUntil lets a turn that waits for an answer read the link itself, in the
// place of the reader that runs the turn: so nobody has to be woken for the
// answer. It reports false where it cannot; then the caller must wait in another
// way, and somebody else reads.
func (r *Remote) serveUntil(answered func() bool) bool {
	r.mu.Lock()
	if !r.busy || r.nested {
		r.mu.Unlock()
		return false
	}
	r.nested = true
	r.mu.Unlock()
	err := r.conn.Serve(func(m wire.Message) bool {
		r.handle(m)
		return !answered()
	}, func() bool {
		r.mu.Lock()
		todo := r.todo
		r.todo = nil
		r.mu.Unlock()
		for _, in := range todo {
			r.guest.dispatch(in)
		}
		r.conn.Flush()
		return true
	})
	if err != nil {
		os.Exit(0) // the emulator has ended
	}
	r.mu.Lock()
	r.nested, r.late = false, false
	orphan := r.orphan
	r.orphan = false
	n := r.reader
	r.mu.Unlock()
	switch {
	case orphan:
		go r.read(n)
	case r.guest.othersWait():
		r.handOver()
	}
	return true
}

// overdue hands over where the reader has run turns for a whole beat.
func (r *Remote) overdue() {
	r.mu.Lock()
	late := r.busy && r.late && !r.nested
	r.late = r.busy && !r.nested
	r.mu.Unlock()
	if late {
		r.handOver()
	}
}

// handOver makes another goroutine the reader, if the present one runs turns.
func (r *Remote) handOver() {
	r.mu.Lock()
	if !r.busy || r.nested {
		r.mu.Unlock()
		return // somebody reads
	}
	r.busy = false
	r.reader++
	n, todo := r.reader, r.todo
	r.todo = nil
	r.mu.Unlock()
	go r.read(n)
	r.conn.Flush()
	for _, in := range todo {
		r.guest.dispatch(in)
	}
}

func dial(where string) (io.ReadWriteCloser, error) {
	kind, at, _ := strings.Cut(where, ":")
	switch kind {
	case "unix":
		return net.Dial("unix", at)
	case "fd":
		return inherited(at)
	}
	return nil, fmt.Errorf("%s=%q is not understood", SocketVariable, where)
}

// Run serves p until the emulator ends, which ends the process.
func (r *Remote) Run(p Program) {
	r.guest = New(p)
	r.conn.Send(r.guest.Hello())
	r.conn.Flush()
	close(r.ready)
	select {} // the reader ends the process
}

// Refuse tells the emulator that the program cannot run, and ends the process.
func (r *Remote) Refuse(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
