package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/goparty/party"
)

// checks are run in a turn of a room that nobody else uses.
var checks = map[string]func(p *Probe, ctx context.Context) error{
	"values":       (*Probe).values,
	"bytes":        (*Probe).bytes,
	"list":         (*Probe).list,
	"large-values": (*Probe).largeValues,
	"delete-all":   (*Probe).deleteAll,
	"numbers":      (*Probe).numbers,
	"types":        (*Probe).types,
	"times":        (*Probe).times,
	"returning":    (*Probe).returning,
	"rows":         (*Probe).rows,
	"results":      (*Probe).results,
	"refused":      (*Probe).refused,
	"transactions": (*Probe).transactions,
	"sql-tx":       (*Probe).sqlTx,
	"savepoint":    (*Probe).savepoint,
	"alarms":       (*Probe).alarms,
	"bookmarks":    (*Probe).bookmarks,
	"size":         (*Probe).size,
	"calls":        (*Probe).calls,
	"fetches":      (*Probe).fetches,
	"cycle":        (*Probe).cycle,
	"broken":       (*Probe).broken,
	"turns":        (*Probe).turns,
	"names":        (*Probe).names,
}

// All but one of these fail the check.
func same[T any](what string, got, want T) error {
	if reflect.DeepEqual(got, want) {
		return nil
	}
	return fmt.Errorf("%s: got %v, not %v", what, got, want)
}

func (p *Probe) values(context.Context) error {
	type thing struct {
		Name string  `json:"name"`
		Big  int64   `json:"big"`
		Half float64 `json:"half"`
	}
	s, want, got := p.Storage(), thing{"ünïcode 🎈 \u0000", math.MaxInt64, 0.5}, thing{}
	err := errors.Join(s.Put("thing", want), s.Put("null", nil), s.Put("", "empty key"), s.PutMany(map[string]any{"b": 2, "a": "1"}))
	found, e := s.Get("thing", &got)
	err = errors.Join(err, e, same("found", found, true), same("value", got, want))
	found, e = s.Get("nothing", &got)
	err = errors.Join(err, e, same("not found", found, false))
	many, e := s.GetMany("b", "thing", "nothing", "a", "", "null")
	err = errors.Join(err, e, same("many", fmt.Sprintf("%d %s %s %s %s", len(many), many["b"], many["a"], many[""], many["null"]), `5 2 "1" "empty key" null`))
	n, e := s.Delete("a", "b", "nothing")
	return errors.Join(err, e, same("deleted", n, 2))
}

func (p *Probe) bytes(context.Context) error {
	var got []byte
	want := []byte{0, 1, 255, 0}
	s := p.Storage()
	err := errors.Join(s.Put("bytes", want), s.Put("none", []byte{}))
	_, e := s.Get("bytes", &got)
	err = errors.Join(err, e, same("bytes", got, want))
	_, e = s.Get("none", &got)
	many, e2 := s.GetMany("bytes")
	return errors.Join(err, e, e2, same("none", len(got), 0), same("as JSON", string(many["bytes"]), `"AAH/AA=="`))
}

