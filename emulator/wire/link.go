package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// Link carries messages to the other side. Send and Flush never block and may
// be used from any goroutine.
type Link interface {
	// Send queues m.
	Send(m Message)
	// Flush lets everything queued leave.
	Flush()
	// Pace blocks while the other side is far behind; a guest calls it from
	// the goroutines of hooks, so that a flood slows its own sender.
	Pace()
	// Close ends the link; the other side learns of it.
	Close() error
}

// Conn is a [Link] over a stream socket.
type Conn struct {
	conn io.ReadWriteCloser
	out  *Outbox

	// Of the goroutine that serves.
	in    *bufio.Reader
	large []byte
}

// paceBytes is how far a guest may run ahead of the emulator.
const paceBytes = 8 << 20

// NewConn returns the link over conn, which it owns.
func NewConn(conn io.ReadWriteCloser) *Conn { return &Conn{conn: conn, out: NewOutbox(conn)} }

// Send implements [Link].
func (c *Conn) Send(m Message) {
	c.out.Add(func(b []byte) []byte { return Append(b, m) })
}

// Flush implements [Link].
func (c *Conn) Flush() { c.out.Flush() }

// Pace implements [Link].
func (c *Conn) Pace() {
	if c.out.Size() > paceBytes {
		c.out.Flush()
		<-c.out.Empty()
	}
}

// Close implements [Link].
func (c *Conn) Close() error {
	c.out.Close()
	return c.conn.Close()
}

// Receiver makes what [Conn.Serve] calls, for a goroutine that begins to read.
type Receiver func() (handle func(Message) bool, pause func() bool)

// Read returns the next message. Only one goroutine may read, by Read or Serve.
func (c *Conn) Read() (Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > MaxFrame {
		return nil, tooLong(n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return nil, err
	}
	return Decode(body)
}

// Serve reads until the link ends and hands each message to handle; pause is
// called whenever the next read may have to wait, that is behind every batch
// of messages that arrived together. It returns io.EOF for an orderly end.
//
// Where handle or pause reports false, Serve returns nil at once, and another
// call may go on from there, on another goroutine too.
func (c *Conn) Serve(handle func(Message) bool, pause func() bool) error {
	if c.in == nil {
		c.in = bufio.NewReaderSize(c.conn, 64<<10)
	}
	r := c.in
	for {
		if !whole(r) && !pause() {
			return nil
		}
		head, err := r.Peek(4)
		if err != nil {
			if len(head) > 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		n := int(binary.LittleEndian.Uint32(head))
		if n > MaxFrame {
			return tooLong(uint32(n))
		}
		var body []byte
		if n+4 <= r.Size() {
			frame, err := r.Peek(n + 4)
			if err != nil {
				return io.ErrUnexpectedEOF
			}
			body = frame[4:]
		} else {
			_, _ = r.Discard(4)
			if cap(c.large) < n {
				c.large = make([]byte, n)
			}
			body = c.large[:n]
			if _, err := io.ReadFull(r, body); err != nil {
				return io.ErrUnexpectedEOF
			}
		}
		m, err := Decode(body)
		if err != nil {
			return fmt.Errorf("malformed message: %w", err)
		}
		if n+4 <= r.Size() {
			_, _ = r.Discard(n + 4)
		} else if cap(c.large) > 1<<20 {
			c.large = nil // do not keep the largest message ever seen
		}
		if !handle(m) {
			return nil
		}
	}
}

// whole reports whether a complete frame is already in r's buffer.
func whole(r *bufio.Reader) bool {
	if r.Buffered() < 4 {
		return false
	}
	head, _ := r.Peek(4)
	return r.Buffered()-4 >= int(binary.LittleEndian.Uint32(head))
}

func tooLong(n uint32) error {
	return fmt.Errorf("malformed message: a frame of %d bytes (at most %d)", n, MaxFrame)
}

// Pipe is a [Link] within one process: Send calls the other side's handler on
// the sender's goroutine, so handlers must not block and are called from many
// goroutines at once.
type Pipe struct {
	mu     sync.RWMutex
	handle func(Message) // nil: the link has ended
	pause  func()
	closed func()
}

// NewPipe returns a link to handle; pause is called on Flush, and closed, once,
// when the link ends.
func NewPipe(handle func(Message), pause, closed func()) *Pipe {
	return &Pipe{handle: handle, pause: pause, closed: closed}
}

// Send implements [Link]. It copies what the message does not hand over.
func (p *Pipe) Send(m Message) {
	p.mu.RLock()
	handle := p.handle
	p.mu.RUnlock()
	if handle == nil {
		return
	}
	switch m := m.(type) {
	case *Send:
		m.Data = bytes.Clone(m.Data)
	case *Broadcast:
		m.Data = bytes.Clone(m.Data)
	case *Chunk:
		m.Data = bytes.Clone(m.Data)
	case *Response:
		m.Data = bytes.Clone(m.Data)
	}
	handle(m)
}

// Flush implements [Link].
func (p *Pipe) Flush() { p.pause() }

// Pace implements [Link]. Within a process the receiver runs on the sender's
// goroutine and cannot fall behind.
func (p *Pipe) Pace() {}

// Close implements [Link].
func (p *Pipe) Close() error {
	p.mu.Lock()
	was := p.handle
	p.handle = nil
	p.mu.Unlock()
	if was != nil {
		p.closed()
	}
	return nil
}
