//go:build !partyplugin && !js

package party

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/goparty/party/emulator/inspect"
)

// client is one WebSocket.
type client struct {
	h        *harness
	t        *testing.T
	room, id string
	ws       *websocket.Conn
	sent     int // messages that make turns

	in    chan string
	pongs chan string
	done  chan struct{} // closed when the reader has ended
	quit  chan struct{} // closed by cleanup
	err   error         // why, once done
}

// dialing is how a client connects.
type dialing struct {
	id     string
	query  url.Values
	header http.Header
	quiet  bool // leaves close frames unanswered
	deaf   bool // reads nothing
}

func id(id string) func(*dialing) { return func(d *dialing) { d.id = id } }

func query(key, value string) func(*dialing) {
	return func(d *dialing) { d.query.Add(key, value) }
}

func header(key, value string) func(*dialing) {
	return func(d *dialing) { d.header.Add(key, value) }
}

func quiet(d *dialing) { d.quiet = true }

func deaf(d *dialing) { d.deaf = true }

// connect opens a WebSocket to a room, as in lab/a.
func (h *harness) connect(room string, how ...func(*dialing)) (*client, *http.Response, error) {
	d := dialing{query: url.Values{}, header: http.Header{}}
	h.mu.Lock()
	h.ids++
	d.id = fmt.Sprintf("c%d", h.ids)
	h.mu.Unlock()
	for _, f := range how {
		f(&d)
	}
	if d.id != "" {
		d.query.Set("_pk", d.id)
	}
	return h.connectTo("/parties/"+room, room, d)
}

func (h *harness) connectTo(path, room string, d dialing) (*client, *http.Response, error) {
	dialer := websocket.Dialer{HandshakeTimeout: 2 * patience, ReadBufferSize: 4096}
	if p := d.header.Values("Sec-Websocket-Protocol"); p != nil {
		dialer.Subprotocols = p
		d.header.Del("Sec-Websocket-Protocol")
	}
	ws, resp, err := dialer.DialContext(h.t.Context(), "ws://"+h.addr+path+"?"+d.query.Encode(), d.header)
	if err != nil {
		return nil, resp, err
	}
	c := &client{
		h: h, t: h.t, room: room, id: d.id, ws: ws,
		in: make(chan string, 1<<14), pongs: make(chan string, 16), done: make(chan struct{}), quit: make(chan struct{}),
	}
	ws.SetPongHandler(func(s string) error { c.pongs <- s; return nil })
	ws.SetCloseHandler(func(code int, reason string) error {
		if !d.quiet { // as browsers do, and unlike gorilla, with the reason
			_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience))
		}
		return nil
	})
	if d.deaf {
		close(c.done)
	} else {
		go c.read()
	}
	h.t.Cleanup(func() { close(c.quit); _ = ws.Close(); <-c.done })
	return c, resp, nil
}

// dial opens a WebSocket and waits until the room has it.
func (h *harness) dial(room string, how ...func(*dialing)) *client {
	h.t.Helper()
	c, resp, err := h.connect(room, how...)
	if err != nil {
		text := ""
		if resp != nil {
			b, _ := io.ReadAll(resp.Body)
			text = fmt.Sprintf(" (%s: %s)", resp.Status, b)
		}
		h.t.Fatalf("dial %s: %v%s", room, err, text)
	}
	h.dials[room+" "+c.id]++
	awaitN(h, h.dials[room+" "+c.id], func(e *inspect.ConnectionOpened) bool {
		return strings.HasSuffix(e.Room, room) && (c.id == "" || e.Connection == c.id)
	})
	return c
}

// listen makes a deaf client read.
func (c *client) listen() {
	c.done = make(chan struct{})
	go c.read()
}

func (c *client) read() {
	defer close(c.done)
	for {
		opcode, b, err := c.ws.ReadMessage()
		if err != nil {
			c.err = err
			return
		}
		s := string(b)
		if opcode == websocket.BinaryMessage {
			s = "binary:" + s
		}
		select {
		case c.in <- s:
		case <-c.quit:
			c.err = io.ErrClosedPipe
			return
		}
	}
}

// send sends one text message.
func (c *client) send(text string) {
	c.t.Helper()
	c.sent++
	c.write(websocket.TextMessage, []byte(text))
}

