//go:build !partyplugin && !js

package party

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

func init() { apps["keeper"] = keeperApp }

func keeperApp() App {
	return App{Servers: Servers{
		"Keeper": ClassOf[Keeper](Options{Hibernate: true}),
		"Plain":  ClassOf[Bare](),
	}}
}

// Keeper does one of the steps, by the parameter do of a request or by a
// message. What a step writes is the answer.
type Keeper struct {
	Server
	alarm func(ctx context.Context, a AlarmInfo) error
	log   []string
}

func (k *Keeper) OnRequest(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("do")
	f := steps[name]
	if b, ok := strings.CutPrefix(name, "restore "); ok {
		f = func(k *Keeper, _ context.Context, w io.Writer) error {
			undo, err := k.Storage().RestoreBookmark(b)
			fmt.Fprint(w, undo)
			return err
		}
	}
	if f == nil {
		http.Error(w, "no step "+name, http.StatusNotFound)
		return
	}
	var b strings.Builder
	if err := f(k, r.Context(), &b); err != nil {
		fmt.Fprintf(&b, "error: %v", err)
	}
	_, _ = io.WriteString(w, b.String())
}

func (k *Keeper) OnMessage(ctx context.Context, conn *Connection, msg Message) error {
	var b strings.Builder
	err := steps[msg.String()](k, ctx, &b)
	if b.Len() > 0 {
		_ = conn.Send(Text(b.String()))
	}
	return err
}

func (k *Keeper) OnAlarm(ctx context.Context, a AlarmInfo) error {
	k.Broadcast(Text(fmt.Sprintf("alarm %d %t %s", a.RetryCount, a.IsRetry, a.ScheduledTime.Sub(epoch))))
	var step string
	if ok, err := k.Storage().Get("onalarm", &step); err != nil || !ok {
		return err
	}
	return steps[step](k, ctx, io.Discard)
}

// Note is called by other rooms.
func (k *Keeper) Note(ctx context.Context, text string) error { return k.Storage().Put("note", text) }

// Noted returns what Note was given.
func (k *Keeper) Noted(context.Context) (string, error) {
	var s string
	_, err := k.Storage().Get("note", &s)
	return s, err
}

type step = func(k *Keeper, ctx context.Context, w io.Writer) error

var errStep = errors.New("on purpose")

var steps = map[string]step{}

