package wire

import "errors"

// Messages of a guest to the emulator.

// Operation is a message of one instance, for its room alone. What is not one is
// of the program ([Hello]), of a call between rooms, or of a stream.
type Operation interface {
	Message
	Of() uint64 // number of the instance; 0: code of the program outside of rooms
}

// Hello is a guest's first message. Version comes first for ever.
type Hello struct {
	Version uint64
	Module  string // the SDK's version, for people
	Go      string // the toolchain that built the guest
	Classes []Class
	Handler bool // App.Handler is set: every request goes there first
}

// Done ends a turn. For [Invoke] it brings the result.
type Done struct {
	Instance, Turn uint64
	Err            *Failure
	Value          []byte // JSON
}

// Accept says that a connection has its tags: OnConnect runs next, and what is
// broadcast from here on reaches it too.
type Accept struct {
	Instance, Connection uint64
	Tags                 []string
}

// Exception reports an error or panic of a hook, for the log and the events;
// what follows from it comes with the turn's [Done].
type Exception struct {
	Instance uint64
	Hook     string
	Err      *Failure
}

// Send sends one message to one connection.
type Send struct {
	Instance, Connection uint64
	Binary               bool
	Data                 []byte
}

// Broadcast sends one message to every open connection but those ids.
type Broadcast struct {
	Instance uint64
	Binary   bool
	Data     []byte
	Without  []string
}

// Close closes a connection; code 0 sends a close frame without one.
type Close struct {
	Instance, Connection uint64
	Code                 int
	Reason               string
}

// SetState replaces a connection's state.
type SetState struct {
	Instance, Connection uint64
	State                []byte
}

// AutoRespond sets the room's automatic answer; an empty request ends it.
type AutoRespond struct {
	Instance          uint64
	Request, Response string
}

// Hold keeps a room awake from Begin to the same ID without it.
type Hold struct {
	Instance, ID uint64
	Begin        bool
	What         string // "WaitUntil" or "Stream", for people
}

// SetTimer starts an AfterFunc.
type SetTimer struct {
	Instance, ID uint64
	After        int64 // nanoseconds of the rooms' clock
}

// StopTimer ends an AfterFunc before it ran.
type StopTimer struct{ Instance, ID uint64 }

// Sleep asks for a [Result] after a span of the rooms' clock.
type Sleep struct {
	Instance, ID uint64
	Turn         uint64 // that sleeps; 0: none
	After        int64  // nanoseconds
}

// RequestTurn asks for a turn that runs the function kept under ID; a [Result]
// follows its commit.
type RequestTurn struct{ Instance, ID uint64 }

// Cancel withdraws a Sleep, RequestTurn, Call or Wakeup; no Result follows.
type Cancel struct{ Instance, ID uint64 }

// Left answers a [Leave]: these turns had not begun, and will not.
type Left struct {
	Instance uint64
	Turns    []uint64
}

// Abort resets the room.
type Abort struct {
	Instance uint64
	Reason   string
}

// Log is one line of a room's log. Instance 0: the program's own.
type Log struct {
	Instance uint64
	Level    int // as slog.Level
	Text     string
}

// Caller says who waits: a turn of an instance, its background work (Turn 0),
// or App.Handler (both 0).
type Caller struct{ Instance, Turn uint64 }

// Call calls a method of another room; a [Result] follows.
type Call struct {
	ID     uint64
	Caller Caller
	To     Address
	Method string
	Args   []byte // JSON array
}

// Wakeup starts a room where it is not running; a [Result] follows.
type Wakeup struct {
	ID     uint64
	Caller Caller
	To     Address
	Props  []byte // JSON; nil: unchanged
	Hint   string // where a new room should live; only a deployed server heeds it
}

// Fetch sends a request to a room. Stream is of the guest's own numbering
// (odd); the answer comes as [Response] on it.
type Fetch struct {
	Stream  uint64
	Caller  Caller
	To      Address
	Request Request
	Props   []byte // JSON; nil: unchanged
	Hint    string // where a new room should live; only a deployed server heeds it
}

// Upgrade lets the WebSocket of a request that App.Handler is serving go to a
// room; a [Result] follows once the connection is open or was refused.
type Upgrade struct {
	ID      uint64
	Stream  uint64 // of the [Serve]
	To      Address
	Request Request
	Props   []byte // JSON; nil: unchanged
	Hint    string // where a new room should live; only a deployed server heeds it
}

// Pong answers a [Ping].
type Pong struct{}

// Messages on a stream, either way.

// Response is a part of an answer. The first part has the status.
type Response struct {
	Instance uint64 // of the room that answers; 0: App.Handler
	Stream   uint64
	Status   int
	Header   map[string][]string
	Data     []byte
	Flush    bool // asked for: what the turn wrote so far commits for it
	End      bool
	Err      *Failure // the answer ends here, incomplete
}

