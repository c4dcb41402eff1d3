// Package devclient is a WebSocket client for trying servers out: many at once,
// each with what came for it kept in order until it is read, able to wait for
// what should come, and able to go away without a word.
package devclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Options of a connection.
type Options struct {
	ID           string      // sent as _pk, as partysocket does; "": none
	Query        url.Values  // added to the URL's
	Header       http.Header // of the handshake
	Subprotocols []string
	Heard        func(Event) // called with each event as it comes, one at a time; nil: nobody
}

// Message is one message from the server or to it.
type Message struct {
	Binary bool
	Data   []byte
	At     time.Time // when it came
}

// String is the message as people write it: text as it is, bytes in hex.
func (m Message) String() string {
	if m.Binary {
		return fmt.Sprintf("%x", m.Data)
	}
	return string(m.Data)
}

// Text returns a text message.
func Text(s string) Message { return Message{Data: []byte(s)} }

// Binary returns a message of bytes.
func Binary(b []byte) Message { return Message{Binary: true, Data: b} }

// JSON returns a text message that holds v as JSON.
func JSON(v any) (Message, error) {
	b, err := json.Marshal(v)
	return Message{Data: b}, err
}

// Closed is how a connection ended.
type Closed struct {
	Code   int // 1005: a close frame without one; 1006: no close frame
	Reason string
}

func (c Closed) String() string {
	if c.Reason == "" {
		return fmt.Sprintf("closed %d", c.Code)
	}
	return fmt.Sprintf("closed %d %q", c.Code, c.Reason)
}

// Event is what comes from a server: a message, or the connection's end, which
// is the last.
type Event struct {
	Message
	Closed *Closed // nil: a message
}

// String shows the event to people.
func (e Event) String() string {
	if e.Closed != nil {
		return e.Closed.String()
	}
	return e.Message.String()
}

// Quoted shows the event so that a text cannot be taken for anything else.
func (e Event) Quoted() string {
	switch {
	case e.Closed != nil:
		return e.Closed.String()
	case e.Binary:
		return "bytes " + e.Message.String()
	}
	return fmt.Sprintf("%q", e.Data)
}

// RefusedError is a handshake that the server answered with something else than
// a connection.
type RefusedError struct {
	Status int
	Body   string // the start of it
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("the server answered %d %s instead of a connection", e.Status, http.StatusText(e.Status))
	if body := strings.TrimSpace(e.Body); body != "" {
		text += ": " + body
	}
	return text
}

// ErrClosed is the error for using a connection that has ended.
var ErrClosed = errors.New("the connection is closed")

// Client is one connection. Its methods may be used from any goroutine.
type Client struct {
	URL         string // that it connected to
	Subprotocol string // that the server chose
	ws          *websocket.Conn
	heard       func(Event)

	writing sync.Mutex // of frames

	mu     sync.Mutex
	events []Event       // unread
	more   chan struct{} // closed, and replaced, when events has grown
	pings  map[string]chan struct{}
	next   int
	ended  bool
	stop   bool          // our own close was sent, or the socket closed
	done   chan struct{} // closed when nothing more comes
}

// maxMessage is the largest message that is taken from a server.
const maxMessage = 64 << 20

// closeLimit is how long the server may take to answer a close.
const closeLimit = 30 * time.Second

// Dial connects to a ws, wss, http or https URL. Where the server refuses, the
// error is a *[RefusedError]. The client must be ended with Close or Drop.
func Dial(ctx context.Context, to string, o Options) (*Client, error) {
	u, err := address(to, o)
	if err != nil {
		return nil, err
	}
	d := websocket.Dialer{Subprotocols: o.Subprotocols, Proxy: http.ProxyFromEnvironment}
	ws, resp, err := d.DialContext(ctx, u, o.Header)
	if err != nil {
		if resp != nil {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
			return nil, &RefusedError{Status: resp.StatusCode, Body: string(body)}
		}
		return nil, fmt.Errorf("connecting to %s: %w", u, err)
	}
	c := &Client{
		URL: u, Subprotocol: ws.Subprotocol(), ws: ws,
		heard: o.Heard, more: make(chan struct{}), pings: map[string]chan struct{}{}, done: make(chan struct{}),
	}
	ws.SetReadLimit(maxMessage)
	ws.SetPongHandler(c.pong)
	ws.SetPingHandler(func(data string) error { return c.control(websocket.PongMessage, []byte(data)) })
	ws.SetCloseHandler(c.closing)
	go c.read()
	return c, nil
}

