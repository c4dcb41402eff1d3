package storage

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"
)

// Entry is a key with its value: JSON text, or plain bytes where Blob is set.
type Entry struct {
	Key   string
	Value []byte
	Blob  bool
}

const (
	keyGet    = "SELECT value FROM _cf_KV WHERE key = ?"
	keyPut    = "INSERT OR REPLACE INTO _cf_KV(key, value) VALUES (?, ?)"
	keyDelete = "DELETE FROM _cf_KV WHERE key = ? RETURNING 1"
	keyTable  = "CREATE TABLE _cf_KV(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
)

// hasKeys reports whether there is a table of keys.
func (d *Database) hasKeys(c *conn) (bool, error) {
	if d.keysSure {
		return d.keys, nil
	}
	n, err := c.number(hasTable, "_cf_KV")
	if err == nil {
		d.keys, d.keysSure = n > 0, true
	}
	return n > 0, err
}

func checkKeys(n int) error {
	if n > maxKeys {
		return fmt.Errorf("Maximum number of key value pairs is %d. %d pairs were provided.", maxKeys, n)
	}
	return nil
}

func checkKey(key string) error {
	if len(key) > maxKey {
		return fmt.Errorf("Keys cannot be larger than %d bytes. A key of size %d was provided.", maxKey, len(key))
	}
	return nil
}

// entry is the key and value in two columns of the current row.
func (s *stmt) entry(key string, value int) Entry {
	return Entry{key, s.bytes(value), s.kind(value) == sqlite3.SQLITE_BLOB}
}

// Get returns the entries of those keys that exist, once each, ordered by the
// bytes of the keys. It takes at most maxKeys keys.
func (d *Database) Get(keys ...string) ([]Entry, error) {
	if err := checkKeys(len(keys)); err != nil {
		return nil, err
	}
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, err
		}
	}
	defer d.enter()()
	c, err := d.reading()
	if c == nil || err != nil {
		return nil, err
	}
	if ok, err := d.hasKeys(c); !ok || err != nil {
		return nil, d.failed(err)
	}
	if len(keys) > 1 {
		keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	}
	var entries []Entry
	for _, key := range keys {
		err := c.run(keyGet, func(s *stmt) { entries = append(entries, s.entry(key, 0)) }, key)
		if err != nil {
			return nil, d.failed(err)
		}
	}
	return entries, nil
}

// Put writes all entries, or, where it returns an error, none of them. Keys
// are at most maxKey bytes, a key and its value maxValue together, and there
// are at most maxKeys of them.
func (d *Database) Put(entries []Entry) error {
	if err := checkKeys(len(entries)); err != nil {
		return err
	}
	for _, e := range entries {
		if err := checkKey(e.Key); err != nil {
			return err
		}
		if n := len(e.Key) + len(e.Value); n > maxValue {
			return fmt.Errorf("A key and its value cannot be larger than %d bytes together. Key and value of size %d were provided.", maxValue, n)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	defer d.enter()()
	c, err := d.writing()
	if err != nil {
		return err
	}
	ok, err := d.hasKeys(c)
	if err == nil && !ok {
		if err = c.exec(keyTable); err == nil {
			d.keys, d.keysSure = true, true
		}
	}
	for _, e := range entries {
		if err != nil {
			break
		}
		err = putEntry(c, e)
	}
	return d.failed(err)
}

func putEntry(c *conn, e Entry) error {
	if len(e.Key)+len(e.Value) > maxValue-64 { // the row has a header
		sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_LENGTH, maxValue+64)
		defer sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_LENGTH, maxValue)
	}
	if e.Blob {
		if e.Value == nil {
			return c.run(keyPut, nil, e.Key, []byte{})
		}
		return c.run(keyPut, nil, e.Key, e.Value)
	}
	return c.run(keyPut, nil, e.Key, string(e.Value))
}

