package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

func (p *Probe) numbers(ctx context.Context) error {
	db := p.Storage().SQL()
	_, err := db.ExecContext(ctx, "CREATE TABLE n (i INTEGER, r REAL, x, t TEXT)")
	for _, v := range []int64{0, -1, 5, 1<<53 - 1, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MinInt64, 1_893_456_000_123_456_789} {
		_, e := db.ExecContext(ctx, "INSERT INTO n VALUES (?, ?, ?, ?)", v, float64(v)/2, v, v)
		var i, x int64
		var r float64
		var text, typ string
		e2 := db.QueryRowContext(ctx, "SELECT i, r, x, t, typeof(x) FROM n WHERE i = ? AND x = ?", v, v).Scan(&i, &r, &x, &text, &typ)
		err = errors.Join(err, e, e2, same("integer", i, v), same("real", r, float64(v)/2), same("any", x, v), same("text", text, fmt.Sprint(v)), same("type", typ, "integer"))
	}
	var half, whole, text string
	e := db.QueryRowContext(ctx, "SELECT typeof(? / 2), ? / 2, ? || ''", 5, 5, 5).Scan(&half, &whole, &text)
	err = errors.Join(err, e, same("division", half+whole+text, "integer25"))
	// Large numbers behind the first share of rows.
	_, e = db.ExecContext(ctx, `CREATE TABLE many (i INTEGER PRIMARY KEY, v);
		WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000)
		INSERT INTO many SELECT x, CASE WHEN x = 900 THEN 9223372036854775807 ELSE x END FROM c`)
	rows, e2 := db.QueryContext(ctx, "SELECT v FROM many WHERE i > ? ORDER BY i DESC", 10)
	if err = errors.Join(err, e, e2); err != nil {
		return err
	}
	defer rows.Close()
	want, n := int64(1000), 0
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			return err
		}
		if want == 900 {
			err = errors.Join(err, same("large", v, int64(math.MaxInt64)))
		} else {
			err = errors.Join(err, same("row", v, want))
		}
		want--
		n++
	}
	return errors.Join(err, rows.Err(), same("rows", n, 990))
}

func (p *Probe) types(ctx context.Context) error {
	db := p.Storage().SQL()
	_, err := db.ExecContext(ctx, "CREATE TABLE v (a, r REAL, d DOUBLE PRECISION)")
	_, e := db.ExecContext(ctx, "INSERT INTO v VALUES (?, 2, 3), (?, 2.5, 3.5), (?, NULL, NULL), (?, 1e300, 0.25)", []byte{1, 0, 2}, "x\x00y", nil, []byte{})
	rows, e2 := db.QueryContext(ctx, "SELECT a, r, d FROM v")
	if err = errors.Join(err, e, e2); err != nil {
		return err
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var a, r, d any
		if err := rows.Scan(&a, &r, &d); err != nil {
			return err
		}
		got = append(got, fmt.Sprintf("%T %v %T %v %T %v", a, a, r, r, d, d))
	}
	return errors.Join(rows.Err(), same("rows", got, []string{
		"[]uint8 [1 0 2] float64 2 float64 3", "string x\x00y float64 2.5 float64 3.5", "<nil> <nil> <nil> <nil> <nil> <nil>",
		"[]uint8 [] float64 1e+300 float64 0.25",
	}))
}

func (p *Probe) times(ctx context.Context) error {
	db := p.Storage().SQL()
	_, err := db.ExecContext(ctx, "CREATE TABLE log (id INTEGER PRIMARY KEY, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP, note TEXT); CREATE TABLE other (made TEXT)")
	want := time.Date(2030, 1, 2, 3, 4, 5, 600, time.UTC)
	_, e := db.ExecContext(ctx, "INSERT INTO log (made, note) VALUES (?, 'x')", want)
	var made, as time.Time
	e2 := db.QueryRowContext(ctx, "SELECT made, l.made AS at FROM log AS l").Scan(&made, &as)
	return errors.Join(err, e, e2, same("time", made, want), same("alias", as, want))
}

func (p *Probe) returning(ctx context.Context) error {
	db := p.Storage().SQL()
	_, err := db.ExecContext(ctx, `CREATE TABLE "r t" (id INTEGER PRIMARY KEY, at INTEGER, note TEXT)`)
	var id, at int64
	var note string
	const now = int64(1_893_456_000_123_456_789)
	e := db.QueryRowContext(ctx, `INSERT INTO "r t" (at, note) VALUES (@at, :note) RETURNING *`, sql.Named("note", "x"), sql.Named("at", now)).Scan(&id, &at, &note)
	err = errors.Join(err, e, same("inserted", fmt.Sprint(id, at, note), fmt.Sprint(1, now, "x")))
	e = db.QueryRowContext(ctx, `UPDATE "r t" SET at = at + ?1, note = ?2 WHERE id = ?3 RETURNING at AS moment, upper(note)`, 1, "y", 1).Scan(&at, &note)
	err = errors.Join(err, e, same("updated", fmt.Sprint(at, note), fmt.Sprint(now+1, "Y")))
	result, e := db.ExecContext(ctx, `DELETE FROM "r t" RETURNING id`)
	if err = errors.Join(err, e); err != nil {
		return err
	}
	n, e := result.RowsAffected()
	return errors.Join(e, same("deleted", n, 1))
}

