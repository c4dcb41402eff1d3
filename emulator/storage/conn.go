package storage

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one handle of SQLite. It speaks to the translated library directly:
// the driver above it turns text of DATE columns into time.Time, hides whether
// a statement writes and where it ends, and pays for a goroutine a context.
//
// A conn is used by one goroutine at a time.
type conn struct {
	tls *libc.TLS
	db  uintptr
	id  uintptr // what the callbacks know the conn by

	scratch    uintptr // what is bound and compiled passes through here
	scratchLen int
	out        uintptr // two words for results passed by pointer

	stop     *stopper // ends what runs; nil: nothing does
	internal bool     // the package's own statement is compiled or runs
	seen     seen     // by the authorizer, while a statement is compiled
	denied   string   // why the authorizer refused
	frames   int      // in the write-ahead log, after the last commit
	wrote    bool     // the log hook ran: frames is known

	live  map[*stmt]struct{} // all that are compiled
	own   map[string]*stmt   // the package's
	cache stmtCache          // the user's
}

// seen is what the authorizer noticed in a statement.
type seen struct {
	pragma bool // must be compiled each time: many act while they are compiled
	writes bool // writes, or lasts until the commit, though SQLite calls it a read
	alter  bool // could have renamed something to a reserved name
}

var (
	conns  sync.Map // uintptr -> *conn
	connID atomic.Uintptr

	authorizeC = function(func(_ *libc.TLS, id uintptr, action int32, a, b, database, trigger uintptr) int32 {
		c, ok := conns.Load(id)
		if !ok {
			return sqlite3.SQLITE_DENY
		}
		return c.(*conn).authorize(action, a, b, database)
	})
	progressC = function(func(_ *libc.TLS, id uintptr) int32 {
		if c, ok := conns.Load(id); ok && c.(*conn).stop.stopped() {
			return 1
		}
		return 0
	})
	loggedC = function(func(_ *libc.TLS, id, _, _ uintptr, frames int32) int32 {
		if c, ok := conns.Load(id); ok {
			c.(*conn).frames, c.(*conn).wrote = int(frames), true
		}
		return sqlite3.SQLITE_OK
	})
)

// cFunction keeps the function values alive that SQLite knows by address.
var cFunctions []any

// function is the address by which translated C calls f.
func function[F any](f F) uintptr {
	p := &struct{ f F }{f}
	cFunctions = append(cFunctions, p)
	return *(*uintptr)(unsafe.Pointer(p))
}

