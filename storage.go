package party

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"time"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// Storage is a room's durable storage: a key-value store, an SQL database and
// one alarm, in one SQLite file that only this room has.
//
// A turn is a transaction: what it writes is committed together when the hook
// returns, also when it returns an error or panics. What it sends after a write
// leaves when that has committed, so whoever heard "saved" finds it again. If
// the commit fails, the room is reset and what was held is dropped.
//
// Its methods work during a turn only and fail with [ErrNoTurn] outside; use
// [Server.Do] from background work. Within a turn they are not safe for use
// from several goroutines at once.
type Storage struct{ s *guest.Storage }

// Get decodes the value of key into v, a pointer, and reports whether there was
// one; v is left alone where not. Bytes that were put as []byte need a *[]byte
// (or a *any).
func (s *Storage) Get(key string, v any) (bool, error) {
	all, err := s.s.Get([]string{key})
	if err != nil || len(all) == 0 {
		return false, err
	}
	if err := decodeEntry(all[0], v); err != nil {
		return true, fmt.Errorf("value of %q: %w", key, err)
	}
	return true, nil
}

// GetMany returns the values of at most 128 keys, without those that are
// missing. Values that were put as []byte come as JSON strings of base64.
func (s *Storage) GetMany(keys ...string) (map[string]json.RawMessage, error) {
	all, err := s.s.Get(keys)
	if err != nil {
		return nil, err
	}
	m := make(map[string]json.RawMessage, len(all))
	for _, e := range all {
		m[e.Key] = rawEntry(e)
	}
	return m, nil
}

// Put stores v as JSON, or as it is where it is a []byte. A key has at most
// 2048 bytes, key and value together at most 2 MiB; more is [ErrTooLarge].
func (s *Storage) Put(key string, v any) error {
	e, err := encodeEntry(key, v)
	if err != nil {
		return err
	}
	return s.s.Put([]wire.Entry{e})
}

// PutMany stores at most 128 values, all of them or none.
func (s *Storage) PutMany(values map[string]any) error {
	all := make([]wire.Entry, 0, len(values))
	for k, v := range values {
		e, err := encodeEntry(k, v)
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b wire.Entry) int { return compareStrings(a.Key, b.Key) })
	return s.s.Put(all)
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Delete deletes at most 128 keys and returns how many there were.
func (s *Storage) Delete(keys ...string) (int, error) { return s.s.Delete(keys) }

// DeleteAll deletes everything: values, tables and the alarm. It fails within a
// Transaction.
func (s *Storage) DeleteAll() error { return s.s.DeleteAll() }

// ListOptions is a range of keys, in the order of their UTF-8 bytes.
type ListOptions struct {
	Start      string // the first key; not together with StartAfter
	StartAfter string // the key before the first
	End        string // the key behind the last
	Prefix     string
	Reverse    bool // only the order: Start and End keep their meaning
	Limit      int  // 0: no limit
}

// List yields the keys in a range with their values, as GetMany returns them.
// It panics where it fails, which makes the failure the hook's error. The room
// may write while it goes on; whether that is seen is not defined.
func (s *Storage) List(o ListOptions) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		if o.Start != "" && o.StartAfter != "" {
			panic(errors.New("List: Start and StartAfter cannot be used together: leave one out"))
		}
		if o.Limit < 0 {
			panic(errors.New("List: Limit must be positive, or 0 for none"))
		}
		l := wire.List{Start: optional(o.Start), StartAfter: optional(o.StartAfter), End: optional(o.End), Prefix: o.Prefix, Reverse: o.Reverse}
		for left := o.Limit; ; {
			l.Limit = left
			all, more, err := s.s.List(l)
			if err != nil {
				panic(fmt.Errorf("List: %w", err))
			}
			for _, e := range all {
				if !yield(e.Key, rawEntry(e)) {
					return
				}
			}
			if !more || len(all) == 0 {
				return
			}
			if o.Limit > 0 {
				if left -= len(all); left <= 0 {
					return
				}
			}
			last := all[len(all)-1].Key
			if o.Reverse {
				l.End = &last
			} else {
				l.Start, l.StartAfter = nil, &last
			}
		}
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Transaction runs f and undoes what it wrote where it returns an error or
// panics; the error comes back. Transactions nest. Within one only storage may
// be used: calling another room fails.
func (s *Storage) Transaction(f func() error) (err error) {
	p, err := s.s.Savepoint()
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // a panic, or Goexit
			_ = p.End(true)
		}
	}()
	err = f()
	done = true
	if err != nil {
		return errors.Join(err, p.End(true))
	}
	return p.End(false)
}