func (c *client) write(opcode int, b []byte) {
	c.t.Helper()
	_ = c.ws.SetWriteDeadline(time.Now().Add(2 * patience))
	if err := c.ws.WriteMessage(opcode, b); err != nil {
		c.t.Fatalf("client %s of %s: %v", c.id, c.room, err)
	}
}

// next returns the next message, or why there is none.
func (c *client) next() (string, error) {
	select {
	case s := <-c.in:
		return s, nil
	default:
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case s := <-c.in:
		return s, nil
	case <-c.done:
		select {
		case s := <-c.in:
			return s, nil
		default:
			return "", c.err
		}
	case <-t.C:
		return "", errors.New("no message came")
	}
}

func (c *client) recv() string {
	c.t.Helper()
	s, err := c.next()
	if err != nil {
		c.t.Fatalf("client %s of %s: %v", c.id, c.room, err)
	}
	return s
}

// want asserts the next messages.
func (c *client) want(texts ...string) {
	c.t.Helper()
	for _, want := range texts {
		if got := c.recv(); got != want {
			c.t.Fatalf("client %s of %s got %.200q, want %.200q", c.id, c.room, got, want)
		}
	}
}

// ask sends a message, waits until its turn has ended, and returns the first
// message that came.
func (c *client) ask(text string) string {
	c.t.Helper()
	c.send(text)
	s := c.recv()
	c.settle()
	return s
}

// do sends a message and waits until its turn has ended.
func (c *client) do(text string) {
	c.t.Helper()
	c.send(text)
	c.settle()
}

// settle waits until the turns of all that was sent have ended.
func (c *client) settle() {
	c.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		c.h.log.mu.Lock()
		grown := c.h.log.grown
		c.h.log.mu.Unlock()
		ended := len(events(c.h, func(e *inspect.Turn) bool { return e.Connection == c.id && e.Kind == "message" })) +
			len(events(c.h, func(e *inspect.TurnLost) bool { return e.Connection == c.id && e.Kind == "message" }))
		if ended >= c.sent {
			return
		}
		select {
		case <-grown:
		case <-limit.C:
			c.t.Fatalf("client %s of %s: %d of %d messages had their turn", c.id, c.room, ended, c.sent)
		}
	}
}

// barrier returns when the room has seen everything that was sent, without
// waking it, and its earlier output is here.
func (c *client) barrier() {
	c.t.Helper()
	for range 2 { // the second is answered after all that the first set off
		if err := c.ws.WriteControl(websocket.PingMessage, []byte("barrier"), time.Now().Add(patience)); err != nil {
			c.t.Fatal(err)
		}
		t := time.NewTimer(patience)
		select {
		case <-c.pongs:
		case <-c.done:
			c.t.Fatalf("client %s of %s: %v", c.id, c.room, c.err)
		case <-t.C:
			c.t.Fatalf("client %s of %s: no pong", c.id, c.room)
		}
		t.Stop()
	}
}

// none asserts that nothing is on its way to the client.
func (c *client) none() {
	c.t.Helper()
	c.barrier()
	select {
	case s := <-c.in:
		c.t.Fatalf("client %s of %s got %.200q, want nothing", c.id, c.room, s)
	default:
	}
}

// close sends a close frame; code 0 sends none in it.
func (c *client) close(code int, reason string) {
	c.t.Helper()
	var b []byte
	if code != 0 {
		b = websocket.FormatCloseMessage(code, reason)
	}
	if err := c.ws.WriteControl(websocket.CloseMessage, b, time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

// drop ends the connection without a close frame.
func (c *client) drop() {
	_ = c.ws.NetConn().Close()
}

// closed asserts how the connection ends, with nothing left to read.
func (c *client) closed(code int, reason string) {
	c.t.Helper()
	t := time.NewTimer(2 * patience)
	defer t.Stop()
	select {
	case <-c.done:
	case <-t.C:
		c.t.Fatalf("client %s of %s is still open", c.id, c.room)
	}
	select {
	case s := <-c.in:
		c.t.Errorf("client %s of %s got %.200q before the end", c.id, c.room, s)
	default:
	}
	gotCode, gotReason := websocket.CloseAbnormalClosure, ""
	var e *websocket.CloseError
	if errors.As(c.err, &e) && e.Code != websocket.CloseAbnormalClosure {
		gotCode, gotReason = e.Code, e.Text
	}
	if gotCode != code || gotReason != reason {
		c.t.Errorf("client %s of %s saw close %d %q (%v), want %d %q", c.id, c.room, gotCode, gotReason, c.err, code, reason)
	}
}
