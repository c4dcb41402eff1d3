package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"
)

// Column is a column of a result.
type Column struct {
	Name     string
	DeclType string // as in CREATE TABLE; "" for an expression
}

// Cursor is the result of a query. Several may be open at once, also while
// something else is written. Like its Database it is used by one goroutine at
// a time.
type Cursor struct {
	d       *Database
	ctx     context.Context
	s       *stmt
	columns []Column
	before  int64   // total changes when the statement began
	pending bool    // a row was reached and not returned
	done    bool    // no further row is to come from SQLite
	buffer  [][]any // rows that a commit or the end brought forward
	err     error   // what the cursor was ended with

	lastInsertID, affected int64
	wrote                  bool
}

// ErrNoStatement is the error for text without a statement.
var ErrNoStatement = errors.New("SQL code did not contain a statement.")

// errBindings is the platform's text for too few or too many arguments.
func errBindings(want, got int) error {
	return fmt.Errorf("Wrong number of parameter bindings for SQL query. %d expected, %d given.", want, got)
}

// Query runs SQL text. All its statements but the last run to their end at
// once and may not have parameters; the last runs up to its first row, or to
// its end where it has none, so that what it writes is written when Query
// returns. Arguments go to parameters by name (:a, @a and $a are all "a") where
// they have one, by position otherwise, and are int64, float64, bool, string,
// []byte, time.Time (as text) or nil. When ctx ends, Query and the cursor's
// Next end with its error; a write that is interrupted so loses the whole
// transaction.
func (d *Database) Query(ctx context.Context, text string, args []driver.NamedValue) (*Cursor, error) {
	defer d.enter()()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if strings.IndexByte(text, 0) >= 0 {
		return nil, errors.New("SQL code must not contain a NUL character: bind values that do")
	}
	c, err := d.querying()
	if err != nil {
		return nil, err
	}
	defer d.watch(ctx)()
	cur, err := d.query(ctx, c, text, args)
	return cur, d.queryFailed(ctx, err)
}

// watch interrupts what runs when ctx ends, until the returned function has run.
func (d *Database) watch(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	done := make(chan struct{})
	withdraw := context.AfterFunc(ctx, func() {
		d.Interrupt()
		close(done)
	})
	return func() {
		if !withdraw() {
			<-done // or it would hit the next operation
		}
	}
}

// queryFailed adds the reason for which a statement was interrupted.
func (d *Database) queryFailed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	err = d.failed(err)
	if ctx.Err() != nil && hasCode(err, sqlite3.SQLITE_INTERRUPT) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// querying is the room's file, or an empty database where it has none.
func (d *Database) querying() (*conn, error) {
	c, err := d.reading()
	if err != nil {
		return nil, err
	}
	if c == nil {
		if d.empty == nil {
			empty, err := connect("", connOptions{memory: true, guard: true, stop: &d.stop}, false)
			if err != nil {
				return nil, err
			}
			d.empty = empty
		}
		c = d.empty
	}
	return c, nil
}

func (d *Database) query(ctx context.Context, c *conn, text string, args []driver.NamedValue) (*Cursor, error) {
	for {
		s := c.cache.take(text)
		tail := ""
		if s == nil {
			var err error
			if s, tail, err = c.prepare(text, false); err != nil {
				return nil, err
			}
			if s.p == 0 {
				return nil, ErrNoStatement
			}
			if tail = strings.TrimLeft(tail, " \t\r\n\f;"); tail != "" && blank(tail) {
				tail = ""
			}
			if tail == "" && !s.seen.pragma && !s.seen.alter && len(text) < 1<<14 {
				s.text = text
			}
		}
		// What writes needs the room's file and a transaction.
		if !s.readOnly && !d.begun {
			if _, err := d.writing(); err != nil {
				s.finalize()
				return nil, err
			}
			if s.c != d.c || s.seen.pragma {
				s.finalize()
				c = d.c
				continue
			}
		}
		if tail != "" {
			if s.params > 0 {
				n := s.params
				s.finalize()
				return nil, fmt.Errorf("only the last of several statements may have parameters: %w", errBindings(0, n))
			}
			if err := d.finish(s); err != nil {
				return nil, err
			}
			text = tail
			continue
		}
		return d.start(ctx, s, args)
	}
}

