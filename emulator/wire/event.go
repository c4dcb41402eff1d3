package wire

// Messages of the emulator to a guest.

// Welcome answers a [Hello] that the emulator accepts.
type Welcome struct {
	Generation uint64
	// Debug sends stacks to clients, as `party dev` does.
	Debug bool
	Env   map[string]string
	Clock Time
}

// SetClock moves the rooms' clock.
type SetClock struct{ Clock Time }

// Start creates an instance where there is none of that number, and runs its
// OnStart as a turn, which a [Done] answers.
type Start struct {
	Instance    uint64
	Address     Address
	ID          string // 64 hex digits
	Props       []byte // JSON; nil: none
	Connections []Connection
	More        bool // another Start brings the rest of them, and then runs
	Turn        uint64
}

// Stop drops an instance from memory: its context ends, and nothing that it
// still does has any effect.
type Stop struct {
	Instance uint64
	Reason   string
}

// Turn is the envelope of every event that runs as a turn; [Done] answers it.
type Turn struct {
	Instance, Turn uint64
	// Clock is where the rooms' clock stands in this turn.
	Clock Time
	Event Event
}

// Event is what a turn is about. The set is closed.
type Event interface{ Message }

// Connect runs ConnectionTags, then OnConnect.
type Connect struct {
	Connection Connection
	Request    Request
	Props      []byte // JSON; nil: unchanged
}

// Deliver runs OnMessage. It hands Data over.
type Deliver struct {
	Connection uint64
	Binary     bool
	Data       []byte
}

// Closed runs OnClose; the connection is gone afterwards.
type Closed struct {
	Connection uint64
	Code       int
	Reason     string
	Clean      bool
}

// Faulted runs OnError; the connection is gone afterwards.
type Faulted struct {
	Connection uint64
	Text       string
}

// Serve runs OnRequest, or App.Handler where it stands outside a turn (then
// Stream identifies it and there is no [Done]).
type Serve struct {
	Stream  uint64
	Request Request
	Props   []byte // JSON; nil: unchanged
}

// Invoke runs a method for another room's Call. Args is a JSON array.
type Invoke struct {
	Method string
	Args   []byte
}

// Wake runs nothing: the instance has started by the time its turn comes.
type Wake struct {
	Props []byte // JSON; nil: unchanged
}

// RunDo runs the function that the guest keeps under ID.
type RunDo struct{ ID uint64 }

// RunTimer runs the function of an AfterFunc.
type RunTimer struct{ ID uint64 }

// Result answers the guest's Sleep, RequestTurn, Call, Wakeup and Upgrade.
type Result struct {
	ID    uint64
	Value []byte
	Err   *Failure
}

// Ping asks a guest whether it still reads.
type Ping struct{}

// Leave prepares an instance for its end, because other code takes over: turns
// that have not begun come back with [Left], and background work and streams
// hear of it by their contexts. The running turn goes on, and so do turns that
// Do asks for. Where Instance is 0, it is the request of App.Handler on Stream
// whose context ends.
type Leave struct{ Instance, Stream uint64 }

func (*Welcome) kind() Kind  { return 1 }
func (*SetClock) kind() Kind { return 2 }
func (*Start) kind() Kind    { return 3 }
func (*Stop) kind() Kind     { return 4 }
func (*Turn) kind() Kind     { return 5 }
func (*Connect) kind() Kind  { return 6 }
func (*Deliver) kind() Kind  { return 7 }
func (*Closed) kind() Kind   { return 8 }
func (*Faulted) kind() Kind  { return 9 }
func (*Serve) kind() Kind    { return 10 }
func (*Invoke) kind() Kind   { return 11 }
func (*Wake) kind() Kind     { return 12 }
func (*RunDo) kind() Kind    { return 13 }
func (*RunTimer) kind() Kind { return 14 }
func (*Result) kind() Kind   { return 15 }
func (*Ping) kind() Kind     { return 16 }
func (*Leave) kind() Kind    { return 17 }

func (m *Welcome) fields(c *coder) {
	c.uint(&m.Generation)
	c.bool(&m.Debug)
	n := uint64(len(m.Env))
	c.uint(&n)
	if !c.reading {
		for k, v := range m.Env {
			c.str(&k)
			c.str(&v)
		}
	} else {
		m.Env = map[string]string{}
		for i := uint64(0); i < n && c.err == nil; i++ {
			var k, v string
			c.str(&k)
			c.str(&v)
			m.Env[k] = v
		}
	}
	m.Clock.fields(c)
}

func (m *SetClock) fields(c *coder) { m.Clock.fields(c) }

func (m *Start) fields(c *coder) {
	c.uint(&m.Instance)
	m.Address.fields(c)
	c.str(&m.ID)
	c.bytes(&m.Props)
	list(c, &m.Connections, func(v *Connection) { v.fields(c) })
	c.bool(&m.More)
	c.uint(&m.Turn)
}

func (m *Stop) fields(c *coder) {
	c.uint(&m.Instance)
	c.str(&m.Reason)
}

func (m *Turn) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Turn)
	m.Clock.fields(c)
	c.event(&m.Event)
}

// event codes the event inside a turn: its kind, then its fields.
func (c *coder) event(e *Event) {
	if !c.reading {
		k := uint64((*e).kind())
		c.uint(&k)
		(*e).fields(c)
		return
	}
	var k uint64
	c.uint(&k)
	if (k < 6 || k > 14) && k != uint64((*RunAlarm)(nil).kind()) {
		c.fail(errKind)
		return
	}
	*e = kinds[k]()
	(*e).fields(c)
}

func (m *Connect) fields(c *coder) {
	m.Connection.fields(c)
	m.Request.fields(c)
	c.bytes(&m.Props)
}

func (m *Deliver) fields(c *coder) {
	c.uint(&m.Connection)
	c.bool(&m.Binary)
	c.bytes(&m.Data)
}

func (m *Closed) fields(c *coder) {
	c.uint(&m.Connection)
	c.int(&m.Code)
	c.str(&m.Reason)
	c.bool(&m.Clean)
}

func (m *Faulted) fields(c *coder) {
	c.uint(&m.Connection)
	c.str(&m.Text)
}

func (m *Serve) fields(c *coder) {
	c.uint(&m.Stream)
	m.Request.fields(c)
	c.bytes(&m.Props)
}

func (m *Invoke) fields(c *coder) {
	c.str(&m.Method)
	c.bytes(&m.Args)
}

func (m *Wake) fields(c *coder)     { c.bytes(&m.Props) }
func (m *RunDo) fields(c *coder)    { c.uint(&m.ID) }
func (m *RunTimer) fields(c *coder) { c.uint(&m.ID) }

func (m *Result) fields(c *coder) {
	c.uint(&m.ID)
	c.bytes(&m.Value)
	c.failure(&m.Err)
}

func (m *Ping) fields(*coder) {}

func (m *Leave) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Stream)
}