func init() {
	put := func(key string, v any) step {
		return func(k *Keeper, _ context.Context, _ io.Writer) error { return k.Storage().Put(key, v) }
	}
	maps.Copy(steps, map[string]step{
		"put":      put("a", 1),
		"get":      func(k *Keeper, _ context.Context, w io.Writer) error { return k.show(w, "a") },
		"put fail": func(k *Keeper, _ context.Context, _ io.Writer) error { _ = k.Storage().Put("a", 2); return errStep },
		"put panic": func(k *Keeper, _ context.Context, _ io.Writer) error {
			_ = k.Storage().Put("a", 3)
			panic("on purpose")
		},
		"put abort": func(k *Keeper, _ context.Context, _ io.Writer) error {
			_ = k.Storage().Put("a", 4)
			k.Abort("on purpose")
			return nil
		},
		"put sync abort": func(k *Keeper, ctx context.Context, _ io.Writer) error {
			_ = k.Storage().Put("a", 5)
			if err := k.Storage().Sync(ctx); err != nil {
				return err
			}
			_ = k.Storage().Put("a", 6)
			k.Abort("on purpose")
			return nil
		},
		"kinds": func(k *Keeper, _ context.Context, w io.Writer) error {
			s := k.Storage()
			if err := s.PutMany(map[string]any{"bytes": []byte{0, 1, 255}, "text": "é", "number": 2.5, "null": nil, "list": []int{1, 2}}); err != nil {
				return err
			}
			var b []byte
			if _, err := s.Get("bytes", &b); err != nil {
				return err
			}
			m, err := s.GetMany("text", "number", "null", "list", "missing", "bytes")
			if err != nil {
				return err
			}
			all, _ := json.Marshal(m)
			fmt.Fprintf(w, "%v %s", b, all)
			n, err := s.Delete("text", "missing")
			fmt.Fprintf(w, " %d", n)
			return err
		},
		"lists": func(k *Keeper, _ context.Context, w io.Writer) error {
			s := k.Storage()
			for _, key := range []string{"a", "b", "c", "ca", "\uffff", "\U0001f600"} {
				if err := s.Put(key, true); err != nil {
					return err
				}
			}
			for _, o := range []ListOptions{{}, {Start: "b"}, {StartAfter: "b"}, {End: "c"}, {Prefix: "c"}, {Reverse: true, Limit: 2}, {Start: "b", End: "ca", Reverse: true}} {
				var keys []string
				for key := range s.List(o) {
					keys = append(keys, key)
				}
				fmt.Fprintf(w, "%q ", keys)
			}
			return nil
		},
		"list many": func(k *Keeper, _ context.Context, w io.Writer) error {
			for i := range 1000 {
				if err := k.Storage().Put(fmt.Sprintf("k%04d", i), i); err != nil {
					return err
				}
			}
			n, last := 0, ""
			for key := range k.Storage().List(ListOptions{Prefix: "k"}) {
				if key <= last {
					return fmt.Errorf("%s after %s", key, last)
				}
				n, last = n+1, key
			}
			limited := 0
			for range k.Storage().List(ListOptions{Prefix: "k", Limit: 600, Reverse: true}) {
				limited++
			}
			fmt.Fprint(w, n, " ", limited)
			return nil
		},
		"bad list": func(k *Keeper, _ context.Context, _ io.Writer) error {
			for range k.Storage().List(ListOptions{Start: "a", StartAfter: "b"}) {
			}
			return nil
		},
		"limits": func(k *Keeper, _ context.Context, w io.Writer) error {
			s, keys := k.Storage(), make([]string, 129)
			many := map[string]any{}
			for i := range keys {
				keys[i] = fmt.Sprint(i)
				many[keys[i]] = i
			}
			_, err := s.GetMany(keys...)
			for _, err := range []error{s.Put(strings.Repeat("k", 2049), 1), s.Put("k", make([]byte, 2<<20)), s.PutMany(many), err} {
				fmt.Fprintf(w, "%t %v\n", errors.Is(err, ErrTooLarge), err)
			}
			return nil
		},
		"transactions": func(k *Keeper, _ context.Context, w io.Writer) error {
			s := k.Storage()
			_ = s.Put("a", "before")
			err := s.Transaction(func() error {
				_ = s.Put("a", "outer")
				inner := s.Transaction(func() error { _ = s.Put("a", "inner"); return errStep })
				fmt.Fprint(w, errors.Is(inner, errStep), " ")
				_ = k.show(w, "a")
				fmt.Fprint(w, " ", s.DeleteAll() != nil, " ")
				return errStep
			})
			fmt.Fprint(w, errors.Is(err, errStep), " ")
			return k.show(w, "a")
		},
		"panicking transaction": func(k *Keeper, _ context.Context, w io.Writer) error {
			_ = k.Storage().Put("a", "before")
			func() {
				defer func() { _ = recover() }()
				_ = k.Storage().Transaction(func() error { _ = k.Storage().Put("a", "inside"); panic("on purpose") })
			}()
			return k.show(w, "a")
		},
		"delete all": func(k *Keeper, ctx context.Context, w io.Writer) error {
			_ = k.Storage().Put("a", 1)
			if _, err := k.Storage().SQL().ExecContext(ctx, "CREATE TABLE t (x)"); err != nil {
				return err
			}
			if err := k.Storage().DeleteAll(); err != nil {
				return err
			}
			_, err := k.Storage().SQL().ExecContext(ctx, "SELECT * FROM t")
			fmt.Fprint(w, err != nil, " ")
			return k.show(w, "a")
		},
		"outside": func(k *Keeper, ctx context.Context, w io.Writer) error {
			done := make(chan error)
			k.WaitUntil(func(ctx context.Context) error {
				var errs []error
				for !k.atRest() { // this turn must be over
				}
				errs = append(errs, k.Storage().Put("a", 1))
				_, err := k.Storage().SQL().ExecContext(ctx, "SELECT 1")
				errs = append(errs, err)
				err = k.Do(ctx, func(context.Context) error { return k.Storage().Put("a", "from Do") })
				for _, e := range append(errs, err) {
					k.log = append(k.log, fmt.Sprint(errors.Is(e, ErrNoTurn)))
				}
				k.Broadcast(Text(strings.Join(k.log, " ")))
				return nil
			})
			close(done)
			return nil
		},
		"call": func(k *Keeper, ctx context.Context, w io.Writer) error {
			_ = k.Storage().Put("a", "called")
			stub, err := ServerByName(ctx, "Keeper", "other")
			if err != nil {
				return err
			}
			_, err = Call[any](ctx, stub, "Note", "from "+k.Name())
			if err != nil {
				return err
			}
			k.Abort("after the call")
			return nil
		},
		"call in transaction": func(k *Keeper, ctx context.Context, w io.Writer) error {
			return k.Storage().Transaction(func() error {
				_ = k.Storage().Put("a", 1)
				_, err := ServerByName(ctx, "Keeper", "other")
				return err
			})
		},
		"held": func(k *Keeper, ctx context.Context, w io.Writer) error {
			k.Broadcast(Text("before the write"))
			db := k.Storage().SQL()
			for _, q := range []string{
				"CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY)",
				"CREATE TABLE IF NOT EXISTS child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
				"INSERT INTO child VALUES (42)",
			} {
				if _, err := db.ExecContext(ctx, q); err != nil {
					return err
				}
			}
			k.Broadcast(Text("behind the write"))
			return nil
		},
		"saved": func(k *Keeper, _ context.Context, _ io.Writer) error {
			_ = k.Storage().Put("a", "saved")
			k.Broadcast(Text("saved"))
			return nil
		},
		"alarm in 1m": func(k *Keeper, _ context.Context, _ io.Writer) error {
			return k.Storage().SetAlarm(k.Now().Add(time.Minute))
		},
		"alarm in the past": func(k *Keeper, _ context.Context, _ io.Writer) error {
			return k.Storage().SetAlarm(k.Now().Add(-time.Hour))
		},
		"alarm fails":   put("onalarm", "fail"),
		"alarm sets":    put("onalarm", "set and fail"),
		"alarm deletes": put("onalarm", "delete and fail"),
		"alarm looks":   put("onalarm", "alarm?"),
		"alarm writes":  put("onalarm", "put fail"),
		"fail":          func(*Keeper, context.Context, io.Writer) error { return errStep },
		"set and fail": func(k *Keeper, _ context.Context, _ io.Writer) error {
			_ = k.Storage().SetAlarm(k.Now().Add(time.Hour))
			_ = k.Storage().Put("onalarm", "nothing")
			return errStep
		},
		"delete and fail": func(k *Keeper, _ context.Context, _ io.Writer) error { _ = k.Storage().DeleteAlarm(); return errStep },
		"nothing":         func(*Keeper, context.Context, io.Writer) error { return nil },
		"delete alarm":    func(k *Keeper, _ context.Context, _ io.Writer) error { return k.Storage().DeleteAlarm() },
		"alarm?": func(k *Keeper, _ context.Context, w io.Writer) error {
			t, ok, err := k.Storage().Alarm()
			s := "none"
			if ok {
				s = t.Sub(epoch).String()
			}
			k.Broadcast(Text("alarm is " + s))
			fmt.Fprint(w, s)
			return err
		},
		"bad alarms": func(k *Keeper, _ context.Context, w io.Writer) error {
			fmt.Fprintln(w, k.Storage().SetAlarm(time.Unix(0, 0)))
			fmt.Fprintln(w, k.Storage().SetAlarm(time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC)))
			return nil
		},
		"rolled back alarm": func(k *Keeper, _ context.Context, _ io.Writer) error {
			_ = k.Storage().Transaction(func() error { _ = k.Storage().SetAlarm(k.Now().Add(time.Minute)); return errStep })
			return nil
		},
		"mark": func(k *Keeper, _ context.Context, w io.Writer) error {
			b, err := k.Storage().CurrentBookmark()
			fmt.Fprint(w, b)
			return err
		},
		"back": func(k *Keeper, ctx context.Context, w io.Writer) error {
			b, err := k.Storage().BookmarkForTime(k.Now().Add(-time.Minute))
			if err != nil {
				return err
			}
			undo, err := k.Storage().RestoreBookmark(b)
			fmt.Fprint(w, undo)
			return err
		},
		"size": func(k *Keeper, _ context.Context, w io.Writer) error {
			n, err := k.Storage().DatabaseSize()
			fmt.Fprint(w, n > 0 && n%4096 == 0)
			return err
		},
	})
}

// show writes the value of a key as JSON.
func (k *Keeper) show(w io.Writer, key string) error {
	m, err := k.Storage().GetMany(key)
	if err != nil {
		return err
	}
	if m[key] == nil {
		_, _ = io.WriteString(w, "missing")
		return nil
	}
	_, _ = w.Write(slices.Clone(m[key]))
	return nil
}

// atRest reports whether no turn runs.
func (k *Keeper) atRest() bool { return errors.Is(k.Storage().Put("a", 0), ErrNoTurn) }
