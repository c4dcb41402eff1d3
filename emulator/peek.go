package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage"
	"github.com/goparty/party/emulator/wire"
)

// reader looks at a room's committed storage, beside the room.
type reader struct {
	*storage.Database
	path string
}

// errNoFile is that a room has not written anything.
var errNoFile = errors.New("the room has no storage yet")

// reading lets f look into a room's storage.
func (e *Emulator) reading(a wire.Address, f func(db *reader) error) error {
	if e.store == nil {
		return errNoFile
	}
	db := e.store.Peek(a.Binding, a.ID())
	if _, err := os.Stat(db.Path()); err != nil {
		return errNoFile
	}
	return errors.Join(f(&reader{db, db.Path()}), db.Close())
}

// KV implements [inspect.Viewer].
func (e *Emulator) KV(_ context.Context, name string, q inspect.KVQuery) ([]inspect.KV, error) {
	a, err := e.find(name)
	if err != nil {
		return nil, err
	}
	all := []inspect.KV{}
	err = e.reading(a, func(db *reader) error {
		entries, err := db.entries(q)
		for _, en := range entries {
			kv := inspect.KV{Key: en.Key}
			if en.Blob {
				kv.Blob = en.Value
			} else {
				kv.Value = json.RawMessage(en.Value)
			}
			all = append(all, kv)
		}
		return err
	})
	if errors.Is(err, errNoFile) {
		err = nil
	}
	return all, err
}

func (db *reader) entries(q inspect.KVQuery) ([]storage.Entry, error) {
	if q.Key != "" {
		return db.Get(q.Key)
	}
	o := storage.ListOptions{Prefix: q.Prefix}
	if q.After != "" {
		o.StartAfter = &q.After
	}
	if q.Limit > 0 {
		o.Limit = &q.Limit
	}
	var all []storage.Entry
	for {
		part, more, err := db.List(o, 0)
		all = append(all, part...)
		if err != nil || !more {
			return all, err
		}
		o = o.Next(part[len(part)-1].Key, len(part))
	}
}

// ErrWrites is why SQL refuses a query.
var ErrWrites = errors.New("this query writes; say --write to let it, between two turns of the room")

// SQL implements [inspect.Viewer].
func (e *Emulator) SQL(ctx context.Context, name, query string, limit int) (*inspect.Rows, error) {
	a, err := e.find(name)
	if err != nil {
		return nil, err
	}
	if e.store == nil {
		return nil, errNoFile
	}
	db := &reader{e.store.Peek(a.Binding, a.ID()), ""} // without a file: an empty one
	rows, err := db.rows(ctx, query, limit)
	if errors.Is(err, storage.ErrReadOnly) {
		err = ErrWrites
	}
	return rows, errors.Join(err, db.Close())
}

func (db *reader) rows(ctx context.Context, query string, limit int) (*inspect.Rows, error) {
	c, err := db.Query(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return fetch(c, limit)
}

// fetch takes the rows of a cursor, at most limit (0: all).
func fetch(c *storage.Cursor, limit int) (*inspect.Rows, error) {
	rows := &inspect.Rows{Rows: [][]any{}}
	for _, col := range c.Columns() {
		rows.Columns = append(rows.Columns, col.Name)
	}
	for {
		want := 0
		if limit > 0 {
			want = limit + 1 - len(rows.Rows)
		}
		part, done, err := c.Next(want, 0)
		rows.Rows = append(rows.Rows, part...)
		rows.Affected = c.RowsAffected()
		if limit > 0 && len(rows.Rows) > limit {
			rows.Rows, rows.More = rows.Rows[:limit], true
			return rows, err
		}
		if err != nil || done {
			return rows, err
		}
	}
}

// describe adds what a room's storage holds.
func (db *reader) describe(ctx context.Context, d *inspect.RoomDetail) error {
	if size, err := db.Size(); err == nil {
		d.Size = size
	}
	entries, err := db.entries(inspect.KVQuery{})
	if err != nil {
		return err
	}
	d.Keys = len(entries)
	tables, err := db.rows(ctx, `SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_cf\_%' ESCAPE '\' ORDER BY name`, 0)
	if err != nil {
		return err
	}
	for _, row := range tables.Rows {
		t := inspect.Table{}
		t.Name, _ = row[0].(string)
		t.SQL, _ = row[1].(string)
		if n, err := db.rows(ctx, "SELECT count(*) FROM "+quoteName(t.Name), 0); err == nil && len(n.Rows) == 1 {
			t.Rows, _ = n.Rows[0][0].(int64)
		}
		d.Tables = append(d.Tables, t)
	}
	return nil
}

// quoteName quotes a name for SQL.
func quoteName(s string) string {
	q := []byte{'"'}
	for i := range len(s) {
		if s[i] == '"' {
			q = append(q, '"')
		}
		q = append(q, s[i])
	}
	return string(append(q, '"'))
}
