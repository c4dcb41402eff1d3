package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestValuesKeepTheirTypes(t *testing.T) {
	f := open(t)
	d := f.room(1)
	query(t, d, "CREATE TABLE t(a DATETIME, b DATE, c TIMESTAMP, d BOOLEAN, e BLOB, f REAL, g)")
	query(t, d, "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", "2024-01-02 03:04:05", "2024-01-02", int64(1700000000), true, []byte{}, 1.0, "a\x00b")
	query(t, d, "INSERT INTO t(a, e, g) VALUES (?, ?, ?)", f.now, []byte(nil), nil)
	same(t, "rows", query(t, d, "SELECT * FROM t"), [][]any{
		{"2024-01-02 03:04:05", "2024-01-02", int64(1700000000), int64(1), []byte{}, 1.0, "a\x00b"},
		{"2030-01-01 00:00:00+00:00", nil, nil, nil, nil, nil, nil},
	})
	cur, err := d.Query(context.Background(), "SELECT a, g + 1 AS sum, count(*) FROM t", nil)
	check(t, err)
	same(t, "columns", cur.Columns(), []Column{{"a", "DATETIME"}, {"sum", ""}, {"count(*)", ""}})
	check(t, cur.Close())
	query(t, d, "ALTER TABLE t ADD COLUMN h INT")
	cur, err = d.Query(context.Background(), "SELECT * FROM t", nil)
	check(t, err)
	same(t, "columns", len(cur.Columns()), 8)
	check(t, cur.Close())
	check(t, cur.Close())
	_, err = try(d, "SELECT ?", struct{}{})
	fails(t, err, "struct {}")
}

func TestArguments(t *testing.T) {
	f := open(t)
	d := f.room(1)
	arg := func(name string, value any) driver.NamedValue { return driver.NamedValue{Name: name, Value: value} }
	same(t, "by position", query(t, d, "SELECT ?, ?2, ?1", "a", "b"), [][]any{{"a", "b", "a"}})
	same(t, "numbered", query(t, d, "SELECT $2, $1", "a", "b"), [][]any{{"b", "a"}})
	same(t, "names by position", query(t, d, "SELECT :x, @y, :x", "a", "b"), [][]any{{"a", "b", "a"}})
	same(t, "by name", query(t, d, "SELECT :b, @a, $a", arg("a", "1"), arg("b", "2")), [][]any{{"2", "1", "1"}})
	same(t, "last of several", query(t, d, "CREATE TABLE t(x); INSERT INTO t VALUES (7); SELECT x + ? FROM t", int64(1)), [][]any{{int64(8)}})
	for _, test := range []struct {
		text string
		args []any
	}{
		{"SELECT ?", nil}, {"SELECT 1", []any{"a"}}, {"SELECT ?, ?", []any{"a"}}, {"SELECT ?", []any{"a", "b"}}, {"INSERT INTO t VALUES (?); SELECT 1", []any{"a"}},
	} {
		_, err := try(d, test.text, test.args...)
		fails(t, err, "Wrong number of parameter bindings for SQL query.")
	}
	_, err := try(d, "SELECT :a, :b", arg("a", "1"), arg("c", "2"))
	fails(t, err, ":b")
	_, err = try(d, "SELECT :a", arg("a", "1"), arg("c", "2"))
	fails(t, err, "Wrong number")
}

func TestOutcomeOfWrites(t *testing.T) {
	f := open(t)
	d := f.room(1)
	run := func(text string, args ...any) *Cursor {
		t.Helper()
		cur, err := d.Query(context.Background(), text, named(args))
		check(t, err)
		_, done, err := cur.Next(0, 0)
		check(t, err)
		same(t, "done", done, true)
		return cur
	}
	cur := run("CREATE TABLE t(id INTEGER PRIMARY KEY, x UNIQUE)")
	same(t, "wrote", cur.wrote, true)
	cur = run("INSERT INTO t(x) VALUES (1), (2), (3)")
	same(t, "affected", []int64{cur.RowsAffected(), cur.LastInsertID()}, []int64{3, 3})
	cur = run("UPDATE t SET x = x + 10 WHERE x > 1 RETURNING x")
	same(t, "affected", cur.RowsAffected(), int64(2))
	cur = run("SELECT * FROM t")
	same(t, "read", []any{cur.RowsAffected(), cur.wrote}, []any{int64(0), false})
	cur = run("CREATE TABLE u(x)")
	same(t, "affected by DDL", cur.RowsAffected(), int64(0))
	_, err := try(d, "INSERT INTO t(x) VALUES (1)")
	same(t, "error", err.Error(), "UNIQUE constraint failed: t.x: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)")
	_, err = try(d, "SELEC 1")
	same(t, "error", err.Error(), `near "SELEC": syntax error at offset 0: SQLITE_ERROR`)
	// Statements before the one at fault have run, and a failing one leaves nothing.
	_, err = try(d, "INSERT INTO u VALUES (1); INSERT INTO t(x) VALUES (5), (1)")
	fails(t, err, "UNIQUE")
	same(t, "rows", query(t, d, "SELECT (SELECT count(*) FROM u), (SELECT count(*) FROM t)"), [][]any{{int64(1), int64(3)}})
	commit(t, d)
}