// Chunk is a part of a request's body.
type Chunk struct {
	Stream uint64
	Data   []byte
	End    bool
	Err    string // the body ends here, incomplete
}

// Ack tells the sender of a stream's data that N bytes were consumed.
type Ack struct {
	Stream uint64
	N      int
	Body   bool // of the request's body; otherwise of the answer
}

// Reset ends a stream: nobody waits for it any more.
type Reset struct{ Stream uint64 }

func (*Hello) kind() Kind       { return 32 }
func (*Done) kind() Kind        { return 33 }
func (*Send) kind() Kind        { return 34 }
func (*Broadcast) kind() Kind   { return 35 }
func (*Close) kind() Kind       { return 36 }
func (*SetState) kind() Kind    { return 37 }
func (*AutoRespond) kind() Kind { return 38 }
func (*Hold) kind() Kind        { return 39 }
func (*SetTimer) kind() Kind    { return 40 }
func (*StopTimer) kind() Kind   { return 41 }
func (*Sleep) kind() Kind       { return 42 }
func (*RequestTurn) kind() Kind { return 43 }
func (*Cancel) kind() Kind      { return 44 }
func (*Abort) kind() Kind       { return 45 }
func (*Log) kind() Kind         { return 46 }
func (*Call) kind() Kind        { return 47 }
func (*Wakeup) kind() Kind      { return 48 }
func (*Fetch) kind() Kind       { return 49 }
func (*Upgrade) kind() Kind     { return 50 }
func (*Pong) kind() Kind        { return 51 }
func (*Response) kind() Kind    { return 52 }
func (*Chunk) kind() Kind       { return 53 }
func (*Ack) kind() Kind         { return 54 }
func (*Reset) kind() Kind       { return 55 }
func (*Accept) kind() Kind      { return 56 }
func (*Exception) kind() Kind   { return 57 }
func (*Left) kind() Kind        { return 58 }

func (m *Done) Of() uint64        { return m.Instance }
func (m *Accept) Of() uint64      { return m.Instance }
func (m *Exception) Of() uint64   { return m.Instance }
func (m *Send) Of() uint64        { return m.Instance }
func (m *Broadcast) Of() uint64   { return m.Instance }
func (m *Close) Of() uint64       { return m.Instance }
func (m *SetState) Of() uint64    { return m.Instance }
func (m *AutoRespond) Of() uint64 { return m.Instance }
func (m *Hold) Of() uint64        { return m.Instance }
func (m *SetTimer) Of() uint64    { return m.Instance }
func (m *StopTimer) Of() uint64   { return m.Instance }
func (m *Sleep) Of() uint64       { return m.Instance }
func (m *RequestTurn) Of() uint64 { return m.Instance }
func (m *Left) Of() uint64        { return m.Instance }
func (m *Abort) Of() uint64       { return m.Instance }
func (m *Log) Of() uint64         { return m.Instance }
func (m *Response) Of() uint64    { return m.Instance }

var errKind = errors.New("unknown event kind")

// kinds makes an empty message of each kind. It is filled by init because the
// messages' own methods refer to it.
var kinds [80]func() Message

func init() {
	for _, f := range []func() Message{
		func() Message { return new(Welcome) }, func() Message { return new(SetClock) },
		func() Message { return new(Start) }, func() Message { return new(Stop) },
		func() Message { return new(Turn) }, func() Message { return new(Connect) },
		func() Message { return new(Deliver) }, func() Message { return new(Closed) },
		func() Message { return new(Faulted) }, func() Message { return new(Serve) },
		func() Message { return new(Invoke) }, func() Message { return new(Wake) },
		func() Message { return new(RunDo) }, func() Message { return new(RunTimer) },
		func() Message { return new(Result) }, func() Message { return new(Ping) },
		func() Message { return new(Hello) }, func() Message { return new(Done) },
		func() Message { return new(Send) }, func() Message { return new(Broadcast) },
		func() Message { return new(Close) }, func() Message { return new(SetState) },
		func() Message { return new(AutoRespond) }, func() Message { return new(Hold) },
		func() Message { return new(SetTimer) }, func() Message { return new(StopTimer) },
		func() Message { return new(Sleep) }, func() Message { return new(RequestTurn) },
		func() Message { return new(Cancel) }, func() Message { return new(Abort) },
		func() Message { return new(Log) }, func() Message { return new(Call) },
		func() Message { return new(Wakeup) }, func() Message { return new(Fetch) },
		func() Message { return new(Upgrade) }, func() Message { return new(Pong) },
		func() Message { return new(Response) }, func() Message { return new(Chunk) },
		func() Message { return new(Ack) }, func() Message { return new(Reset) },
		func() Message { return new(Accept) }, func() Message { return new(Exception) },
		func() Message { return new(Get) }, func() Message { return new(Put) },
		func() Message { return new(Delete) }, func() Message { return new(List) },
		func() Message { return new(DeleteAll) }, func() Message { return new(Savepoint) },
		func() Message { return new(Query) }, func() Message { return new(NextRows) },
		func() Message { return new(CloseCursor) }, func() Message { return new(Interrupt) },
		func() Message { return new(Sync) }, func() Message { return new(SetAlarm) },
		func() Message { return new(StorageCall) }, func() Message { return new(Entries) },
		func() Message { return new(Rows) }, func() Message { return new(RunAlarm) },
		func() Message { return new(Leave) }, func() Message { return new(Left) },
	} {
		kinds[f().kind()] = f
	}
}

