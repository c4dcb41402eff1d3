package storage

import (
	"container/list"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// stmt is one compiled statement; p is 0 for text without a statement.
type stmt struct {
	c        *conn
	p        uintptr
	internal bool
	params   int
	readOnly bool
	seen     seen
	text     string // where it may be kept

	columns   []Column
	compiled  int32 // how often SQLite had compiled it again when columns was made
	cacheItem *list.Element
}

// prepare compiles the first statement of text and returns what follows it.
func (c *conn) prepare(text string, internal bool) (*stmt, string, error) {
	if len(text) > maxStatement && !internal {
		return nil, "", &Error{Code: sqlite3.SQLITE_TOOBIG, Offset: -1,
			Message: fmt.Sprintf("statement too long (%d bytes, the limit is %d)", len(text), maxStatement)}
	}
	p, err := c.text(text)
	if err != nil {
		return nil, "", err
	}
	flags := uint32(0)
	if internal {
		flags = sqlite3.SQLITE_PREPARE_PERSISTENT
	}
	c.internal, c.seen, c.denied = internal, seen{}, ""
	rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, p, int32(len(text)), flags, c.out, c.out+8)
	if rc != sqlite3.SQLITE_OK {
		return nil, "", c.fail(rc)
	}
	s := &stmt{c: c, p: *(*uintptr)(at(c.out)), internal: internal, seen: c.seen}
	tail := text[*(*uintptr)(at(c.out + 8))-p:]
	if s.p != 0 {
		c.live[s] = struct{}{}
		s.params = int(sqlite3.Xsqlite3_bind_parameter_count(c.tls, s.p))
		s.readOnly = sqlite3.Xsqlite3_stmt_readonly(c.tls, s.p) != 0 && !s.seen.writes
	}
	return s, tail, nil
}

func (s *stmt) finalize() {
	if s.p != 0 {
		sqlite3.Xsqlite3_finalize(s.c.tls, s.p)
		delete(s.c.live, s)
		s.p = 0
	}
}

func (s *stmt) reset() { sqlite3.Xsqlite3_reset(s.c.tls, s.p) }

// step runs the statement up to its next row.
func (s *stmt) step() (row bool, err error) {
	c := s.c
	c.internal, c.denied = s.internal, ""
	switch rc := sqlite3.Xsqlite3_step(c.tls, s.p); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		err := c.fail(rc)
		s.reset()
		return false, err
	}
}

const transient = ^uintptr(0) // SQLite copies what is bound

func (s *stmt) bind(i int, value any) error {
	c := s.c
	var rc int32
	switch v := value.(type) {
	case nil:
		rc = sqlite3.Xsqlite3_bind_null(c.tls, s.p, int32(i))
	case int64:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, s.p, int32(i), v)
	case int:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, s.p, int32(i), int64(v))
	case bool:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, s.p, int32(i), int64(libc.Bool32(v)))
	case float64:
		rc = sqlite3.Xsqlite3_bind_double(c.tls, s.p, int32(i), v)
	case time.Time:
		return s.bind(i, v.Format("2006-01-02 15:04:05.999999999-07:00"))
	case string:
		p, err := c.text(v)
		if err != nil {
			return err
		}
		rc = sqlite3.Xsqlite3_bind_text(c.tls, s.p, int32(i), p, int32(len(v)), transient)
	case []byte:
		if v == nil {
			return s.bind(i, nil)
		}
		p, err := c.text(unsafe.String(unsafe.SliceData(v), len(v)))
		if err != nil {
			return err
		}
		rc = sqlite3.Xsqlite3_bind_blob(c.tls, s.p, int32(i), p, int32(len(v)), transient)
	default:
		return fmt.Errorf("storage: a value of type %T cannot be bound: use int64, float64, bool, string, []byte, time.Time or nil", value)
	}
	if rc != sqlite3.SQLITE_OK {
		return c.fail(rc)
	}
	return nil
}