// at is the memory of SQLite at p.
func at(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// busyTimeout is how long, in ms, a write waits for another process.
const busyTimeout = 5000

// stopper ends what runs, from any goroutine. The progress handler reads it:
// sqlite3_interrupt would be forgotten where nothing runs yet.
type stopper struct {
	operation atomic.Bool // the running one
	all       atomic.Bool // and all that follow
}

func (s *stopper) stopped() bool { return s != nil && (s.operation.Load() || s.all.Load()) }

type connOptions struct {
	stop     *stopper
	memory   bool // an empty database that is never a file
	readOnly bool
	full     bool // synchronous=FULL
	history  bool // no checkpoints but those asked for
	guard    bool // authorizer and limits of a room
}

// connect opens the file at path, which must exist unless create.
func connect(path string, o connOptions, create bool) (*conn, error) {
	c := &conn{tls: libc.NewTLS(), id: connID.Add(1), own: map[string]*stmt{}, live: map[*stmt]struct{}{}, stop: o.stop}
	c.out = sqlite3.Xsqlite3_malloc(c.tls, 32)
	flags := int32(sqlite3.SQLITE_OPEN_NOMUTEX | sqlite3.SQLITE_OPEN_URI | sqlite3.SQLITE_OPEN_EXRESCODE)
	if o.readOnly {
		flags |= sqlite3.SQLITE_OPEN_READONLY
	} else {
		flags |= sqlite3.SQLITE_OPEN_READWRITE
	}
	name := ":memory:"
	switch {
	case o.memory:
		flags |= sqlite3.SQLITE_OPEN_CREATE
	default:
		name = fileURI(path)
		if create {
			flags |= sqlite3.SQLITE_OPEN_CREATE
		}
	}
	p, err := libc.CString(name)
	if err != nil {
		return nil, err
	}
	rc := sqlite3.Xsqlite3_open_v2(c.tls, p, c.out, flags, 0)
	libc.Xfree(c.tls, p)
	c.db = *(*uintptr)(at(c.out))
	if rc != sqlite3.SQLITE_OK {
		err := c.fail(rc)
		c.close()
		return nil, err
	}
	conns.Store(c.id, c)
	if err := c.configure(o); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// fileURI names path to SQLite, whatever characters it holds.
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	if len(path) > 1 && path[1] == ':' {
		path = "/" + path
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath()
}

func (c *conn) configure(o connOptions) error {
	for op, on := range map[int32]bool{
		sqlite3.SQLITE_DBCONFIG_DEFENSIVE:        true,
		sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY:      o.guard,
		sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE: o.history,
		sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA:   false,
	} {
		c.config(op, on)
	}
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, busyTimeout)
	texts := []string{"PRAGMA synchronous=NORMAL", "PRAGMA temp_store=MEMORY"}
	if o.full {
		texts[0] = "PRAGMA synchronous=FULL"
	}
	if !o.memory && !o.readOnly {
		texts = append(texts, "PRAGMA journal_mode=WAL")
	}
	if o.readOnly {
		texts = append(texts, "PRAGMA query_only=1")
	}
	if o.history {
		texts = append(texts, "PRAGMA wal_autocheckpoint=0", "PRAGMA journal_size_limit=0")
		*(*int32)(at(c.out)) = 1
		main, err := c.text("main\x00")
		if err != nil {
			return err
		}
		sqlite3.Xsqlite3_file_control(c.tls, c.db, main, sqlite3.SQLITE_FCNTL_PERSIST_WAL, c.out)
	}
	for _, text := range texts {
		if err := c.exec(text); err != nil {
			return err
		}
	}
	if o.history {
		sqlite3.Xsqlite3_wal_hook(c.tls, c.db, loggedC, c.id)
	}
	if o.guard {
		for limit, value := range limits {
			sqlite3.Xsqlite3_limit(c.tls, c.db, limit, value)
		}
		sqlite3.Xsqlite3_set_authorizer(c.tls, c.db, authorizeC, c.id)
		sqlite3.Xsqlite3_progress_handler(c.tls, c.db, 1000, progressC, c.id)
	}
	return nil
}

// config turns a switch of the handle on or off, also within a transaction.
func (c *conn) config(op int32, on bool) {
	list := sqlite3.Xsqlite3_malloc(c.tls, 16)
	defer sqlite3.Xsqlite3_free(c.tls, list)
	sqlite3.Xsqlite3_db_config(c.tls, c.db, op, libc.VaList(list, libc.Bool32(on), uintptr(0)))
}

// close ends the handle and all its statements.
func (c *conn) close() error {
	for s := range c.live {
		s.finalize()
	}
	rc := sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	conns.Delete(c.id)
	sqlite3.Xsqlite3_free(c.tls, c.scratch)
	sqlite3.Xsqlite3_free(c.tls, c.out)
	c.db, c.scratch, c.out = 0, 0, 0
	c.tls.Close()
	if rc != sqlite3.SQLITE_OK {
		return &Error{Code: int(rc), Message: "close failed"}
	}
	return nil
}

// text puts s where SQLite can read it until the next call.
func (c *conn) text(s string) (uintptr, error) {
	n := max(len(s), 1)
	if n > c.scratchLen {
		sqlite3.Xsqlite3_free(c.tls, c.scratch)
		c.scratchLen = 0
		size := max(n, 1024)
		if c.scratch = sqlite3.Xsqlite3_malloc(c.tls, int32(size)); c.scratch == 0 {
			return 0, fmt.Errorf("storage: no memory for %d bytes", size)
		}
		c.scratchLen = size
	}
	copy(unsafe.Slice((*byte)(at(c.scratch)), n), s)
	return c.scratch, nil
}

// release gives back the memory that an unusually large value took.
func (c *conn) release() {
	if c.scratchLen > 1<<16 {
		sqlite3.Xsqlite3_free(c.tls, c.scratch)
		c.scratch, c.scratchLen = 0, 0
	}
}

// exec runs one of the package's own statements once, without keeping it.
func (c *conn) exec(text string) error {
	s, _, err := c.prepare(text, true)
	if err != nil {
		return err
	}
	defer s.finalize()
	for {
		if row, err := s.step(); err != nil || !row {
			return err
		}
	}
}

// run runs one of the package's own statements, which is kept for next time.
// each, which may be nil, is called for each row.
func (c *conn) run(text string, each func(*stmt), args ...any) error {
	s := c.own[text]
	if s == nil {
		var err error
		if s, _, err = c.prepare(text, true); err != nil {
			return err
		}
		c.own[text] = s
	}
	for i, arg := range args {
		if err := s.bind(i+1, arg); err != nil {
			return err
		}
	}
	var failed error
	for {
		row, err := s.step()
		if err != nil {
			failed = err
		}
		if err != nil || !row {
			break
		}
		if each != nil {
			each(s)
		}
	}
	s.reset()
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			if len(v) > 1<<16 {
				s.bind(i+1, nil)
			}
		case []byte:
			if len(v) > 1<<16 {
				s.bind(i+1, nil)
			}
		}
	}
	c.release()
	return failed
}

// number is the first column of the first row, 0 without a row.
func (c *conn) number(text string, args ...any) (n int64, err error) {
	err = c.run(text, func(s *stmt) { n = s.int64(0) }, args...)
	return n, err
}

// begun reports whether a transaction is open; SQLite ends one by itself when
// the disk is full, memory runs out, or a write is interrupted.
func (c *conn) begun() bool { return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0 }

// fail is the error that SQLite reports for rc.
func (c *conn) fail(rc int32) *Error {
	e := &Error{Code: int(rc), Offset: -1}
	if c.db == 0 {
		e.Message = libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
		return e
	}
	e.Message = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	e.Offset = int(sqlite3.Xsqlite3_error_offset(c.tls, c.db))
	if rc&0xff == sqlite3.SQLITE_AUTH || c.denied != "" && strings.HasPrefix(e.Message, "not authorized") {
		e.Hint = c.denied
	}
	return e
}

// checkpoint moves the log into the database file as far as no reader needs
// it, and reports whether all of it went.
func (c *conn) checkpoint(mode int32) (frames, moved int, err error) {
	main, err := c.text("main\x00")
	if err != nil {
		return 0, 0, err
	}
	rc := sqlite3.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, main, mode, c.out, c.out+8)
	if rc != sqlite3.SQLITE_OK {
		return 0, 0, c.fail(rc)
	}
	return int(*(*int32)(at(c.out))), int(*(*int32)(at(c.out + 8))), nil
}
