package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Messages about a room's storage. Those with an ID are answered by a [Result],
// an [Entries] or a [Rows]; the others are not answered, and what goes wrong
// with them makes the turn's commit fail. All belong to the running turn.

// Entry is one key of the KV store with its value: JSON, or bytes.
type Entry struct {
	Key   string
	Value []byte
	Blob  bool
}

func (v *Entry) fields(c *coder) {
	c.str(&v.Key)
	c.bytes(&v.Value)
	c.bool(&v.Blob)
}

// Get asks for the Entries of keys.
type Get struct {
	Instance, ID uint64
	Keys         []string
}

// Put stores entries, all or none.
type Put struct {
	Instance uint64
	Entries  []Entry
}

// Delete deletes keys; the Result's value is how many there were, in decimal.
type Delete struct {
	Instance, ID uint64
	Keys         []string
}

// List asks for a share of the Entries in a range. Bounds that are nil do not
// bound.
type List struct {
	Instance, ID           uint64
	Start, StartAfter, End *string
	Prefix                 string
	Reverse                bool
	Limit                  int // 0: none
}

// DeleteAll deletes everything that the room stored.
type DeleteAll struct{ Instance, ID uint64 }

// Savepoint opens a savepoint, or releases or undoes it and what lies above.
type Savepoint struct {
	Instance, ID uint64
	Number       int
	Action       SavepointAction
}

// SavepointAction is what a [Savepoint] does.
type SavepointAction uint64

// The actions.
const (
	SavepointOpen SavepointAction = iota
	SavepointRelease
	SavepointUndo
)

// Query runs SQL and asks for its first Rows. Cursor is the guest's number for
// the rest of them.
type Query struct {
	Instance, ID, Cursor uint64
	Text                 string
	Args                 []Arg
}

// Arg is one parameter: by position, or by name where that is set.
type Arg struct {
	Name  string
	Value any // nil, int64, float64, string, []byte
}

// NextRows asks for more Rows of a cursor.
type NextRows struct{ Instance, ID, Cursor uint64 }

// CloseCursor ends a cursor.
type CloseCursor struct{ Instance, Cursor uint64 }

// Interrupt ends the statement that a cursor belongs to, also where that has not
// begun.
type Interrupt struct{ Instance, Cursor uint64 }

// Sync commits what the turn wrote so far.
type Sync struct{ Instance, ID uint64 }

// SetAlarm sets the room's alarm, or with Time 0 deletes it.
type SetAlarm struct {
	Instance uint64
	Time     int64 // Unix nanoseconds
}

// StorageCall asks for one of the small things; the Result's value is text.
type StorageCall struct {
	Instance, ID uint64
	What         StorageQuestion
	Text         string // a bookmark
	Time         int64  // Unix nanoseconds
}

// StorageQuestion is what a [StorageCall] asks.
type StorageQuestion uint64

// The questions.
const (
	AskAlarm    StorageQuestion = iota // Unix nanoseconds in decimal; empty: none
	AskSize                            // bytes in decimal
	AskBookmark                        // the current one
	AskBookmarkForTime
	RestoreBookmark // answers the bookmark that undoes it
)

// Entries answers Get and List.
type Entries struct {
	ID      uint64
	Entries []Entry
	More    bool // of a List: go on behind the last key
	Err     *Failure
}

// Column is one column of a result.
type Column struct{ Name, Type string }

// Rows answers Query and NextRows. The first answer has the columns.
type Rows struct {
	ID           uint64
	Columns      []Column
	Rows         [][]any // nil, int64, float64, string, []byte
	Done         bool    // no more rows; the cursor is closed
	LastInsertID int64
	RowsAffected int64
	Err          *Failure
}

// RunAlarm runs OnAlarm. It is an event inside a [Turn].
type RunAlarm struct {
	RetryCount int
	Scheduled  int64 // Unix nanoseconds
}

func (*Get) kind() Kind         { return 64 }
func (*Put) kind() Kind         { return 65 }
func (*Delete) kind() Kind      { return 66 }
func (*List) kind() Kind        { return 67 }
func (*DeleteAll) kind() Kind   { return 68 }
func (*Savepoint) kind() Kind   { return 69 }
func (*Query) kind() Kind       { return 70 }
func (*NextRows) kind() Kind    { return 71 }
func (*CloseCursor) kind() Kind { return 72 }
func (*Interrupt) kind() Kind   { return 73 }
func (*Sync) kind() Kind        { return 74 }
func (*SetAlarm) kind() Kind    { return 75 }
func (*StorageCall) kind() Kind { return 76 }
func (*Entries) kind() Kind     { return 77 }
func (*Rows) kind() Kind        { return 78 }
func (*RunAlarm) kind() Kind    { return 79 }