func TestCursorsNest(t *testing.T) {
	f := open(t)
	d := f.room(1)
	query(t, d, "CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3); CREATE TABLE log(x)")
	commit(t, d)
	ctx := context.Background()
	outer, err := d.Query(ctx, "SELECT x FROM t ORDER BY x", nil)
	check(t, err)
	sum := int64(0)
	for i := 0; ; i++ {
		rows, done, err := outer.Next(1, 0)
		check(t, err)
		for _, row := range rows {
			inner, err := d.Query(ctx, "SELECT x FROM t ORDER BY x", nil)
			check(t, err)
			rows, _, err := inner.Next(2, 0)
			check(t, err)
			sum += row[0].(int64) * rows[1][0].(int64)
			check(t, inner.Close())
			query(t, d, "INSERT INTO log VALUES (?)", row[0])
			put(t, d, "k", fmt.Sprint(sum))
			if i == 1 {
				commit(t, d)
			}
		}
		if done {
			break
		}
	}
	same(t, "sum", sum, int64(12))
	same(t, "log", query(t, d, "SELECT count(*) FROM log"), [][]any{{int64(3)}})

	// A statement that returns what it wrote and is not read to its end.
	writing, err := d.Query(ctx, "INSERT INTO t SELECT x + 10 FROM t RETURNING x", nil)
	check(t, err)
	rows, done, err := writing.Next(1, 0)
	check(t, err)
	same(t, "first", []any{rows, done}, []any{[][]any{{int64(11)}}, false})
	commit(t, d)
	rows, done, err = writing.Next(0, 0)
	check(t, err)
	same(t, "rest", []any{rows, done}, []any{[][]any{{int64(12)}, {int64(13)}}, true})
	same(t, "affected", writing.RowsAffected(), int64(3))

	left, err := d.Query(ctx, "SELECT x FROM t", nil)
	check(t, err)
	_, err = try(d, "DROP TABLE t")
	fails(t, err, "locked", "SQLITE_LOCKED")
	check(t, d.DeleteAll())
	_, _, err = left.Next(0, 0)
	fails(t, err, "SQLite query was canceled because the database was deleted.")
	check(t, d.Rollback())
	left, err = d.Query(ctx, "SELECT x FROM t", nil)
	check(t, err)
	check(t, d.Close())
	_, _, err = left.Next(0, 0)
	fails(t, err, "closed")
}

func TestMillionRowsInBoundedMemory(t *testing.T) {
	f := open(t)
	d := f.room(1)
	cur, err := d.Query(context.Background(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT "+fmt.Sprint(rows)+") SELECT i, 'some text of the row' FROM n", nil)
	check(t, err)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, most := 0, uint64(0)
	for done := false; !done; {
		var batch [][]any
		batch, done, err = cur.Next(0, 1<<16)
		check(t, err)
		n += len(batch)
		if len(batch) > 4096 {
			t.Fatalf("%d rows at once", len(batch))
		}
		if n/(rows/20) != (n-len(batch))/(rows/20) {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
		}
	}
	same(t, "rows", n, rows)
	if most > before.HeapInuse+32<<20 {
		t.Errorf("%d MB in use", most>>20)
	}
}

const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"

func TestQueryIsInterrupted(t *testing.T) {
	f := open(t)
	d := f.room(1)
	for _, wrote := range []bool{false, true} {
		ctx, cancel := context.WithCancelCause(context.Background())
		go func() {
			for d.mu.TryLock() {
				d.mu.Unlock()
				runtime.Gosched()
			}
			cancel(errors.New("enough"))
		}()
		_, err := d.Query(ctx, endless, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		fails(t, err, "interrupted: SQLITE_INTERRUPT")
		_, err = d.Query(ctx, "SELECT 1", nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if wrote {
			break
		}
		put(t, d, "k", "1")
	}
	same(t, "still there", get(t, d, "k"), "1")
	commit(t, d)
	query(t, d, "CREATE TABLE t(i)")
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				d.Interrupt() // once could be before it begins
				runtime.Gosched()
			}
		}
	}()
	_, err := try(d, "INSERT INTO t "+endless)
	close(done)
	<-ended
	fails(t, err, "SQLITE_INTERRUPT")
	_, err = d.Get("k")
	fails(t, err, "rolled back", "SQLITE_INTERRUPT")
	same(t, "dirty", d.Dirty(), true)
	_, err = d.Commit()
	fails(t, err, "rolled back", "SQLITE_INTERRUPT")
	same(t, "dirty", d.Dirty(), false)
	same(t, "committed value", get(t, d, "k"), "1")
	_, err = try(d, "SELECT * FROM t")
	fails(t, err, "no such table")
	d.Interrupt() // nothing runs
	same(t, "value", get(t, d, "k"), "1")
}

func TestCursorEndsWithContext(t *testing.T) {
	f := open(t)
	d := f.room(1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	cur, err := d.Query(ctx, strings.Replace(endless, "count(*)", "i", 1), nil)
	check(t, err)
	_, _, err = cur.Next(10, 0)
	check(t, err)
	cancel()
	_, _, err = cur.Next(10, 0)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	_, done, err := cur.Next(10, 0)
	if !errors.Is(err, context.Canceled) || !done {
		t.Errorf("%v", err)
	}
}

func TestStatementsAreKept(t *testing.T) {
	f := open(t)
	d := f.room(1)
	query(t, d, "CREATE TABLE t(x)")
	for i := range 1000 {
		query(t, d, "INSERT INTO t VALUES (?)", int64(i))
		query(t, d, fmt.Sprintf("SELECT %d", i))
	}
	if n := d.c.cache.order.Len(); n > cacheStatements || n < 100 {
		t.Errorf("%d statements", n)
	}
	if d.c.cache.byText["INSERT INTO t VALUES (?)"] == nil {
		t.Error("the statement in use is not kept")
	}
	same(t, "live", len(d.c.live) < cacheStatements+50, true)
	query(t, d, "DROP TABLE t; CREATE TABLE t(x, y)")
	_, err := try(d, "INSERT INTO t VALUES (?)", "a")
	fails(t, err, "table t has 2 columns but 1 values were supplied")
}
