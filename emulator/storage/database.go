package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Database is the storage of one room. It opens its file at the first
// operation and may be closed at any time; the next operation opens it again.
// One goroutine at a time uses it, except Interrupt.
//
// Reads take no lock on the file. The first write begins a transaction, which
// stays open until Commit or Rollback. Where SQLite itself ends a transaction
// (the disk is full, a write was interrupted), every operation returns that
// error until Rollback, or Commit, which returns it too.
type Database struct {
	store             *Store
	binding, id, name string
	path              string

	mu      sync.Mutex // Store.Close comes from another goroutine
	stop    stopper
	c       *conn // the room's file
	empty   *conn // what a room without a file sees
	cursors map[*Cursor]struct{}
	history *history // while the file is open
	mending bool     // Rooms looks into the file
	peeks   bool     // it only looks, beside the room's own Database

	begun   bool  // a transaction is open
	fresh   bool  // ... and the file was made for it
	unborn  bool  // the file holds no commit of a room yet
	depth   int   // savepoints that are open
	base    int   // ... of which so many before the transaction began
	lost    error // why SQLite ended the transaction by itself
	failing error // what the next commit fails with

	keys     bool // there is a table of keys,
	keysSure bool // as far as is known
	alarm    int64
	emptied  bool // DeleteAll ran in this transaction
	alarmSet bool // alarm is what was committed, and this transaction touches it
}

// ID is the room's id.
func (d *Database) ID() string { return d.id }

// Name is the room's name as given to Store.Room.
func (d *Database) Name() string { return d.name }

// Path is where the room's file is, or will be once the room has written.
func (d *Database) Path() string { return d.path }

// enter begins an operation; what it returns ends it.
func (d *Database) enter() (leave func()) {
	d.mu.Lock()
	d.stop.operation.Store(false)
	return d.mu.Unlock
}

// reading is the room's file, or nil where it has none.
func (d *Database) reading() (*conn, error) {
	if d.lost != nil {
		return nil, d.lost
	}
	if d.c != nil {
		return d.c, nil
	}
	if err := d.register(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.path); err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	return d.c, d.connect()
}

// register makes the database known to its store.
func (d *Database) register() error {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if d.store.closed {
		return ErrClosed
	}
	if !roomID.MatchString(d.id) || !binding.MatchString(d.binding) {
		return fmt.Errorf("storage: %q with id %q is no room", d.binding, d.id)
	}
	d.store.open[d] = struct{}{}
	return nil
}

// connect opens the room's file, which exists.
func (d *Database) connect() error {
	branch, err := d.attach()
	if err == nil && branch != 0 {
		err = d.restored()
	}
	if err != nil {
		d.disconnect(err)
	}
	return locate(err, d.path)
}

// attach opens the file, at a bookmark where that is due; nobody opens any
// file meanwhile.
func (d *Database) attach() (branch uint32, err error) {
	opening := &d.store.opening
	if d.peeks {
		opening.RLock()
		defer opening.RUnlock()
		d.c, err = connect(d.path, connOptions{readOnly: true, history: true, guard: true, stop: &d.stop}, false)
		return 0, err
	}
	if _, err := os.Stat(d.side(".restore")); err == nil {
		opening.Lock()
		defer opening.Unlock()
		if d.alone() {
			if branch, err = d.restore(); err != nil {
				return 0, err
			}
		}
	} else {
		opening.RLock()
		defer opening.RUnlock()
	}
	d.c, err = connect(d.path, connOptions{full: d.store.options.Full, history: true, guard: true, stop: &d.stop}, false)
	if err != nil {
		return 0, err
	}
	if err := d.join(d.c, branch); err != nil {
		return 0, err
	}
	d.keysSure = false
	tables, err := d.c.number(hasTable, "_cf_METADATA")
	d.unborn = tables == 0
	return branch, err
}

// writing is the room's file with a transaction open.
func (d *Database) writing() (*conn, error) {
	if d.peeks {
		return nil, ErrReadOnly
	}
	c, err := d.reading()
	if err != nil {
		return nil, err
	}
	if d.begun {
		return c, nil
	}
	if c == nil {
		if err := d.create(); err != nil {
			return nil, err
		}
		c = d.c
	}
	if err := d.begin(); err != nil {
		if d.fresh {
			d.discard()
		}
		return nil, locate(err, d.path)
	}
	return c, nil
}