func address(to string, o Options) (string, error) {
	u, err := url.Parse(to)
	if err != nil {
		return "", fmt.Errorf("%q is no URL: %w", to, err)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return "", fmt.Errorf("%q is no WebSocket URL: it should begin with ws:// or wss://", to)
	}
	q := u.Query()
	for k, v := range o.Query {
		q[k] = append(q[k], v...)
	}
	if o.ID != "" {
		q.Set("_pk", o.ID)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Local is the address of this end of the connection, as the server sees it.
func (c *Client) Local() net.Addr { return c.ws.LocalAddr() }

// Send sends a message. It does not keep its data.
func (c *Client) Send(m Message) error {
	kind := websocket.TextMessage
	if m.Binary {
		kind = websocket.BinaryMessage
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.isOver() {
		return ErrClosed
	}
	return c.ws.WriteMessage(kind, m.Data)
}

// control sends a control frame; gorilla lets these pass between others.
func (c *Client) control(kind int, data []byte) error {
	return c.ws.WriteControl(kind, data, time.Now().Add(closeLimit))
}

// Ping sends a ping and waits for its answer. The server has then read all that
// was sent before, and all that it sent before its answer has come.
func (c *Client) Ping(ctx context.Context) error {
	c.mu.Lock()
	if c.ended || c.stop {
		c.mu.Unlock()
		return ErrClosed
	}
	c.next++
	data := fmt.Sprintf("devclient %d", c.next)
	answered := make(chan struct{})
	c.pings[data] = answered
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pings, data)
		c.mu.Unlock()
	}()
	if err := c.control(websocket.PingMessage, []byte(data)); err != nil {
		return err
	}
	select {
	case <-answered:
		return nil
	case <-c.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) pong(data string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answered := c.pings[data]; answered != nil {
		close(answered)
		delete(c.pings, data)
	}
	return nil
}

// closing answers the server's close frame with the same code and reason, as
// browsers do.
func (c *Client) closing(code int, text string) error {
	c.mu.Lock()
	first := !c.stop
	c.stop = true
	c.mu.Unlock()
	if first {
		var payload []byte
		if code != websocket.CloseNoStatusReceived {
			payload = websocket.FormatCloseMessage(code, text)
		}
		_ = c.control(websocket.CloseMessage, payload)
	}
	return nil
}

func (c *Client) read() {
	defer func() { _ = c.ws.Close() }()
	for {
		kind, data, err := c.ws.ReadMessage()
		if err != nil {
			c.end(err)
			return
		}
		c.add(Event{Message: Message{Binary: kind == websocket.BinaryMessage, Data: data, At: time.Now()}})
	}
}

// add keeps what came. After the connection's end nothing comes, and whoever has
// taken that off must not wait for more.
func (c *Client) add(e Event) {
	if c.heard != nil {
		c.heard(e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
	c.ended = e.Closed != nil
	close(c.more)
	c.more = make(chan struct{})
}

func (c *Client) end(err error) {
	over := &Closed{Code: websocket.CloseAbnormalClosure}
	var closed *websocket.CloseError
	if errors.As(err, &closed) && !errors.Is(err, io.ErrUnexpectedEOF) {
		over.Code = closed.Code
		if closed.Code != websocket.CloseAbnormalClosure { // gorilla's own words
			over.Reason = closed.Text
		}
	}
	c.add(Event{Closed: over, Message: Message{At: time.Now()}})
	close(c.done)
}

// Next returns what came next and takes it off, waiting for it if need be. After
// the connection's end it is ErrClosed.
func (c *Client) Next(ctx context.Context) (Event, error) {
	for {
		c.mu.Lock()
		if len(c.events) > 0 {
			e := c.events[0]
			c.events[0] = Event{}
			c.events = c.events[1:]
			c.mu.Unlock()
			return e, nil
		}
		more, ended := c.more, c.ended
		c.mu.Unlock()
		if ended {
			return Event{}, ErrClosed
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Unread returns what has come and was not taken off yet.
func (c *Client) Unread() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Event(nil), c.events...)
}

// isOver reports whether nothing can be sent any more.
func (c *Client) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop || c.ended
}

// Open reports whether messages can be sent.
func (c *Client) Open() bool { return !c.isOver() }

// Done is closed when nothing more will come.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close sends a close frame; code 0 or 1005 sends one without a code. The
// server's answer comes as the last event. Close does not wait for it.
func (c *Client) Close(code int, reason string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	if c.stop || c.ended {
		c.mu.Unlock()
		return ErrClosed
	}
	c.stop = true
	c.mu.Unlock()
	var payload []byte
	if code != 0 && code != websocket.CloseNoStatusReceived {
		payload = websocket.FormatCloseMessage(code, reason)
	}
	if err := c.control(websocket.CloseMessage, payload); err != nil {
		return err
	}
	t := time.AfterFunc(closeLimit, func() { _ = c.ws.Close() })
	go func() {
		<-c.done
		t.Stop()
	}()
	return nil
}

// Drop ends the connection without a close frame, as a network that fails does,
// and waits until nothing more comes.
func (c *Client) Drop() {
	c.mu.Lock()
	c.stop = true
	c.mu.Unlock()
	_ = c.ws.NetConn().Close()
	<-c.done
}
