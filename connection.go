package party

import (
	"encoding/json"
	"fmt"

	"github.com/goparty/party/emulator/guest"
)

// ReadyState is where a connection stands in its life.
type ReadyState = guest.ReadyState

// The states, numbered as in the browser's API.
const (
	Connecting ReadyState = guest.Connecting // before OnConnect
	Open       ReadyState = guest.Open
	Closing    ReadyState = guest.Closing // a close frame went one way
	Closed     ReadyState = guest.Closed
)

// Connection is one WebSocket of a room. It is the same pointer for the same
// socket while the instance lives; after the room has slept, hooks get a new
// one with the same ID, URI, Tags and state.
//
// Send, Close and ReadyState may be called from any goroutine; State and
// SetState only during a turn.
type Connection struct {
	// ID is the client's _pk, or a fresh one. A client that reconnects may
	// bring the id of a socket that is still open; then both are listed.
	ID string
	// URI of the request that opened the connection, with its query.
	URI string
	// Server is the room's name.
	Server string
	// Tags, the id first. Do not change them.
	Tags []string

	conn *guest.Conn
}

// connection is the SDK's view of a guest's connection, made once.
func connection(c *guest.Conn) *Connection {
	return c.View(func() any {
		return &Connection{ID: c.ID, URI: c.URI, Server: c.Instance().Address.Name, Tags: c.Tags, conn: c}
	}).(*Connection)
}

// Send sends one message and does not keep its Data. Messages to one connection
// arrive in the order sent. It never waits for the client: one that does not
// read is closed with 1013 once too much waits for it.
//
// After Close it fails with [ErrClosed]; after the client has gone it does
// nothing. Messages over 32 MiB fail with [ErrTooLarge].
func (c *Connection) Send(m Message) error { return c.conn.Send(!m.IsText(), m.Data) }

// Close starts the close handshake; OnClose runs when the client has answered.
// Code is 1000 or 3000 to 4999 for most uses; 0 sends none, which clients see
// as 1005. The reason is UTF-8 of at most 123 bytes, and empty where the code is
// 0. A code or reason that the protocol does not allow is an error, and the
// connection stays open. Closing twice does nothing.
func (c *Connection) Close(code int, reason string) error { return c.conn.Close(code, reason) }

// State decodes the connection's state into v, a pointer, and leaves v alone
// where none was set.
func (c *Connection) State(v any) error {
	b := c.conn.State()
	if b == nil {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("state of connection %q: %w", c.ID, err)
	}
	return nil
}

// SetState replaces the connection's state with v's JSON, when the turn
// commits. It lasts as long as the connection, also while the room sleeps and
// over reloads. With id, tags and uri it has at most 16,384 bytes, or SetState
// fails with [ErrTooLarge] and changes nothing.
func (c *Connection) SetState(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("state of connection %q: %w", c.ID, err)
	}
	return c.conn.SetState(b)
}

// ReadyState returns where the connection stands. Within OnClose it is Closing
// where the client closed first, and Closed where the room did.
func (c *Connection) ReadyState() ReadyState { return c.conn.ReadyState() }