func (p *Probe) rows(ctx context.Context) error {
	db := p.Storage().SQL()
	_, err := db.ExecContext(ctx, "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1), (2), (3); -- done")
	outer, e := db.QueryContext(ctx, "SELECT x FROM a ORDER BY x;")
	if err = errors.Join(err, e); err != nil {
		return err
	}
	defer outer.Close()
	var sum int
	for outer.Next() {
		var x, y int
		if err := outer.Scan(&x); err != nil {
			return err
		}
		if err := db.QueryRowContext(ctx, "SELECT x * 10 FROM a WHERE x = ?", x).Scan(&y); err != nil {
			return err
		}
		sum += x + y
	}
	return errors.Join(outer.Err(), same("sum", sum, 66))
}

func (p *Probe) results(ctx context.Context) error {
	db := p.Storage().SQL()
	var err error
	for _, c := range []struct {
		text         string
		id, affected int64
	}{
		{"CREATE TABLE c (id INTEGER PRIMARY KEY, x UNIQUE)", -1, 0},
		{"INSERT INTO c VALUES (7, 'a'), (8, 'b')", 8, 2},
		{"UPDATE c SET x = x || '!' WHERE id > 0", -1, 2},
		{"UPDATE c SET x = 1 WHERE id = 0", -1, 0},
		{"INSERT OR IGNORE INTO c VALUES (7, 'a')", -1, 0},
		{"WITH w AS (SELECT 7 AS i) DELETE FROM c WHERE id IN w", -1, 1},
		{"CREATE INDEX ci ON c (x)", -1, 0},
		{"INSERT INTO c VALUES (9223372036854775807, 'z')", math.MaxInt64, 1},
	} {
		if err := p.Storage().Put("also", "counted by SQLite"); err != nil {
			return err
		}
		r, e := db.ExecContext(ctx, c.text)
		if e != nil {
			return fmt.Errorf("%s: %w", c.text, e)
		}
		n, e := r.RowsAffected()
		id, e2 := r.LastInsertId()
		if c.id < 0 {
			id = c.id
		}
		err = errors.Join(err, e, e2, same(c.text, []int64{id, n}, []int64{c.id, c.affected}))
	}
	return err
}

func (p *Probe) refused(ctx context.Context) error {
	db := p.Storage().SQL()
	_, err := db.ExecContext(ctx, "CREATE TABLE u (x UNIQUE); INSERT INTO u VALUES (1)")
	for text, want := range map[string]string{
		"INSERT INTO u VALUES (1)":        "UNIQUE constraint failed: u.x",
		"SELECT missing FROM u":           "no such column: missing",
		"BEGIN":                           "",
		"ATTACH 'x' AS y":                 "not authorized",
		"CREATE TABLE _cf_x (a)":          "not authorized",
		"PRAGMA journal_mode":             "not authorized",
		"":                                "did not contain a statement",
		"-- only a comment":               "did not contain a statement",
		"SELECT ?":                        "Wrong number of parameter bindings",
		"SELECT 1; SELECT ?; SELECT 'x' ": "",
	} {
		if _, e := db.ExecContext(ctx, text); e == nil || !strings.Contains(e.Error(), want) {
			err = errors.Join(err, fmt.Errorf("%q: %v", text, e))
		}
	}
	return err
}

var errUndo = errors.New("undo")

func (p *Probe) sqlTx(ctx context.Context) error {
	db := p.Storage().SQL()
	_, err := db.ExecContext(ctx, "CREATE TABLE y (v)")
	for i := range 4 {
		tx, e := db.BeginTx(ctx, nil)
		if e != nil {
			return e
		}
		_, e = tx.ExecContext(ctx, "INSERT INTO y VALUES (?)", i)
		switch {
		case e != nil:
			return e
		case i == 3: // left open: undone with the turn
		case i%2 == 0:
			err = errors.Join(err, tx.Commit())
		default:
			err = errors.Join(err, tx.Rollback())
		}
	}
	var all string
	e := db.QueryRowContext(ctx, "SELECT group_concat(v) FROM y").Scan(&all)
	return errors.Join(err, e, same("rows", all, "0,2,3"))
}
