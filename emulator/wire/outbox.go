package wire

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// chunkSize is how much small writes are gathered into before a new chunk.
const chunkSize = 16 << 10

var chunkPool = sync.Pool{New: func() any { b := make([]byte, 0, chunkSize); return &b }}

// Outbox is what waits to be written to a socket. Adding and flushing never
// block: a flush writes what the kernel takes at once, on the caller's own
// goroutine, and only a full socket costs a goroutine, which lives until the
// rest is written. So there is no goroutine hop while the reader keeps up, and
// writes gather by themselves while it does not.
//
// All methods may be used from any goroutine.
type Outbox struct {
	conn io.Writer
	raw  syscall.RawConn // nil: no immediate writes on this system

	mu      sync.Mutex
	chunks  []chunk // not yet handed to a writer
	size    int     // bytes in chunks and in the writer's hands
	writing bool    // somebody writes
	err     error
	empty   chan struct{} // closed when size gets to zero or err is set; nil: nobody waits

	// Of the goroutine that set writing.
	now struct {
		data []byte
		n    int
		err  error
	}
	attempt func(fd uintptr) bool
}

type chunk struct {
	data   []byte
	pooled *[]byte // nil: data is not ours to append to or to use again
}

// NewOutbox returns the outbox of conn. It does not own conn.
func NewOutbox(conn io.Writer) *Outbox {
	o := &Outbox{conn: conn}
	if sc, ok := conn.(syscall.Conn); ok && canTryWrite {
		if raw, err := sc.SyscallConn(); err == nil {
			o.raw = raw
		}
	}
	o.attempt = func(fd uintptr) bool {
		o.now.n, o.now.err = tryWrite(fd, o.now.data)
		return true // tried once; never wait for the socket here
	}
	return o
}

// Add queues what f appends to its argument. Everything that one Add appends is
// kept together by [Outbox.Drop]. It returns the bytes now waiting.
func (o *Outbox) Add(f func([]byte) []byte) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.size
	}
	last := len(o.chunks) - 1
	if last < 0 || o.chunks[last].pooled == nil || len(o.chunks[last].data) >= chunkSize/2 {
		p := chunkPool.Get().(*[]byte)
		o.chunks = append(o.chunks, chunk{data: (*p)[:0], pooled: p})
		last++
	}
	c := &o.chunks[last]
	before := len(c.data)
	c.data = f(c.data)
	o.size += len(c.data) - before
	return o.size
}

// AddShared queues b itself, which must never change again.
func (o *Outbox) AddShared(b []byte) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.chunks = append(o.chunks, chunk{data: b})
		o.size += len(b)
	}
	return o.size
}

// Through lets what is not written yet pass conn, which may keep it back,
// instead of the connection that the outbox began with.
func (o *Outbox) Through(conn io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn, o.raw = conn, nil
}

// Size is how many bytes wait.
func (o *Outbox) Size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size
}

// Drop forgets what no writer has taken yet, in whole Adds.
func (o *Outbox) Drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.chunks {
		o.size -= len(c.data)
		c.free()
	}
	o.chunks = nil
}

// Flush writes what waits, as far as the socket takes it now.
func (o *Outbox) Flush() {
	o.mu.Lock()
	if o.writing || len(o.chunks) == 0 || o.err != nil {
		o.mu.Unlock()
		return
	}
	o.writing = true
	for len(o.chunks) > 0 && o.err == nil {
		if o.raw == nil {
			o.mu.Unlock()
			go o.drain(chunk{})
			return
		}
		c, raw := o.chunks[0], o.raw
		o.chunks = o.pop(o.chunks)
		o.mu.Unlock()

		o.now.data, o.now.n, o.now.err = c.data, 0, nil
		err := raw.Write(o.attempt)
		if err == nil {
			err = o.now.err
		}
		n := o.now.n
		o.now.data = nil
		if err == nil && n < len(c.data) {
			o.mu.Lock()
			o.size -= n
			o.mu.Unlock()
			c.data = c.data[n:]
			go o.drain(c)
			return
		}
		o.mu.Lock()
		o.written(len(c.data), err)
		c.free()
	}
	o.writing = false
	o.signal()
	o.mu.Unlock()
}

// pop removes the first chunk, keeping the backing array for an outbox that is
// empty most of the time.
func (o *Outbox) pop(q []chunk) []chunk {
	if len(q) == 1 {
		q[0] = chunk{}
		return q[:0]
	}
	q[0] = chunk{}
	return q[1:]
}

// drain writes first and then everything that waits, blocking as it must.
func (o *Outbox) drain(first chunk) {
	if len(first.data) > 0 {
		o.mu.Lock()
		conn := o.conn
		o.mu.Unlock()
		_, err := conn.Write(first.data)
		o.mu.Lock()
		o.written(len(first.data), err)
		o.mu.Unlock()
		first.free()
	}
	for {
		o.mu.Lock()
		if len(o.chunks) == 0 || o.err != nil {
			o.writing = false
			o.signal()
			o.mu.Unlock()
			return
		}
		// A bounded share, so that Drop can still drop the rest.
		n, conn := min(len(o.chunks), 16), o.conn
		batch := make([]chunk, n)
		copy(batch, o.chunks)
		o.chunks = o.chunks[n:]
		o.mu.Unlock()

		bufs := make(net.Buffers, n)
		total := 0
		for i, c := range batch {
			bufs[i] = c.data
			total += len(c.data)
		}
		_, err := bufs.WriteTo(conn)
		o.mu.Lock()
		o.written(total, err)
		o.mu.Unlock()
		for _, c := range batch {
			c.free()
		}
	}
}

// written must be called with mu held.
func (o *Outbox) written(n int, err error) {
	o.size -= n
	if err != nil && o.err == nil {
		o.err = err
		for _, c := range o.chunks {
			c.free()
		}
		o.chunks, o.size = nil, 0
	}
	o.signal()
}

// signal must be called with mu held.
func (o *Outbox) signal() {
	if o.empty != nil && (o.size == 0 || o.err != nil) {
		close(o.empty)
		o.empty = nil
	}
}

// Empty returns a channel that is closed once everything is written or nothing
// more can be.
func (o *Outbox) Empty() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.empty == nil {
		o.empty = make(chan struct{})
		o.signal()
		if o.empty == nil {
			return closedChannel
		}
	}
	return o.empty
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// errOutbox is what Close leaves behind for later Adds.
var errOutbox = errors.New("outbox closed")

// Close drops what waits; later Adds do nothing. It does not close the socket.
func (o *Outbox) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written(0, errOutbox)
}

// free gives a chunk's buffer back. A buffer that grew large is left to the
// collector.
func (c chunk) free() {
	if c.pooled != nil && cap(c.data) <= 4*chunkSize {
		*c.pooled = (*c.pooled)[:0]
		chunkPool.Put(c.pooled)
	}
}