// parameter is the name of a parameter with its sign; "" where it has none.
func (s *stmt) parameter(i int) string {
	return libc.GoString(sqlite3.Xsqlite3_bind_parameter_name(s.c.tls, s.p, int32(i)))
}

func (s *stmt) int64(i int) int64 {
	return sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(i))
}

func (s *stmt) kind(i int) int32 { return sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(i)) }

// bytes is a copy of a text or a blob, never nil.
func (s *stmt) bytes(i int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(i))
	n := int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(i)))
	b := make([]byte, n)
	if p != 0 {
		copy(b, unsafe.Slice((*byte)(at(p)), n))
	}
	return b
}

func (s *stmt) string(i int) string {
	b := s.bytes(i)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// value is a column of the current row and about how many bytes it takes.
func (s *stmt) value(i int) (any, int) {
	switch s.kind(i) {
	case sqlite3.SQLITE_INTEGER:
		return s.int64(i), 8
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_column_double(s.c.tls, s.p, int32(i)), 8
	case sqlite3.SQLITE_TEXT:
		v := s.string(i)
		return v, len(v) + 16
	case sqlite3.SQLITE_BLOB:
		v := s.bytes(i)
		return v, len(v) + 24
	default:
		return nil, 1
	}
}

// describe is the columns of the result, as of the last step.
func (s *stmt) describe() []Column {
	const reprepare = 5 // SQLITE_STMTSTATUS_REPREPARE
	again := sqlite3.Xsqlite3_stmt_status(s.c.tls, s.p, reprepare, 0)
	if s.columns != nil && again == s.compiled {
		return s.columns
	}
	s.compiled = again
	s.columns = make([]Column, sqlite3.Xsqlite3_column_count(s.c.tls, s.p))
	for i := range s.columns {
		s.columns[i] = Column{
			Name:     libc.GoString(sqlite3.Xsqlite3_column_name(s.c.tls, s.p, int32(i))),
			DeclType: libc.GoString(sqlite3.Xsqlite3_column_decltype(s.c.tls, s.p, int32(i))),
		}
	}
	return s.columns
}

// stmtCache keeps compiled statements that are not in use, by their text.
type stmtCache struct {
	byText map[string]*stmt
	order  list.List // of *stmt, the least recently used in front
	bytes  int       // of text
}

const cacheBytes, cacheStatements = 1 << 18, 200

// take removes and returns the statement of a text, nil where there is none.
func (k *stmtCache) take(text string) *stmt {
	s := k.byText[text]
	if s != nil {
		k.remove(s)
	}
	return s
}

func (k *stmtCache) remove(s *stmt) {
	delete(k.byText, s.text)
	k.order.Remove(s.cacheItem)
	k.bytes -= len(s.text)
}

// put resets s and keeps it, or ends it where that is no use.
func (k *stmtCache) put(s *stmt) {
	if s.p == 0 {
		return
	}
	if s.text == "" || k.byText[s.text] != nil {
		s.finalize()
		return
	}
	s.reset()
	sqlite3.Xsqlite3_clear_bindings(s.c.tls, s.p)
	if k.byText == nil {
		k.byText = map[string]*stmt{}
	}
	k.byText[s.text] = s
	s.cacheItem = k.order.PushBack(s)
	k.bytes += len(s.text)
	for k.bytes > cacheBytes || k.order.Len() > cacheStatements {
		old := k.order.Front().Value.(*stmt)
		k.remove(old)
		old.finalize()
	}
}

func (k *stmtCache) clear() {
	for _, s := range k.byText {
		s.finalize()
	}
	k.byText, k.bytes = nil, 0
	k.order.Init()
}

// blank reports whether text holds nothing but space, comments and semicolons.
func blank(text string) bool {
	for text != "" {
		switch {
		case strings.IndexByte(" \t\n\r\f;", text[0]) >= 0:
			text = text[1:]
		case strings.HasPrefix(text, "--"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			_, text, _ = strings.Cut(text[2:], "*/")
		default:
			return false
		}
	}
	return true
}
