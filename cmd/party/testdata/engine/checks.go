package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
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
