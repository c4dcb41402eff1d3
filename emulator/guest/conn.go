package guest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/goparty/party/emulator/wire"
)

// ReadyState is where a connection stands in its life.
type ReadyState int

// The states, numbered as in the browser's API.
const (
	Connecting ReadyState = iota
	Open
	Closing
	Closed
)

// Conn is one WebSocket as an instance sees it.
type Conn struct {
	ID, URI string
	Tags    []string // the id first; fixed once OnConnect runs

	in   *Instance
	key  uint64
	once sync.Once
	view any

	// Guarded by the instance's mu.
	ready  ReadyState
	closed bool // by our own Close
	state  []byte
}

func newConn(in *Instance, c wire.Connection) *Conn {
	conn := &Conn{in: in, key: c.Key, ID: c.ID, URI: c.URI, Tags: c.Tags, state: c.State, ready: Open}
	if c.Closing {
		conn.ready, conn.closed = Closing, true
	}
	return conn
}

// Instance is the instance that the connection belongs to.
func (c *Conn) Instance() *Instance { return c.in }

// View returns the SDK's view of the connection, which make_ makes once.
func (c *Conn) View(make_ func() any) any {
	c.once.Do(func() { c.view = make_() })
	return c.view
}

func (c *Conn) tagged(tags []string) bool {
	for _, t := range tags {
		if !slices.Contains(c.Tags, t) {
			return false
		}
	}
	return true
}

// ReadyState returns where the connection stands.
func (c *Conn) ReadyState() ReadyState {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.ready
}

// Send sends one message. After the room's own Close it fails; after the peer
// went away it does nothing, since that is nobody's mistake (as on the
// platform). It does not keep data.
func (c *Conn) Send(binary bool, data []byte) error {
	if len(data) > wire.MaxPayload {
		return tooLarge("a message", len(data))
	}
	c.in.mu.Lock()
	own, ready := c.closed, c.ready
	c.in.mu.Unlock()
	switch {
	case c.in.fenced.Load():
		return errGone
	case own:
		return fmt.Errorf("%w: can't send to connection %q after Close", ErrClosed, c.ID)
	case ready == Connecting:
		return fmt.Errorf("%w: connection %q is not accepted yet; send from OnConnect on", ErrClosed, c.ID)
	case ready != Open:
		return nil
	}
	return c.in.send(&wire.Send{Instance: c.in.Number, Connection: c.key, Binary: binary, Data: data})
}

// CheckClose says what is wrong with a close code and reason; the rules and the
// words are the platform's.
func CheckClose(code int, reason string) error {
	switch {
	case code == 0 && reason != "":
		return fmt.Errorf("a close reason needs a close code: use 1000 or 3000 to 4999")
	case code == 0:
		return nil
	case code < 1000 || code > 4999 || code == 1004 || code == 1005 || code == 1006 || code == 1015:
		return fmt.Errorf("invalid WebSocket close code: %d; use 1000 or 3000 to 4999", code)
	case len(reason) > 123:
		return fmt.Errorf("%w: a close reason of %d bytes; at most 123 are allowed", ErrTooLarge, len(reason))
	case !utf8.ValidString(reason):
		return fmt.Errorf("a close reason must be valid UTF-8")
	}
	return nil
}

// Close starts the close handshake. Closing twice, or after the peer went away,
// does nothing.
func (c *Conn) Close(code int, reason string) error {
	if err := CheckClose(code, reason); err != nil {
		return err
	}
	c.in.mu.Lock()
	again := c.closed || c.ready == Closed
	if !again {
		c.closed = true
		switch c.ready {
		case Open:
			c.ready = Closing
		case Closing: // the peer closed first; this completes the handshake
			c.ready = Closed
		}
	}
	c.in.mu.Unlock()
	if c.in.fenced.Load() {
		return errGone
	}
	if again {
		return nil
	}
	return c.in.send(&wire.Close{Instance: c.in.Number, Connection: c.key, Code: code, Reason: reason})
}

// State returns the connection's state as JSON; nil: none was set.
func (c *Conn) State() []byte {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.state
}

// maxAttachment bounds a connection's state with its id, tags and uri, in bytes
// of JSON (the platform's limit for what survives hibernation).
const maxAttachment = 16384

func checkAttachment(id, uri string, tags []string, state []byte) error {
	head, err := json.Marshal([]any{id, uri, tags})
	if err != nil {
		return err
	}
	if n := len(head) + len(state); n > maxAttachment {
		return fmt.Errorf("%w: a connection's state with its id, tags and uri cannot be larger than %d bytes, and this is %d; keep large things in the room", ErrTooLarge, maxAttachment, n)
	}
	return nil
}

// SetState replaces the connection's state.
func (c *Conn) SetState(state []byte) error {
	if err := checkAttachment(c.ID, c.URI, c.Tags, state); err != nil {
		return err
	}
	c.in.mu.Lock()
	c.state = state
	c.in.mu.Unlock()
	return c.in.send(&wire.SetState{Instance: c.in.Number, Connection: c.key, State: state})
}

// The platform's limits on tags.
const (
	maxTags   = 10
	maxTagLen = 256
)

// setTags checks what ConnectionTags returned and puts the id first.
func (c *Conn) setTags(tags []string) error {
	all := make([]string, 1, 1+len(tags))
	all[0] = c.ID
	for _, t := range tags {
		switch {
		case t == "":
			return fmt.Errorf("A connection tag must not be an empty string.") //lint:ignore ST1005 the platform's words
		case len(t) > maxTagLen:
			return fmt.Errorf("A connection tag must not exceed %d characters; %.20q... has %d bytes.", maxTagLen, t, len(t)) //lint:ignore ST1005 the platform's words
		}
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	if len(all) > maxTags {
		return fmt.Errorf("A connection can only have %d tags, including the default id tag.", maxTags) //lint:ignore ST1005 the platform's words
	}
	if len(c.ID) > maxTagLen {
		return fmt.Errorf("A connection's id is its first tag and must not exceed %d characters.", maxTagLen) //lint:ignore ST1005 the platform's words
	}
	c.Tags = all
	return checkAttachment(c.ID, c.URI, all, c.State())
}