// create makes the room's file: an empty database in WAL mode, written by hand
// since SQLite waits for the disk several times on the way there.
func (d *Database) create() error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o755); err != nil {
		return err
	}
	for _, suffix := range []string{".sqlite-wal", ".sqlite-shm", ".restore"} {
		os.Remove(d.side(suffix)) // of a room whose file was removed by hand
	}
	if os.Remove(d.side(".history")) == nil {
		for _, path := range d.left() {
			os.Remove(path)
		}
	}
	if err := os.WriteFile(d.path, emptyFile(), 0o644); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	d.fresh = true
	if err := d.connect(); err != nil {
		d.discard()
		return err
	}
	return nil
}

// emptyFile is the one page of an empty database of 4096 bytes a page, in WAL
// mode and UTF-8.
func emptyFile() []byte {
	page := make([]byte, 4096)
	copy(page, "SQLite format 3\x00\x10\x00\x02\x02\x00\x40\x20\x20")
	page[27], page[31], page[95] = 1, 1, 1               // changes, pages, changes when pages was right
	page[59] = 1                                         // text encoding
	copy(page[100:], "\x0d\x00\x00\x00\x00\x10\x00\x00") // an empty leaf
	return page
}

// disconnect closes the handles and ends the cursors with why.
func (d *Database) disconnect(why error) error {
	for cur := range d.cursors {
		cur.end(why)
	}
	d.leave()
	c, empty := d.c, d.empty
	d.c, d.empty = nil, nil
	var errs []error
	for _, c := range []*conn{c, empty} {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}

// discard removes the file of a room whose first write did not commit.
func (d *Database) discard() {
	d.disconnect(errRolledBack)
	for _, suffix := range []string{".sqlite", ".sqlite-wal", ".sqlite-shm", ".history"} {
		os.Remove(d.side(suffix))
	}
	d.fresh = false
}

// side is a file beside the room's.
func (d *Database) side(suffix string) string {
	return d.path[:len(d.path)-len(".sqlite")] + suffix
}

// Close gives up what the database holds in memory, rolls back what is not
// committed and ends open cursors. The data stays; the next operation opens
// the file again.
func (d *Database) Close() error {
	defer d.enter()()
	err := d.rollback()
	err = errors.Join(err, d.disconnect(errors.New("storage: the database was closed")))
	d.store.mu.Lock()
	delete(d.store.open, d)
	d.store.mu.Unlock()
	return locate(err, d.path)
}

// Interrupt ends the operation that runs, if any, with SQLITE_INTERRUPT. It may
// be called from any goroutine at any time.
func (d *Database) Interrupt() { d.stop.operation.Store(true) }

// Size is the number of bytes that the room's pages take, without free ones.
func (d *Database) Size() (int64, error) {
	defer d.enter()()
	c, err := d.reading()
	if c == nil || err != nil {
		return 0, err
	}
	var n [3]int64
	for i, text := range []string{"PRAGMA page_count", "PRAGMA freelist_count", "PRAGMA page_size"} {
		if n[i], err = c.number(text); err != nil {
			return 0, locate(err, d.path)
		}
	}
	return (n[0] - n[1]) * n[2], nil
}

// describe reads from the file what the index should say, and whether the
// room ever committed anything.
func (d *Database) describe() (info RoomInfo, wrote bool, err error) {
	d.mending = true
	defer d.Close()
	defer d.enter()()
	info.Binding, info.ID = d.binding, d.id
	c, err := d.reading()
	if c == nil || err != nil {
		return info, false, err
	}
	if d.unborn {
		return info, false, nil
	}
	err = c.run("SELECT value FROM _cf_METADATA WHERE key = 2", func(s *stmt) { info.Name = s.string(0) })
	if err == nil {
		var ns int64
		if ns, err = d.readAlarm(c); ns != 0 {
			info.Alarm, info.HasAlarm = time.Unix(0, ns), true
		}
	}
	return info, true, locate(err, d.path)
}

const hasTable = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