// finish runs a statement that is not the last to its end.
func (d *Database) finish(s *stmt) error {
	defer s.finalize()
	if s.seen.alter {
		return d.alter(s)
	}
	for {
		if row, err := s.step(); err != nil || !row {
			return err
		}
	}
}

// alter runs a statement that could have renamed something to a reserved name,
// which the authorizer does not see.
func (d *Database) alter(s *stmt) error {
	c := s.c
	const names = "SELECT count(*) FROM sqlite_master WHERE substr(name, 1, 4) = '_cf_' COLLATE NOCASE"
	before, err := c.number(names)
	if err == nil {
		err = c.run("SAVEPOINT _cf_alter", nil)
	}
	if err != nil {
		return err
	}
	for row := true; row && err == nil; {
		row, err = s.step()
	}
	s.reset()
	if err == nil {
		var after int64
		if after, err = c.number(names); err == nil && after != before {
			err = &Error{Message: "not authorized", Code: sqlite3.SQLITE_AUTH, Offset: -1, Hint: hintReserved}
		}
	}
	if c.begun() {
		if err != nil {
			c.run("ROLLBACK TO _cf_alter", nil)
		}
		if e := c.run("RELEASE _cf_alter", nil); err == nil {
			err = e
		}
	}
	return err
}

// start runs the last statement up to its first row.
func (d *Database) start(ctx context.Context, s *stmt, args []driver.NamedValue) (*Cursor, error) {
	if err := s.bindAll(args); err != nil {
		s.c.cache.put(s)
		return nil, err
	}
	cur := &Cursor{d: d, ctx: ctx, s: s, wrote: !s.readOnly}
	cur.before = sqlite3.Xsqlite3_total_changes64(s.c.tls, s.c.db)
	if s.seen.alter {
		if err := d.alter(s); err != nil {
			s.finalize()
			return nil, err
		}
		cur.columns = s.describe()
		cur.finish()
		return cur, nil
	}
	row, err := s.step()
	if err != nil {
		s.finalize()
		return nil, err
	}
	cur.columns = s.describe()
	if !row {
		cur.finish()
		return cur, nil
	}
	cur.pending = true
	if d.cursors == nil {
		d.cursors = map[*Cursor]struct{}{}
	}
	d.cursors[cur] = struct{}{}
	return cur, nil
}

// bindAll gives every parameter its argument; every argument must be used.
func (s *stmt) bindAll(args []driver.NamedValue) error {
	if s.params == 0 && len(args) == 0 {
		return nil
	}
	var used [128]bool // there are at most 100 parameters
	count := 0
	for i := 1; i <= s.params; i++ {
		j, err := argument(args, s.parameter(i), i)
		if err != nil {
			return err
		}
		if j < 0 || j >= len(used) {
			return errBindings(s.params, len(args))
		}
		if err := s.bind(i, args[j].Value); err != nil {
			return err
		}
		if !used[j] {
			used[j] = true
			count++
		}
	}
	s.c.release()
	if count != len(args) {
		return errBindings(s.params, len(args))
	}
	return nil
}

// argument is the index of the argument of parameter i, -1 without one.
func argument(args []driver.NamedValue, name string, i int) (int, error) {
	position := i
	if name != "" {
		for j := range args {
			if args[j].Name != "" && args[j].Name == name[1:] {
				return j, nil
			}
		}
		if n, err := strconv.Atoi(name[1:]); err == nil && (name[0] == '?' || name[0] == '$') {
			position = n
		}
	}
	if position < 1 || position > len(args) {
		return -1, nil
	}
	if args[position-1].Name == "" {
		return position - 1, nil
	}
	if name == "" {
		return -1, fmt.Errorf("there is no argument for parameter %d, which has no name", i)
	}
	return -1, fmt.Errorf("there is no argument for parameter %s", name)
}