func (p *Probe) list(context.Context) error {
	s := p.Storage()
	var err error
	for i := range 5 {
		all := map[string]any{}
		for j := range 120 {
			all[fmt.Sprintf("k:%03d", 120*i+j)] = 120*i + j
		}
		err = errors.Join(err, s.PutMany(all))
	}
	err = errors.Join(err, s.Put("k;", "behind"), s.Put("j", "before"), s.Put("ü", 1), s.Put("\uffff", 2), s.Put("🎈", 3))
	keys := func(o party.ListOptions) string {
		var all []string
		for k := range s.List(o) {
			all = append(all, k)
		}
		if len(all) > 6 {
			return fmt.Sprint(len(all), " ", all[0], " ", all[len(all)-1])
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct {
		o    party.ListOptions
		want string
	}{
		{party.ListOptions{Prefix: "k:"}, "600 k:000 k:599"},
		{party.ListOptions{Prefix: "k:", Reverse: true}, "600 k:599 k:000"},
		{party.ListOptions{Prefix: "k:", Limit: 300}, "300 k:000 k:299"},
		{party.ListOptions{Start: "k:597", End: "k;"}, "k:597 k:598 k:599"},
		{party.ListOptions{StartAfter: "k:597", Prefix: "k:", Reverse: true}, "k:599 k:598"},
		{party.ListOptions{Start: "l"}, "ü \uffff 🎈"},
		{party.ListOptions{Start: "z", End: "a"}, ""},
		{party.ListOptions{End: "k"}, "j"},
	} {
		err = errors.Join(err, same(fmt.Sprintf("%+v", c.o), keys(c.o), c.want))
	}
	for _, v := range s.List(party.ListOptions{Prefix: "k:", Limit: 1}) {
		err = errors.Join(err, same("value", string(v), "0"))
	}
	return err
}

func (p *Probe) largeValues(context.Context) error {
	s := p.Storage()
	var err error
	for name, text := range map[string]string{
		"ascii": strings.Repeat("x", 2<<20-100),
		"mixed": strings.Repeat("x", 2<<20-200) + "🎈ü",
		"wide":  strings.Repeat("語", 600_000),
	} {
		var got string
		err = errors.Join(err, s.Put(name, text))
		_, e := s.Get(name, &got)
		err = errors.Join(err, e, same(name, got == text, true))
	}
	if e := s.Put("too large", strings.Repeat("x", 2<<20)); !errors.Is(e, party.ErrTooLarge) {
		err = errors.Join(err, fmt.Errorf("too large: %v", e))
	}
	return err
}

func (p *Probe) deleteAll(ctx context.Context) error {
	s := p.Storage()
	err := errors.Join(s.Put("a", 1), s.SetAlarm(p.Now().Add(time.Hour)))
	_, e := s.SQL().Exec("CREATE TABLE t (a)")
	err = errors.Join(err, e, s.DeleteAll())
	_, set, e := s.Alarm()
	found, e2 := s.Get("a", new(int))
	var n int
	e3 := s.SQL().QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 't'").Scan(&n)
	return errors.Join(err, e, e2, e3, same("alarm", set, false), same("value", found, false), same("tables", n, 0))
}

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

func (p *Probe) transactions(ctx context.Context) error {
	s := p.Storage()
	db := s.SQL()
	_, err := db.ExecContext(ctx, "CREATE TABLE x (v)")
	at := p.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	err = errors.Join(err, s.SetAlarm(at), s.Put("k", "before"))
	e := s.Transaction(func() error {
		_, e := db.ExecContext(ctx, "INSERT INTO x VALUES (1)")
		return errors.Join(e, s.Put("k", "within"), s.DeleteAlarm(), errUndo)
	})
	if !errors.Is(e, errUndo) {
		err = errors.Join(err, fmt.Errorf("undone: %w", e))
	}
	e = s.Transaction(func() error {
		_, e := db.ExecContext(ctx, "INSERT INTO x VALUES (2)")
		inner := s.Transaction(func() error {
			_, e := db.ExecContext(ctx, "INSERT INTO x VALUES (3)")
			return errors.Join(e, errUndo)
		})
		if !errors.Is(inner, errUndo) {
			return fmt.Errorf("inner: %w", inner)
		}
		return e
	})
	var panicked any
	func() {
		defer func() { panicked = recover() }()
		_ = s.Transaction(func() error {
			_, _ = db.ExecContext(ctx, "INSERT INTO x VALUES (4)")
			panic("out of it")
		})
	}()
	var all, k string
	e2 := db.QueryRowContext(ctx, "SELECT group_concat(v) FROM x").Scan(&all)
	_, e3 := s.Get("k", &k)
	got, _, e4 := s.Alarm()
	var call error
	e5 := s.Transaction(func() error {
		_, call = party.ServerByName(ctx, "probe", "somebody")
		return nil
	})
	if call == nil {
		err = errors.Join(err, errors.New("a call within a Transaction went through"))
	}
	return errors.Join(err, e, e2, e3, e4, e5, same("rows", all, "2"), same("value", k, "before"), same("alarm", got, at), same("panic", fmt.Sprint(panicked), "out of it"))
}

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

// savepoint looks at what sqlTx has left behind, in the same room.
func (p *Probe) savepoint(ctx context.Context) error {
	var all string
	err := p.Storage().SQL().QueryRowContext(ctx, "SELECT group_concat(v) FROM y").Scan(&all)
	return errors.Join(err, same("rows", all, "0,2"))
}

func (p *Probe) alarms(context.Context) error {
	s := p.Storage()
	_, set, err := s.Alarm()
	at := p.Now().Add(time.Hour)
	err = errors.Join(err, same("none", set, false), s.SetAlarm(at))
	got, set, e := s.Alarm()
	err = errors.Join(err, e, same("set", set, true), same("time", got, at.Truncate(time.Millisecond).UTC()), s.DeleteAlarm())
	_, set, e = s.Alarm()
	err = errors.Join(err, e, same("deleted", set, false))
	if e := s.SetAlarm(time.Unix(0, 0)); e == nil {
		err = errors.Join(err, errors.New("an alarm in 1970"))
	}
	return err
}

func (p *Probe) bookmarks(ctx context.Context) error {
	s := p.Storage()
	a, err := s.CurrentBookmark()
	err = errors.Join(err, s.Put("a", 1), s.Sync(ctx))
	b, e := s.CurrentBookmark()
	if a == "" || b < a {
		err = errors.Join(err, fmt.Errorf("bookmarks %q and %q", a, b))
	}
	return errors.Join(err, e)
}

func (p *Probe) size(context.Context) error {
	n, err := p.Storage().DatabaseSize()
	if n < 4096 {
		err = errors.Join(err, fmt.Errorf("a size of %d", n))
	}
	return err
}

// Add is called by other rooms.
func (p *Probe) Add(_ context.Context, a, b int) (int, error) { return a + b, nil }

// Fail fails.
func (p *Probe) Fail(context.Context) error { return errors.New("failed on purpose") }

// Call calls another room, which calls on.
func (p *Probe) Call(ctx context.Context, rooms []string) (string, error) {
	if len(rooms) == 0 {
		return p.Name(), nil
	}
	stub, err := party.ServerByName(ctx, "probe", rooms[0])
	if err != nil {
		return "", err
	}
	s, err := party.Call[string](ctx, stub, "Call", rooms[1:])
	return p.Name() + " " + s, err
}

func (p *Probe) calls(ctx context.Context) error {
	stub, err := party.ServerByName(ctx, "Plain", p.Name()+"-callee", party.StubOptions{Props: "told"})
	if err != nil {
		return err
	}
	n, err := party.Call[int](ctx, stub, "Add", 20, 22)
	err = errors.Join(err, same("sum", n, 42))
	if _, e := party.Call[any](ctx, stub, "Fail"); e == nil || !strings.Contains(e.Error(), "failed on purpose") {
		err = errors.Join(err, fmt.Errorf("Fail: %v", e))
	}
	if _, e := party.Call[any](ctx, stub, "Missing"); e == nil || !strings.Contains(e.Error(), "no method Missing") {
		err = errors.Join(err, fmt.Errorf("Missing: %v", e))
	}
	if _, e := party.ServerByName(ctx, "nobody", "x"); e == nil {
		err = errors.Join(err, errors.New("a class that is not there"))
	}
	s, e := p.Call(ctx, []string{p.Name() + "-1", p.Name() + "-2"})
	return errors.Join(err, e, same("chain", s, p.Name()+" "+p.Name()+"-1 "+p.Name()+"-2"))
}

func (p *Probe) fetches(ctx context.Context) error {
	stub, err := party.ServerByName(ctx, "probe", p.Name()+"-fetched", party.StubOptions{Props: "told"})
	if err != nil {
		return err
	}
	get := func(method, page string, body io.Reader) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, method, "/parties/probe/x/"+page, body)
		if err != nil {
			return 0, "", err
		}
		resp, err := stub.Fetch(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	status, body, err := get("GET", "props", nil)
	err = errors.Join(err, same("props", fmt.Sprint(status, " ", body), "200 told"))
	status, body, e := get("GET", "large", nil)
	err = errors.Join(err, e, same("large", fmt.Sprint(status, len(body)), fmt.Sprint(200, 4<<20)))
	for _, n := range []int{0, 5, 100_000, 3 << 20} {
		status, body, e = get("POST", "count", bytes.NewReader(make([]byte, n)))
		err = errors.Join(err, e, same("posted", fmt.Sprint(status, " ", body), fmt.Sprint(200, " ", n, " EOF\n")))
	}
	status, _, e = get("GET", "status", nil)
	return errors.Join(err, e, same("status", status, http.StatusNoContent))
}

func (p *Probe) cycle(ctx context.Context) error {
	var err error
	for _, rooms := range [][]string{{p.Name()}, {p.Name() + "-1", p.Name()}, {p.Name() + "-1", p.Name() + "-2", p.Name() + "-1"}} {
		if _, e := p.Call(ctx, rooms); e == nil || !strings.Contains(e.Error(), "call cycle: probe/") {
			err = errors.Join(err, fmt.Errorf("%v: %v", rooms, e))
		}
	}
	return err
}

// Both calls the other room once both are in a turn.
func (p *Probe) Both(ctx context.Context, other string) (string, error) {
	if err := p.Sleep(ctx, 100*time.Millisecond); err != nil {
		return "", err
	}
	stub, err := party.ServerByName(ctx, "probe", other)
	if err != nil {
		return "", err
	}
	_, err = party.Call[int](ctx, stub, "Add", 1, 1)
	if errors.Is(err, party.ErrCycle) {
		return "cycle", nil
	}
	return "through", err
}

func (p *Probe) broken(ctx context.Context) error {
	_, err := party.ServerByName(ctx, "probe", "broken-"+p.Name())
	if err == nil || !strings.Contains(err.Error(), "it does not start") {
		return fmt.Errorf("a room that does not start: %w", err)
	}
	return nil
}

func (p *Probe) turns(ctx context.Context) error {
	err := p.Do(ctx, func(context.Context) error { return nil })
	if !errors.Is(err, party.ErrInTurn) {
		return fmt.Errorf("Do in a turn: %w", err)
	}
	began := time.Now()
	if err := p.Sleep(ctx, 20*time.Millisecond); err != nil {
		return err
	}
	if took := time.Since(began); took < 15*time.Millisecond {
		return fmt.Errorf("a sleep of %s", took)
	}
	storage := p.Storage()
	done := make(chan error, 1)
	p.WaitUntil(func(ctx context.Context) error {
		done <- p.Do(ctx, func(context.Context) error { return storage.Put("later", 1) })
		return nil
	})
	select {
	case err := <-done:
		return fmt.Errorf("a second turn: %v", err)
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

func (p *Probe) names(context.Context) error {
	var v any
	if err := json.Unmarshal([]byte(`{}`), &v); err != nil {
		return err
	}
	if len(p.ID()) != 64 {
		return fmt.Errorf("an id of %d digits", len(p.ID()))
	}
	return errors.Join(same("class", p.Class(), "probe"), same("name", p.Name(), p.Name()))
}
