package emulator

import (
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// Limits on one connection.
const (
	// maxMessage is the largest message a client may send (the platform's).
	maxMessage = 32 << 20
	// maxQueued is how much may wait for a client that does not read.
	maxQueued = 16 << 20
	// maxUnread is how much of a client's messages may wait for their turns
	// before the client is no longer read from.
	maxUnread = 4 << 20
)

// How long a close handshake may take, of machine time.
const (
	closeLimit = 30 * time.Second
	slowLimit  = 5 * time.Second // after the queue was full
)

// connection is one WebSocket of a room. All fields but the constant ones and
// credit belong to the room's owner.
type connection struct {
	room *room
	key  uint64
	id   string
	uri  string

	tags   []string
	state  []byte
	opened time.Time

	sock   *socket      // nil: OnConnect has not ended, or the upgrade goes on
	early  []earlyFrame // sent before there was a socket
	queued int          // bytes in early
	credit credit       // of the reader
	timer  *time.Timer  // of the close handshake

	in, out, inBytes, outBytes uint64 // messages and their bytes

	accepted bool // it has tags and gets broadcasts
	dirty    bool // in room.dirty
	sent     bool // our close frame left
	gone     bool // the client's last event is queued or handled
	cut      bool // no more of it
	faulty   bool // the client broke the protocol
	lost     bool // a person cut it
	ours     bool // the server closed it before the client did

	delay time.Duration // that a person asked for
}

type earlyFrame struct {
	data []byte
	last bool // a close frame
}

func (c *connection) listed() bool { return c.accepted && !c.cut }

func (c *connection) wire() wire.Connection {
	return wire.Connection{Key: c.key, ID: c.id, URI: c.uri, Tags: c.tags, State: c.state, Closing: c.sent}
}

// send queues one message.
func (c *connection) send(opcode byte, data []byte) {
	if c.cut || c.sent || c.gone {
		return
	}
	c.countOut(len(data))
	if c.sock == nil {
		c.early = append(c.early, earlyFrame{data: appendFrame(nil, opcode, data)})
		if c.queued += len(data); c.queued > maxQueued {
			c.overflow()
		}
		return
	}
	c.queue(c.sock.out.Add(func(b []byte) []byte { return appendFrame(b, opcode, data) }), len(data))
}

func (c *connection) countIn(n int) {
	c.in++
	c.inBytes += uint64(n)
	c.room.life.in.Add(1)
	c.room.life.inBytes.Add(uint64(n))
}

func (c *connection) countOut(n int) {
	c.out++
	c.outBytes += uint64(n)
	c.room.life.out.Add(1)
	c.room.life.outBytes.Add(uint64(n))
}

// sendShared queues a frame that other connections get too; its message has n
// bytes.
func (c *connection) sendShared(frame []byte, n int) {
	if c.cut || c.sent || c.gone {
		return
	}
	c.countOut(n)
	if c.sock == nil {
		c.early = append(c.early, earlyFrame{data: frame})
		if c.queued += len(frame); c.queued > maxQueued {
			c.overflow()
		}
		return
	}
	if len(frame) < sharedFrom {
		c.queue(c.sock.out.Add(func(b []byte) []byte { return append(b, frame...) }), len(frame))
		return
	}
	c.queue(c.sock.out.AddShared(frame), len(frame))
}

// queue looks at what waits after a message of n bytes was added.
func (c *connection) queue(waiting, n int) {
	c.mark()
	if waiting-n > maxQueued {
		c.overflow()
	}
}

func (c *connection) mark() {
	if !c.dirty {
		c.dirty = true
		c.room.dirty = append(c.room.dirty, c)
	}
}

func (c *connection) flush() {
	if c.sock != nil && !c.cut {
		c.sock.out.Flush()
	}
}

// overflow closes a connection whose client does not read: what waits is
// dropped for the close frame.
func (c *connection) overflow() {
	if c.sock != nil {
		c.sock.out.Drop()
	}
	c.early, c.queued = nil, 0
	c.close(websocket.CloseTryAgainLater, "too slow: the client did not read what was sent to it", slowLimit)
}

// close sends our close frame, once, and bounds how long the answer may take.
func (c *connection) close(code int, reason string, limit time.Duration) {
	if c.sent || c.cut {
		return
	}
	c.sent, c.ours = true, !c.gone
	f := closeFrame(code, reason)
	if c.sock == nil {
		c.early = append(c.early, earlyFrame{f, true})
		return
	}
	c.sock.out.AddShared(f)
	c.mark()
	if !c.gone {
		c.limit(limit)
	}
}

// limit cuts the connection after d unless it is over before.
func (c *connection) limit(d time.Duration) {
	if c.timer == nil {
		c.timer = time.AfterFunc(d, func() { _ = c.sock.Close() }) // the reader sees it
	}
}

// end is the last of a connection: its hooks have run.
func (c *connection) end(code int, reason string, clean bool) {
	if c.cut {
		return
	}
	if clean && !c.sent && c.sock != nil {
		c.sent = true
		c.sock.out.AddShared(closeFrame(code, reason))
	}
	c.remove()
	h := c.room.header()
	h.Forced = h.Forced || c.lost
	c.room.em.events.Publish(&inspect.ConnectionClosed{
		Header: h, Connection: c.id, Code: code, Reason: reason, Clean: clean, Server: c.ours,
	})
}

// remove forgets the connection and closes its socket behind what waits.
func (c *connection) remove() {
	r := c.room
	c.cut = true
	if c.timer != nil {
		c.timer.Stop()
	}
	for i := range r.conns {
		if r.conns[i] == c {
			r.conns = append(r.conns[:i:i], r.conns[i+1:]...)
			break
		}
	}
	delete(r.byKey, c.key)
	r.touch(true)
	c.credit.stop()
	if c.sock != nil {
		hangUp(r.em, c.sock, c.faulty)
	}
}

// hangUp closes a socket once its outbox is empty, or after a moment. What a
// faulty client still sends is read a little longer and thrown away: closing on
// it would reset the connection, and the client might never read why.
func hangUp(e *Emulator, s *socket, faulty bool) {
	s.out.Flush()
	if s.out.Size() == 0 && !faulty {
		_ = s.Close()
		return
	}
	e.work.Go(func() {
		t := time.NewTimer(slowLimit)
		defer t.Stop()
		select {
		case <-s.out.Empty():
		case <-t.C:
		case <-e.ctx.Done():
		}
		if faulty {
			s.linger(e.ctx)
		}
		_ = s.Close()
	})
}

// cutAll cuts every connection without a close frame and reports how many.
func (r *room) cutAll() int {
	n := 0
	for _, c := range append([]*connection(nil), r.conns...) {
		c.remove()
		n++
		r.em.events.Publish(&inspect.ConnectionClosed{Header: r.header(), Connection: c.id, Code: websocket.CloseAbnormalClosure})
	}
	// Turns of connections that are no more will not run.
	kept := r.queue[:0]
	for _, ev := range r.queue {
		if ev.conn != nil {
			r.fail(ev, retryable("the connection was cut"))
		} else {
			kept = append(kept, ev)
		}
	}
	clear(r.queue[len(kept):])
	r.queue = kept
	return n
}

// attach gives an accepted connection its socket and starts its reader.
type attach struct {
	c  *connection
	ws *websocket.Conn
	s  *socket
}

func (m attach) apply(r *room) {
	c := m.c
	if c.cut {
		_ = m.s.Close()
		return
	}
	c.sock = m.s
	c.opened = r.em.clock.Now()
	if c.delay > 0 {
		c.sock.slow(r.em, c.delay)
	}
	r.touch(true)
	r.em.events.Publish(&inspect.ConnectionOpened{Header: r.header(), Connection: c.id, URI: c.uri, Tags: c.tags})
	for _, f := range c.early {
		c.sock.out.AddShared(f.data)
		if f.last {
			c.limit(closeLimit)
		}
	}
	c.early, c.queued = nil, 0
	c.sock.out.Flush()
	e := r.em
	e.work.Go(func() { c.read(m.ws) })
}

// read is the connection's reader. It posts what comes and drains the room
// only before it may have to wait, so that frames that came together go to the
// guest together.
func (c *connection) read(ws *websocket.Conn) {
	r := c.room
	ws.SetReadLimit(maxMessage)
	ws.SetCloseHandler(func(int, string) error { return nil }) // OnClose runs first
	ws.SetPingHandler(func(data string) error {
		r.box.put(do(func(*room) { c.pong(data) }))
		return nil
	})
	c.sock.pause = r.drain
	var scratch []byte
	for {
		opcode, rd, err := ws.NextReader()
		if err == nil {
			scratch, err = readInto(scratch[:0], rd)
		}
		if err != nil {
			r.post(lastOf(c, err))
			return
		}
		data := append([]byte(nil), scratch...)
		if cap(scratch) > 64<<10 {
			scratch = nil
		}
		if opcode == websocket.TextMessage {
			if a := r.auto.Load(); a != nil && string(data) == a.request {
				r.box.put(do(func(r *room) { c.autoRespond(a.response, data) }))
				continue
			}
			if !utf8.Valid(data) {
				data = validText(data)
			}
		}
		more := c.credit.take(len(data) + 64)
		r.box.put(&received{c, opcode == websocket.BinaryMessage, data})
		if !more { // behind put: one message may be larger than all the credit
			r.drain()
			c.credit.wait()
		}
	}
}

func readInto(b []byte, r io.Reader) ([]byte, error) {
	if cap(b) == 0 {
		b = make([]byte, 0, 512)
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// validText replaces each byte that is not UTF-8 by U+FFFD.
func validText(b []byte) []byte { return []byte(string([]rune(string(b)))) }

// received is one message of a client.
type received struct {
	c      *connection
	binary bool
	data   []byte
}

func (m *received) apply(r *room) {
	c := m.c
	size := len(m.data) + 64
	if c.cut || c.gone || c.sent {
		c.credit.give(size)
		return
	}
	c.countIn(len(m.data))
	if r.em.events.Wanted() {
		r.em.events.Publish(&inspect.MessageIn{Header: r.header(), Connection: c.id, Payload: r.em.events.Payload(m.binary, m.data)})
	} else {
		r.em.events.Missed()
	}
	r.enqueue(&event{
		kind: kindMessage, conn: c, size: size,
		payload: &wire.Deliver{Connection: c.key, Binary: m.binary, Data: m.data},
	})
}

func (c *connection) pong(data string) {
	if c.cut || c.sent {
		return
	}
	c.queue(c.sock.out.Add(func(b []byte) []byte { return appendFrame(b, websocket.PongMessage, []byte(data)) }), len(data))
}

func (c *connection) autoRespond(response string, data []byte) {
	if c.cut || c.sent || c.gone {
		return
	}
	c.countIn(len(data))
	ev := c.room.em.events
	if ev.Wanted() {
		h := c.room.header()
		ev.Publish(&inspect.MessageIn{Header: h, Connection: c.id, Payload: ev.Payload(false, data), Auto: true})
		ev.Publish(&inspect.MessageOut{Header: h, Connection: c.id, Count: 1, Payload: ev.Payload(false, []byte(response)), Auto: true})
	}
	c.send(websocket.TextMessage, []byte(response))
}

// The words of the platform for a connection that just went away.
const vanished = "WebSocket disconnected without sending Close frame."

// lastOf turns the error that ended a reader into the connection's last event.
func lastOf(c *connection, err error) do {
	return func(r *room) {
		if c.cut || c.gone {
			return
		}
		c.gone = true
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure:
			c.closing(closed.Code, vanished, false) // gorilla's word for an end of file
		case errors.As(err, &closed):
			c.closing(closed.Code, closed.Text, true)
		case errors.Is(err, websocket.ErrReadLimit):
			c.fault(websocket.CloseMessageTooBig, "statusCode = 1009: the message is too large: more than 33554432 bytes")
		case isProtocolError(err):
			c.fault(websocket.CloseProtocolError, "statusCode = 1002: "+err.Error())
		default:
			c.closing(websocket.CloseAbnormalClosure, vanished, false)
		}
	}
}

// isProtocolError tells a malformed frame from a socket that failed: gorilla
// makes the former plain errors with a prefix of its own.
func isProtocolError(err error) bool {
	s := err.Error()
	return len(s) > 11 && s[:11] == "websocket: "
}

// closing runs OnClose, then completes the handshake.
func (c *connection) closing(code int, reason string, clean bool) {
	end := func() { c.end(code, reason, clean) }
	c.room.enqueue(&event{
		kind: kindClose, conn: c,
		payload: &wire.Closed{Connection: c.key, Code: code, Reason: reason, Clean: clean},
		done:    func(*wire.Done) { end() },
		failed:  func(*wire.Failure) { end() },
	})
}

// fault runs OnError for a connection that broke the protocol. gorilla has sent
// the close frame.
func (c *connection) fault(code int, text string) {
	end := func() { c.sent, c.faulty = true, true; c.end(code, text, false) }
	c.room.enqueue(&event{
		kind: kindError, conn: c,
		payload: &wire.Faulted{Connection: c.key, Text: text},
		done:    func(*wire.Done) { end() },
		failed:  func(*wire.Failure) { end() },
	})
}
