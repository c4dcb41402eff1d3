// Package wire is the protocol between the emulator and a guest, the program
// that holds the rooms' Go values: events go in, operations come out.
//
// Messages of one room arrive in the order they were sent; between rooms there
// is no order. Sending never blocks. The same messages travel as frames over a
// socket ([Conn]) or as pointers within one process ([Pipe]); either way a
// message's byte slices may be used again by the sender once Send returns,
// unless the message says that it hands them over.
package wire

import "net/http"

// Version of the protocol. It is the first field of [Hello], whose layout never
// changes, so that two versions can tell each other what they are.
const Version = 1

// MaxFrame bounds one frame: the largest WebSocket message and its envelope.
const MaxFrame = 40 << 20

// MaxPayload bounds what a call carries each way (the platform's RPC limit).
const MaxPayload = 32 << 20

// Kind numbers a message type on the socket.
type Kind byte

// Message is one event or operation. The set is closed.
type Message interface {
	kind() Kind
	fields(*coder)
}

// Failure is an error on its way between processes.
type Failure struct {
	Code  Code
	Text  string
	Stack string
}

// Code says what a caller can do about a failure.
type Code byte

const (
	// CodeUser is an error or panic of the user's own code.
	CodeUser Code = iota
	// CodeRetryable: the connection to the room was lost; trying again may work.
	CodeRetryable
	// CodeCycle: waiting would never have ended.
	CodeCycle
	// CodeClosed: the caller's instance or its peer is gone.
	CodeClosed
	// CodeTooLarge: a limit on sizes.
	CodeTooLarge
	// CodeTimeout: the call's time was up.
	CodeTimeout
	// CodeInvalid: the request itself is wrong (no such class, bad name).
	CodeInvalid
)

func (f *Failure) Error() string { return f.Text }

// Public is what a client may read of the failure: the error itself, and in
// development a panic with its stack.
func (f *Failure) Public(debug bool) string {
	switch {
	case f.Stack == "":
		return f.Text
	case !debug:
		return "Internal Server Error" // a panic's text was not meant for anybody
	}
	return f.Text + "\n\n" + f.Stack
}

// Status is the HTTP status that a client gets for the failure.
func (f *Failure) Status() int {
	switch f.Code {
	case CodeRetryable:
		return http.StatusServiceUnavailable
	case CodeTimeout:
		return http.StatusGatewayTimeout
	case CodeInvalid:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

func (c *coder) failure(v **Failure) {
	has := *v != nil
	c.bool(&has)
	if !has {
		return
	}
	if c.reading {
		*v = new(Failure)
	}
	code := uint64((*v).Code)
	c.uint(&code)
	(*v).Code = Code(code)
	c.str(&(*v).Text)
	c.str(&(*v).Stack)
}

// Hooks is the set of hooks that a class declares.
type Hooks uint64

// The hooks, as bits of [Hooks].
const (
	HookStart Hooks = 1 << iota
	HookTags
	HookConnect
	HookMessage
	HookClose
	HookError
	HookRequest
	HookAlarm
	HookException
)

// Class is what the emulator knows of a class.
type Class struct {
	Binding      string
	Hibernate    bool
	Subprotocols []string
	Hooks        Hooks
	Methods      []string // that other rooms may call; not told where the program is WebAssembly
}

// Address names a room.
type Address struct {
	Binding, Name, Jurisdiction string
}

func (a *Address) fields(c *coder) {
	c.str(&a.Binding)
	c.str(&a.Name)
	c.str(&a.Jurisdiction)
}

// Connection is what the emulator keeps of one WebSocket.
type Connection struct {
	Key     uint64 // unique; two sockets may share an ID
	ID, URI string
	Tags    []string
	State   []byte // JSON; nil: none set
	Closing bool   // a close frame went one way or the other
}

func (v *Connection) fields(c *coder) {
	c.uint(&v.Key)
	c.str(&v.ID)
	c.str(&v.URI)
	c.strs(&v.Tags)
	c.bytes(&v.State)
	c.bool(&v.Closing)
}

// Request is an HTTP request. Its first bytes of body travel with it; where
// More is set the rest follows as [Chunk] on the same stream.
type Request struct {
	Method, URL, Host, Proto, RemoteAddr string
	Header                               map[string][]string
	Length                               int64 // as http.Request.ContentLength
	Body                                 []byte
	More                                 bool
}

func (v *Request) fields(c *coder) {
	c.str(&v.Method)
	c.str(&v.URL)
	c.str(&v.Host)
	c.str(&v.Proto)
	c.str(&v.RemoteAddr)
	c.header(&v.Header)
	c.int64(&v.Length)
	c.bytes(&v.Body)
	c.bool(&v.More)
}

// Time is the rooms' clock: wall time moved by Offset, or standing still at
// Fixed (Unix nanoseconds) where that is not zero.
type Time struct {
	Offset, Fixed int64
}

func (v *Time) fields(c *coder) {
	c.int64(&v.Offset)
	c.int64(&v.Fixed)
}