func (m *Get) Of() uint64         { return m.Instance }
func (m *Put) Of() uint64         { return m.Instance }
func (m *Delete) Of() uint64      { return m.Instance }
func (m *List) Of() uint64        { return m.Instance }
func (m *DeleteAll) Of() uint64   { return m.Instance }
func (m *Savepoint) Of() uint64   { return m.Instance }
func (m *Query) Of() uint64       { return m.Instance }
func (m *NextRows) Of() uint64    { return m.Instance }
func (m *CloseCursor) Of() uint64 { return m.Instance }
func (m *Interrupt) Of() uint64   { return m.Instance }
func (m *Sync) Of() uint64        { return m.Instance }
func (m *SetAlarm) Of() uint64    { return m.Instance }
func (m *StorageCall) Of() uint64 { return m.Instance }

func (m *Get) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.strs(&m.Keys)
}

func (m *Put) fields(c *coder) {
	c.uint(&m.Instance)
	list(c, &m.Entries, func(v *Entry) { v.fields(c) })
}

func (m *Delete) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.strs(&m.Keys)
}

func (c *coder) strPtr(v **string) {
	has := *v != nil
	c.bool(&has)
	if !has {
		return
	}
	if c.reading {
		*v = new(string)
	}
	c.str(*v)
}

func (m *List) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.strPtr(&m.Start)
	c.strPtr(&m.StartAfter)
	c.strPtr(&m.End)
	c.str(&m.Prefix)
	c.bool(&m.Reverse)
	c.int(&m.Limit)
}

func (m *DeleteAll) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
}

func (m *Savepoint) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.int(&m.Number)
	c.uint((*uint64)(&m.Action))
}

func (m *Query) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.uint(&m.Cursor)
	c.str(&m.Text)
	list(c, &m.Args, func(v *Arg) {
		c.str(&v.Name)
		c.value(&v.Value)
	})
}

func (m *NextRows) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.uint(&m.Cursor)
}

func (m *CloseCursor) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Cursor)
}

func (m *Interrupt) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.Cursor)
}

func (m *Sync) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
}

func (m *SetAlarm) fields(c *coder) {
	c.uint(&m.Instance)
	c.int64(&m.Time)
}

func (m *StorageCall) fields(c *coder) {
	c.uint(&m.Instance)
	c.uint(&m.ID)
	c.uint((*uint64)(&m.What))
	c.str(&m.Text)
	c.int64(&m.Time)
}

func (m *Entries) fields(c *coder) {
	c.uint(&m.ID)
	list(c, &m.Entries, func(v *Entry) { v.fields(c) })
	c.bool(&m.More)
	c.failure(&m.Err)
}

func (m *Rows) fields(c *coder) {
	c.uint(&m.ID)
	list(c, &m.Columns, func(v *Column) {
		c.str(&v.Name)
		c.str(&v.Type)
	})
	list(c, &m.Rows, func(v *[]any) { list(c, v, c.value) })
	c.bool(&m.Done)
	c.int64(&m.LastInsertID)
	c.int64(&m.RowsAffected)
	c.failure(&m.Err)
}

func (m *RunAlarm) fields(c *coder) {
	c.int(&m.RetryCount)
	c.int64(&m.Scheduled)
}

// value codes one SQL value: a byte for its type, then the value.
func (c *coder) value(v *any) {
	if !c.reading {
		switch x := (*v).(type) {
		case nil:
			c.buf = append(c.buf, 0)
		case int64:
			c.buf = binary.AppendVarint(append(c.buf, 1), x)
		case float64:
			c.buf = binary.LittleEndian.AppendUint64(append(c.buf, 2), math.Float64bits(x))
		case string:
			c.buf = append(c.buf, 3)
			c.str(&x)
		case []byte:
			c.buf = append(c.buf, 4)
			c.bytes(&x)
		default:
			panic(fmt.Sprintf("wire: %T is no SQL value", x))
		}
		return
	}
	if len(c.buf) == 0 {
		c.fail(errShort)
		return
	}
	t := c.buf[0]
	c.buf = c.buf[1:]
	switch t {
	case 0:
		*v = nil
	case 1:
		var x int64
		c.int64(&x)
		*v = x
	case 2:
		if len(c.buf) < 8 {
			c.fail(errShort)
			return
		}
		*v = math.Float64frombits(binary.LittleEndian.Uint64(c.buf))
		c.buf = c.buf[8:]
	case 3:
		var x string
		c.str(&x)
		*v = x
	case 4:
		x := append([]byte{}, c.take()...) // an empty blob is not NULL
		*v = x
	default:
		c.fail(fmt.Errorf("unknown type %d of a value", t))
	}
}