// Columns are the columns of the result; none for a statement without one.
func (cur *Cursor) Columns() []Column { return cur.columns }

// LastInsertID is the rowid of the last INSERT of this database.
func (cur *Cursor) LastInsertID() int64 { return cur.lastInsertID }

// RowsAffected is how many rows the statement itself inserted, changed or
// deleted; it is final when the cursor has no more rows.
func (cur *Cursor) RowsAffected() int64 { return cur.affected }

// Next returns up to maxRows rows (0: any number), and stops after the row
// with which they take about maxBytes (0: any number). Values are int64,
// float64, string, []byte and nil, as SQLite stores them, whatever type the
// column declares. done reports that there are no more; the cursor is then
// closed.
func (cur *Cursor) Next(maxRows, maxBytes int) (rows [][]any, done bool, err error) {
	d := cur.d
	defer d.enter()()
	if cur.err != nil {
		return nil, true, cur.err
	}
	if n := len(cur.buffer); n > 0 {
		if maxRows > 0 {
			n = min(n, maxRows)
		}
		rows, cur.buffer = cur.buffer[:n:n], cur.buffer[n:]
		return rows, len(cur.buffer) == 0 && cur.done, nil
	}
	if cur.done {
		return nil, true, nil
	}
	if err := cur.ctx.Err(); err != nil {
		cur.end(err)
		return nil, true, err
	}
	defer d.watch(cur.ctx)()
	for size := 0; maxRows <= 0 || len(rows) < maxRows; {
		if !cur.pending {
			more, err := cur.s.step()
			if err != nil {
				err = d.queryFailed(cur.ctx, err)
				cur.end(err)
				return nil, true, err
			}
			if !more {
				cur.finish()
				return rows, true, nil
			}
		}
		cur.pending = false
		row := make([]any, len(cur.columns))
		for i := range row {
			var n int
			row[i], n = cur.s.value(i)
			size += n
		}
		rows = append(rows, row)
		if maxBytes > 0 && size >= maxBytes {
			break
		}
	}
	return rows, false, nil
}

// drain brings the rows of a statement that writes into memory, so that it no
// longer runs.
func (cur *Cursor) drain() error {
	if cur.done || !cur.wrote {
		return nil
	}
	for {
		if !cur.pending {
			more, err := cur.s.step()
			if err != nil {
				cur.end(err)
				return err
			}
			if !more {
				cur.finish()
				return nil
			}
		}
		cur.pending = false
		row := make([]any, len(cur.columns))
		for i := range row {
			row[i], _ = cur.s.value(i)
		}
		cur.buffer = append(cur.buffer, row)
	}
}

// finish notes the outcome of a statement that has come to its end.
func (cur *Cursor) finish() {
	c := cur.s.c
	if cur.wrote {
		cur.lastInsertID = sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db)
		if sqlite3.Xsqlite3_total_changes64(c.tls, c.db) != cur.before {
			cur.affected = sqlite3.Xsqlite3_changes64(c.tls, c.db)
		}
	}
	cur.leave()
}

// leave gives the statement back.
func (cur *Cursor) leave() {
	cur.done = true
	delete(cur.d.cursors, cur)
	if cur.s != nil && cur.s.p != 0 {
		cur.s.c.cache.put(cur.s)
	}
	cur.s = nil
}

// end closes the cursor so that Next returns err.
func (cur *Cursor) end(err error) {
	if cur.done {
		return
	}
	cur.err, cur.buffer = err, nil
	cur.leave()
}

// Close gives up the rows that are left. It may be called more than once.
func (cur *Cursor) Close() error {
	defer cur.d.enter()()
	cur.buffer = nil
	if !cur.done {
		cur.leave()
	}
	return nil
}
