package storage

import (
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

var errRolledBack = errors.New("storage: the transaction was rolled back")

// begin opens the transaction, with the savepoints that were asked for before
// anything was written.
func (d *Database) begin() error {
	if err := d.c.run("BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	d.begun, d.base, d.alarmSet = true, d.depth, false
	if d.unborn {
		err := d.c.exec("CREATE TABLE _cf_METADATA(key INTEGER PRIMARY KEY, value)")
		if err == nil {
			err = d.c.run(metadataPut, nil, 2, d.name)
		}
		if err != nil {
			d.rollback()
			return err
		}
	}
	for level := 1; level <= d.depth; level++ {
		if err := d.c.run(savepoint("SAVEPOINT", level), nil); err != nil {
			d.rollback()
			return err
		}
	}
	return nil
}

const metadataPut = "INSERT OR REPLACE INTO _cf_METADATA(key, value) VALUES (?, nullif(?, ''))"

func savepoint(verb string, level int) string { return fmt.Sprintf("%s _cf_%d", verb, level) }

// failed looks at the error of an operation: where SQLite has ended the
// transaction by itself, nothing of it is left to commit.
func (d *Database) failed(err error) error {
	if err == nil {
		return nil
	}
	if d.begun && d.c != nil && !d.c.begun() && d.lost == nil {
		d.lost = fmt.Errorf("storage: the whole transaction was rolled back: %w", err)
	}
	return locate(err, d.path)
}

// Dirty reports whether there is something to commit.
func (d *Database) Dirty() bool {
	defer d.enter()()
	return d.begun || d.lost != nil
}

// Committed is what a commit changed that others have to know.
type Committed struct {
	AlarmChanged bool      // the alarm was set, moved or deleted
	HasAlarm     bool      // there is one now; only where it changed
	Alarm        time.Time // its time; only where it changed
	Empty        bool      // DeleteAll left nothing, and nothing was written since
}

// Commit makes everything written since the last one lasting, and ends open
// savepoints. Without anything to commit it does nothing. After an error
// everything since the last commit is rolled back. Cursors stay open.
func (d *Database) Commit() (Committed, error) {
	defer d.enter()()
	if d.lost != nil {
		err := d.lost
		d.rollback()
		return Committed{}, err
	}
	d.depth, d.base = 0, 0
	if !d.begun {
		return Committed{}, nil
	}
	done, err := d.commit()
	if err != nil {
		if e := d.rollback(); e != nil {
			err = errors.Join(err, e)
		}
		return Committed{}, locate(err, d.path)
	}
	return done, nil
}

func (d *Database) commit() (Committed, error) {
	var done Committed
	if err := d.failing; err != nil {
		d.failing = nil
		return done, err
	}
	for cur := range d.cursors {
		if err := cur.drain(); err != nil { // SQLite does not commit under a running write
			return done, err
		}
	}
	c := d.c
	var ns int64
	if d.alarmSet {
		var err error
		if ns, err = d.readAlarm(c); err != nil {
			return done, err
		}
		if done.AlarmChanged = ns != d.alarm; done.AlarmChanged && ns != 0 {
			done.HasAlarm, done.Alarm = true, time.Unix(0, ns)
		}
	}
	if d.emptied {
		tables, err := c.number("SELECT count(*) FROM sqlite_master WHERE name <> '_cf_METADATA' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'")
		if err != nil {
			return done, err
		}
		done.Empty = tables == 0 && ns == 0
	}
	// The index never names a later time than the file: it moves before the
	// commit when the alarm comes earlier, and after it otherwise.
	if done.AlarmChanged || d.unborn {
		x, err := d.store.index(d.binding)
		if err != nil {
			return Committed{}, err
		}
		x.steady.RLock()
		defer x.steady.RUnlock()
	}
	earlier := done.AlarmChanged && ns != 0 && (d.alarm == 0 || ns < d.alarm)
	if earlier {
		if err := d.indexAlarm(ns); err != nil {
			return Committed{}, err
		}
	}
	c.wrote = false
	if err := c.run("COMMIT", nil); err != nil {
		if earlier {
			d.indexAlarm(d.alarm)
		}
		return Committed{}, err
	}
	born := d.unborn
	d.begun, d.fresh, d.unborn, d.alarmSet, d.emptied = false, false, false, false, false
	// What follows only makes others find the room sooner: the room's own
	// file is what counts, and Rooms mends the index.
	if born {
		if x, err := d.store.index(d.binding); err == nil {
			x.add(d.id, d.name)
		}
	}
	if done.AlarmChanged && !earlier {
		d.indexAlarm(ns)
	}
	if c.wrote {
		d.history.committed(d, c)
	}
	return done, nil
}

func (d *Database) indexAlarm(ns int64) error {
	x, err := d.store.index(d.binding)
	if err != nil {
		return err
	}
	return x.setAlarm(d.id, d.name, ns)
}

// FailNextCommit makes the next Commit that has something to commit fail
// with err, with everything rolled back. It is for tests.
func (d *Database) FailNextCommit(err error) {
	defer d.enter()()
	d.failing = err
}

// Rollback undoes everything since the last commit and ends open savepoints.
func (d *Database) Rollback() error {
	defer d.enter()()
	return d.rollback()
}

func (d *Database) rollback() error {
	d.depth, d.base = 0, 0
	return d.undo()
}

// undo ends the transaction, but not the savepoints from before it.
func (d *Database) undo() error {
	d.lost = nil
	if !d.begun {
		return nil
	}
	d.begun, d.alarmSet, d.keysSure, d.emptied = false, false, false, false
	if d.fresh {
		d.discard()
		return nil
	}
	var err error
	if d.c.begun() {
		err = d.c.run("ROLLBACK", nil)
	}
	return locate(err, d.path)
}

// Savepoint opens a savepoint within those that are open and returns its
// level, 1 for the outermost. It writes nothing by itself.
func (d *Database) Savepoint() (int, error) {
	defer d.enter()()
	if d.lost != nil {
		return 0, d.lost
	}
	if d.begun {
		if err := d.c.run(savepoint("SAVEPOINT", d.depth+1), nil); err != nil {
			return 0, d.failed(err)
		}
	}
	d.depth++
	return d.depth, nil
}

func (d *Database) level(n int) error {
	switch {
	case d.lost != nil:
		return d.lost
	case n < 1 || n > d.depth:
		return fmt.Errorf("storage: there is no open savepoint %d: %d are open", n, d.depth)
	}
	return nil
}

// Release ends savepoint n and those within it, and keeps what was written.
func (d *Database) Release(n int) error {
	defer d.enter()()
	if err := d.level(n); err != nil {
		return err
	}
	if d.begun {
		if err := d.c.run(savepoint("RELEASE", n), nil); err != nil {
			return d.failed(err)
		}
	}
	d.depth = n - 1
	d.base = min(d.base, d.depth)
	return nil
}

// RollbackTo undoes what was written since savepoint n was opened, and ends it
// and those within it: a Release must not follow.
func (d *Database) RollbackTo(n int) error {
	defer d.enter()()
	lost := d.lost
	if lost != nil && n <= d.base {
		d.lost = nil // SQLite has done it already
	}
	if err := d.level(n); err != nil {
		d.lost = lost
		return err
	}
	d.depth = n - 1
	if !d.begun {
		return nil
	}
	if n <= d.base {
		d.base = d.depth
		return d.undo()
	}
	d.keysSure = false
	err := d.c.run(savepoint("ROLLBACK TO", n), nil)
	if err == nil {
		err = d.c.run(savepoint("RELEASE", n), nil)
	}
	return d.failed(err)
}

// DeleteAll removes everything: keys, alarm, and the user's own tables. What
// was written before it in the same transaction goes with it, so that a
// Rollback after it leads back to the last commit. Open cursors end with an
// error. It is refused while a savepoint is open.
func (d *Database) DeleteAll() error {
	defer d.enter()()
	if d.depth > 0 {
		return errors.New("Cannot call deleteAll() within a transaction")
	}
	c, err := d.reading()
	if c == nil || err != nil {
		return err
	}
	for cur := range d.cursors {
		cur.end(errors.New("SQLite query was canceled because the database was deleted."))
	}
	c.cache.clear()
	if d.fresh {
		return d.undo()
	}
	if err := d.undo(); err != nil {
		return err
	}
	if c, err = d.writing(); err != nil {
		return err
	}
	if err := d.rememberAlarm(c); err != nil {
		return d.failed(err)
	}
	c.config(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY, false)
	defer c.config(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY, true)
	if err := d.dropAll(c); err != nil {
		if d.failed(err); d.lost == nil {
			d.undo()
		}
		return locate(err, d.path)
	}
	d.keysSure, d.emptied = false, true
	return nil
}

// dropAll empties the schema: what refers to tables first, then virtual tables
// with the tables that belong to them, then the others.
func (d *Database) dropAll(c *conn) error {
	for _, which := range []string{
		"type = 'trigger'", "type = 'view'", "type = 'table' AND sql LIKE 'CREATE VIRTUAL%'",
		"type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^' AND name <> '_cf_METADATA'",
	} {
		var drops []string
		err := c.run("SELECT format('DROP %s \"%w\"', type, name) FROM sqlite_master WHERE "+which, func(s *stmt) {
			drops = append(drops, s.string(0))
		})
		if err != nil {
			return err
		}
		for _, drop := range drops {
			if err := c.exec(drop); err != nil {
				return err
			}
		}
	}
	n, err := c.number(hasTable, "sqlite_stat1")
	if err == nil && n > 0 {
		err = c.exec("DELETE FROM sqlite_stat1")
	}
	if err != nil {
		return err
	}
	return c.run("DELETE FROM _cf_METADATA WHERE key <> 2", nil)
}