// Delete removes keys and returns how many there were. It takes at most
// maxKeys keys.
func (d *Database) Delete(keys ...string) (int, error) {
	if err := checkKeys(len(keys)); err != nil {
		return 0, err
	}
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return 0, err
		}
	}
	defer d.enter()()
	c, err := d.reading()
	if c == nil || err != nil {
		return 0, err
	}
	if ok, err := d.hasKeys(c); !ok || err != nil {
		return 0, d.failed(err)
	}
	if c, err = d.writing(); err != nil {
		return 0, err
	}
	n := 0
	for _, key := range keys {
		if err := c.run(keyDelete, func(*stmt) { n++ }, key); err != nil {
			return 0, d.failed(err)
		}
	}
	return n, nil
}

// ListOptions choose keys, ordered by their bytes. What is nil or empty does
// not restrict.
type ListOptions struct {
	Start      *string // the first key
	StartAfter *string // the key before the first; not together with Start
	End        *string // the key behind the last
	Prefix     string
	Reverse    bool // the last one first; Start and End mean the same
	Limit      *int // positive
}

// Next is the options for what follows a batch that ended with last and had
// got entries.
func (o ListOptions) Next(last string, got int) ListOptions {
	if o.Reverse {
		o.End = &last
	} else {
		o.Start, o.StartAfter = nil, &last
	}
	if o.Limit != nil {
		left := *o.Limit - got
		o.Limit = &left
	}
	return o
}

// listBytes is about how many bytes a batch of List holds at most.
const listBytes = 4 << 20

// List returns at most batch entries (0: as many as fit into 4 MB), and
// whether there are more, which List with o.Next returns.
func (d *Database) List(o ListOptions, batch int) (entries []Entry, more bool, err error) {
	switch {
	case o.Start != nil && o.StartAfter != nil:
		return nil, false, errors.New("list() cannot be called with both start and startAfter values.")
	case o.Limit != nil && *o.Limit <= 0:
		return nil, false, fmt.Errorf("List limit must be positive. A limit of %d was provided.", *o.Limit)
	}
	defer d.enter()()
	c, err := d.reading()
	if c == nil || err != nil {
		return nil, false, err
	}
	if ok, err := d.hasKeys(c); !ok || err != nil {
		return nil, false, d.failed(err)
	}
	text, args := o.query()
	s := c.own[text]
	if s == nil {
		if s, _, err = c.prepare(text, true); err != nil {
			return nil, false, d.failed(err)
		}
		c.own[text] = s
	}
	defer s.reset()
	for i, arg := range args {
		if err := s.bind(i+1, arg); err != nil {
			return nil, false, err
		}
	}
	size := 0
	for {
		row, err := s.step()
		if err != nil {
			return nil, false, d.failed(err)
		}
		if !row || o.Limit != nil && len(entries) == *o.Limit {
			return entries, false, nil
		}
		if batch > 0 && len(entries) == batch || size > listBytes {
			return entries, true, nil
		}
		e := s.entry(s.string(0), 1)
		size += len(e.Key) + len(e.Value)
		entries = append(entries, e)
	}
}

func (o ListOptions) query() (string, []any) {
	var where []string
	var args []any
	add := func(term, arg string) {
		where = append(where, term)
		args = append(args, arg)
	}
	if o.Start != nil {
		add("key >= ?", *o.Start)
	}
	if o.StartAfter != nil {
		add("key > ?", *o.StartAfter)
	}
	if o.End != nil {
		add("key < ?", *o.End)
	}
	if o.Prefix != "" {
		add("key >= ?", o.Prefix)
		// The least key behind all that begin with the prefix.
		for end := []byte(o.Prefix); len(end) > 0; end = end[:len(end)-1] {
			if last := len(end) - 1; end[last] < 0xff {
				end[last]++
				add("key < ?", string(end))
				break
			}
		}
	}
	text := "SELECT key, value FROM _cf_KV"
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	text += " ORDER BY key"
	if o.Reverse {
		text += " DESC"
	}
	return text, args
}
