package guest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// SQL returns the room's database. Every *sql.Conn and *sql.Tx of it is the
// room's one connection, so queries may be nested.
func (s *Storage) SQL() *sql.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sql == nil {
		s.sql = sql.OpenDB(connector{s}) // costs a goroutine, so not before it is wanted
		if s.ended {
			_ = s.sql.Close()
		}
	}
	return s.sql
}

// close ends the *sql.DB with its instance.
func (s *Storage) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.sql != nil {
		db := s.sql
		go func() { _ = db.Close() }() // may wait for a query of a turn left behind
	}
}

type connector struct{ s *Storage }

func (c connector) Connect(context.Context) (driver.Conn, error) { return &sqlConn{s: c.s}, nil }
func (c connector) Driver() driver.Driver                        { return sqlDriver{} }

type sqlDriver struct{}

func (sqlDriver) Open(string) (driver.Conn, error) {
	return nil, errors.New("a room's database is reached with Storage().SQL(), not by name")
}

// sqlConn is a face of the room's connection.
type sqlConn struct {
	s *Storage
}

func (c *sqlConn) Prepare(query string) (driver.Stmt, error) { return &sqlStmt{c, query}, nil }
func (c *sqlConn) Close() error                              { return nil }

// Begin is for callers without a context.
func (c *sqlConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx opens a savepoint: a turn is the transaction already.
func (c *sqlConn) BeginTx(_ context.Context, o driver.TxOptions) (driver.Tx, error) {
	switch sql.IsolationLevel(o.Isolation) {
	case sql.LevelDefault, sql.LevelSerializable:
	default:
		return nil, fmt.Errorf("isolation level %s is not offered: every transaction of a room is serializable", sql.IsolationLevel(o.Isolation))
	}
	p, err := c.s.Savepoint()
	if err != nil {
		return nil, err
	}
	return sqlTx{p}, nil
}

type sqlTx struct{ p *Savepoint }

func (t sqlTx) Commit() error   { return t.p.End(false) }
func (t sqlTx) Rollback() error { return t.p.End(true) }

func (c *sqlConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	rows, err := c.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	for !rows.last.Done { // RETURNING: the rows are not wanted, but must run
		if err := rows.more(); err != nil {
			return nil, err
		}
	}
	return sqlResult{rows.last.LastInsertID, rows.last.RowsAffected}, nil
}

func (c *sqlConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.query(ctx, query, args)
}

func (c *sqlConn) query(ctx context.Context, query string, args []driver.NamedValue) (*sqlRows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := &wire.Query{Instance: c.s.in.Number, Cursor: c.s.in.guest.next.Add(1), Text: query}
	for _, a := range args {
		v, err := toValue(a.Value)
		if err != nil {
			return nil, fmt.Errorf("parameter %d: %w", a.Ordinal, err)
		}
		m.Args = append(m.Args, wire.Arg{Name: a.Name, Value: v})
	}
	rows := &sqlRows{c: c, ctx: ctx, cursor: m.Cursor}
	if err := rows.ask(func(id uint64) wire.Message { m.ID = id; return m }); err != nil {
		return nil, err
	}
	rows.columns = rows.last.Columns
	return rows, nil
}

// toValue brings a parameter to the types that travel. Times are text in the
// form that SQLite's own date functions read.
func toValue(v driver.Value) (any, error) {
	switch v := v.(type) {
	case nil, int64, float64, string, []byte:
		return v, nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.999999999Z07:00"), nil
	}
	return nil, fmt.Errorf("a %T cannot be stored", v)
}

type sqlResult struct{ id, affected int64 }

func (r sqlResult) LastInsertId() (int64, error) { return r.id, nil }
func (r sqlResult) RowsAffected() (int64, error) { return r.affected, nil }

type sqlStmt struct {
	c     *sqlConn
	query string
}

func (s *sqlStmt) Close() error  { return nil }
func (s *sqlStmt) NumInput() int { return -1 } // the database counts

func (s *sqlStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s *sqlStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

func (s *sqlStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.ExecContext(ctx, s.query, args)
}

func (s *sqlStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.QueryContext(ctx, s.query, args)
}

// sqlRows is a cursor that the emulator holds; rows come in shares.
type sqlRows struct {
	c       *sqlConn
	ctx     context.Context
	cursor  uint64
	columns []wire.Column
	last    *wire.Rows
	next    int // of last.Rows
	closed  bool
}

// ask gets a share of rows. When ctx ends meanwhile the statement is
// interrupted, and its own error comes as the answer.
func (r *sqlRows) ask(make_ func(id uint64) wire.Message) error {
	in := r.c.s.in
	stop := context.AfterFunc(r.ctx, func() {
		if !in.fenced.Load() {
			in.guest.link.Send(&wire.Interrupt{Instance: in.Number, Cursor: r.cursor})
			in.guest.link.Flush()
		}
	})
	m, err := r.c.s.ask(context.Background(), make_)
	stop()
	if err != nil {
		return err
	}
	rows, ok := m.(*wire.Rows)
	switch {
	case !ok:
		return fmt.Errorf("unexpected answer %T", m)
	case rows.Err != nil && r.ctx.Err() != nil:
		return r.ctx.Err()
	case rows.Err != nil:
		return fromFailure(rows.Err)
	}
	r.last, r.next = rows, 0
	return nil
}

func (r *sqlRows) more() error {
	return r.ask(func(id uint64) wire.Message {
		return &wire.NextRows{Instance: r.c.s.in.Number, ID: id, Cursor: r.cursor}
	})
}

func (r *sqlRows) Columns() []string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.Name
	}
	return names
}