// Sync commits what the turn wrote so far and returns when that is done. Call
// it before the turn does something outside, such as a request to another
// server, that must not happen without the write.
func (s *Storage) Sync(ctx context.Context) error { return s.s.Sync(ctx) }

// SQL is the room's database as database/sql knows it; sqlc, sqlx and goose
// work on it. All its connections are the room's one, so queries may run inside
// rows.Next. BeginTx opens a savepoint in the turn; one left open is undone at
// the turn's end. Transaction statements as text, ATTACH, names that begin with
// _cf_ and most pragmas are refused, as on the platform.
//
// Integers come as int64, floats as float64, text as string, blobs as []byte,
// NULL as nil. Times are stored as text, and come as time.Time from columns
// declared DATE, DATETIME or TIMESTAMP. Foreign keys are enforced.
func (s *Storage) SQL() *sql.DB { return s.s.SQL() }

// DatabaseSize is the size of the database in bytes.
func (s *Storage) DatabaseSize() (int64, error) { return s.s.Size() }

// SetAlarm lets OnAlarm run at t, also where the room sleeps or the server is
// started again; a t in the past means at once. A room has one alarm: setting
// it replaces it. It fails where the class has no OnAlarm.
func (s *Storage) SetAlarm(t time.Time) error { return s.s.SetAlarm(t) }

// Alarm returns the alarm's time. While OnAlarm runs there is none, unless it
// has set one.
func (s *Storage) Alarm() (t time.Time, ok bool, err error) { return s.s.Alarm() }

// DeleteAlarm deletes the alarm, if there is one.
func (s *Storage) DeleteAlarm() error { return s.s.DeleteAlarm() }

// AlarmInfo tells OnAlarm about its run. An alarm whose hook fails runs again
// after about 2, 4, 8, 16, 32 and 64 seconds, then it is given up (the
// platform's schedule).
type AlarmInfo struct {
	RetryCount    int // failed runs before this one
	IsRetry       bool
	ScheduledTime time.Time // what SetAlarm was given
}

// CurrentBookmark names the state of the database at its last commit: what the
// turn has written is part of it only behind a [Storage.Sync]. Bookmarks sort in
// the order of time.
func (s *Storage) CurrentBookmark() (string, error) { return s.s.Bookmark() }

// BookmarkForTime names the state of the database at t, at most 24 hours ago.
func (s *Storage) BookmarkForTime(t time.Time) (string, error) { return s.s.BookmarkAt(t) }

// RestoreBookmark lets the database go back to a bookmark when the room starts
// next; call [Server.Abort] to start it at once. undo names the state from
// before.
func (s *Storage) RestoreBookmark(bookmark string) (undo string, err error) {
	return s.s.RestoreBookmark(bookmark)
}

func encodeEntry(key string, v any) (wire.Entry, error) {
	if b, ok := v.([]byte); ok {
		return wire.Entry{Key: key, Value: b, Blob: true}, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return wire.Entry{}, fmt.Errorf("value of %q: %w", key, err)
	}
	return wire.Entry{Key: key, Value: b}, nil
}

func decodeEntry(e wire.Entry, v any) error {
	if !e.Blob {
		return json.Unmarshal(e.Value, v)
	}
	switch v := v.(type) {
	case *[]byte:
		*v = e.Value
		return nil
	case *any:
		*v = e.Value
		return nil
	case *json.RawMessage:
		*v = rawEntry(e)
		return nil
	}
	if t := reflect.ValueOf(v); t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Slice && t.Elem().Type().Elem().Kind() == reflect.Uint8 {
		t.Elem().SetBytes(e.Value)
		return nil
	}
	return fmt.Errorf("it was put as []byte, so get it with a *[]byte and not a %T", v)
}

// rawEntry is a value as JSON.
func rawEntry(e wire.Entry) json.RawMessage {
	if !e.Blob {
		return e.Value
	}
	b, _ := json.Marshal(e.Value) // base64
	return b
}