func (m *Hello) fields(c *coder) {
	c.uint(&m.Version)
	if c.reading && m.Version != Version {
		c.buf = nil // another version's layout: the number is all we can trust
		return
	}
	c.str(&m.Module)
	c.str(&m.Go)
	list(c, &m.Classes, func(v *Class) {
		c.str(&v.Binding)
		c.bool(&v.Hibernate)
		c.strs(&v.Subprotocols)
		h := uint64(v.Hooks)
		c.uint(&h)
		v.Hooks = Hooks(h)
		c.strs(&v.Methods)
	})
	c.bool(&m.Handler)
}

func (m *Done) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Turn)
	c.failure(&m.Err)
	c.bytes(&m.Value)
}

func (m *Accept) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Connection)
	c.strs(&m.Tags)
}

func (m *Left) fields(c *coder) {
	c.uint(&m.Instance)
	list(c, &m.Turns, c.uint)
}

func (m *Exception) fields(c *coder) {
	c.uint(&m.Instance)
	c.str(&m.Hook)
	c.failure(&m.Err)
	if m.Err == nil {
		m.Err = new(Failure) // readers rely on it
	}
}

func (m *Send) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Connection)
	c.bool(&m.Binary)
	c.bytes(&m.Data)
}

func (m *Broadcast) fields(c *coder) {
	c.uint(&m.Instance)
	c.bool(&m.Binary)
	c.bytes(&m.Data)
	c.strs(&m.Without)
}

func (m *Close) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Connection)
	c.int(&m.Code)
	c.str(&m.Reason)
}

func (m *SetState) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Connection)
	c.bytes(&m.State)
}

func (m *AutoRespond) fields(c *coder) {
	c.uint(&m.Instance)
	c.str(&m.Request)
	c.str(&m.Response)
}

func (m *Hold) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.bool(&m.Begin)
	c.str(&m.What)
}

func (m *SetTimer) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.int64(&m.After)
}

func (m *StopTimer) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
}

func (m *Sleep) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.uint(&m.Turn)
	c.int64(&m.After)
}

func (m *RequestTurn) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
}

func (m *Cancel) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
}

func (m *Abort) fields(c *coder) {
	c.uint(&m.Instance)
	c.str(&m.Reason)
}

func (m *Log) fields(c *coder) {
	c.uint(&m.Instance)
	c.int(&m.Level)
	c.str(&m.Text)
}

func (m *Caller) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Turn)
}

func (m *Call) fields(c *coder) {
	c.uint(&m.ID)
	m.Caller.fields(c)
	m.To.fields(c)
	c.str(&m.Method)
	c.bytes(&m.Args)
}

func (m *Wakeup) fields(c *coder) {
	c.uint(&m.ID)
	m.Caller.fields(c)
	m.To.fields(c)
	c.bytes(&m.Props)
	c.str(&m.Hint)
}

func (m *Fetch) fields(c *coder) {
	c.uint(&m.Stream)
	m.Caller.fields(c)
	m.To.fields(c)
	m.Request.fields(c)
	c.bytes(&m.Props)
	c.str(&m.Hint)
}

func (m *Upgrade) fields(c *coder) {
	c.uint(&m.ID)
	c.uint(&m.Stream)
	m.To.fields(c)
	m.Request.fields(c)
	c.bytes(&m.Props)
	c.str(&m.Hint)
}

func (m *Pong) fields(*coder) {}

func (m *Response) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Stream)
	c.int(&m.Status)
	c.header(&m.Header)
	c.bytes(&m.Data)
	c.bool(&m.Flush)
	c.bool(&m.End)
	c.failure(&m.Err)
}

func (m *Chunk) fields(c *coder) {
	c.uint(&m.Stream)
	c.bytes(&m.Data)
	c.bool(&m.End)
	c.str(&m.Err)
}

func (m *Ack) fields(c *coder) {
	c.uint(&m.Stream)
	c.int(&m.N)
	c.bool(&m.Body)
}

func (m *Reset) fields(c *coder) { c.uint(&m.Stream) }