// ColumnTypeDatabaseTypeName is the declared type.
func (r *sqlRows) ColumnTypeDatabaseTypeName(i int) string { return r.columns[i].Type }

func (r *sqlRows) Next(dest []driver.Value) error {
	for r.next >= len(r.last.Rows) {
		if r.last.Done {
			return io.EOF
		}
		if err := r.more(); err != nil {
			r.closed = true
			return err
		}
	}
	row := r.last.Rows[r.next]
	r.last.Rows[r.next] = nil
	r.next++
	for i, v := range row {
		if text, ok := v.(string); ok && isTime(r.columns[i].Type) {
			if t, ok := parseTime(text); ok {
				v = t
			}
		}
		dest[i] = v
	}
	return nil
}

// isTime reports whether a column is declared to hold times. SQLite has no type
// for them, but generated code and migration tools scan such columns into
// time.Time, which database/sql does not make of text.
func isTime(declared string) bool {
	switch strings.ToUpper(declared) {
	case "DATE", "DATETIME", "TIMESTAMP":
		return true
	}
	return false
}

// timeFormats are how times are written in SQLite: by its own functions, by
// toValue, and as in JSON.
var timeFormats = []string{
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02T15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04",
	"2006-01-02T15:04",
	"2006-01-02",
}

func parseTime(s string) (time.Time, bool) {
	for _, f := range timeFormats {
		if t, err := time.Parse(f, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func (r *sqlRows) Close() error {
	if r.closed || r.last == nil || r.last.Done {
		return nil
	}
	r.closed = true
	// Maybe on a goroutine of database/sql, and behind the turn's end, which
	// closed the cursor anyhow.
	_ = r.c.s.in.send(&wire.CloseCursor{Instance: r.c.s.in.Number, Cursor: r.cursor})
	return nil
}

// Interfaces that database/sql looks for.
var (
	_ driver.ConnBeginTx                    = (*sqlConn)(nil)
	_ driver.ExecerContext                  = (*sqlConn)(nil)
	_ driver.QueryerContext                 = (*sqlConn)(nil)
	_ driver.StmtExecContext                = (*sqlStmt)(nil)
	_ driver.StmtQueryContext               = (*sqlStmt)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*sqlRows)(nil)
)
