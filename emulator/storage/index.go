package storage

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// index is metadata.sqlite of one binding, opened when first used.
type index struct {
	path string
	full bool

	// steady is locked for writing while a room's file is compared with the
	// index, and for reading around a commit that changes both.
	steady sync.RWMutex

	mu     sync.Mutex
	c      *conn
	closed bool
}

// indexed is a line of the index; listed where the room's name and file are
// known and not just an alarm.
type indexed struct {
	RoomInfo
	listed bool
}

// ready must be called with mu held. A file that is no database is made anew:
// the index is rebuilt from the rooms.
func (x *index) ready() error {
	switch {
	case x.closed:
		return ErrClosed
	case x.c != nil:
		return nil
	}
	err := x.connect()
	if hasCode(err, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(x.path + suffix); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		err = x.connect()
	}
	return locate(err, x.path)
}

func (x *index) connect() error {
	if err := os.MkdirAll(filepath.Dir(x.path), 0o755); err != nil {
		return err
	}
	c, err := connect(x.path, connOptions{full: x.full}, true)
	if err != nil {
		return err
	}
	for _, text := range []string{
		"CREATE TABLE IF NOT EXISTS _cf_ALARM(actor_id TEXT PRIMARY KEY, scheduled_time INTEGER NOT NULL, actor_name TEXT) WITHOUT ROWID",
		"CREATE TABLE IF NOT EXISTS _cf_ACTOR(actor_id TEXT PRIMARY KEY, actor_name TEXT) WITHOUT ROWID",
	} {
		if err := c.exec(text); err != nil {
			c.close()
			return err
		}
	}
	x.c = c
	return nil
}

func (x *index) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	if x.c == nil {
		return nil
	}
	defer func() { x.c = nil }()
	return x.c.close()
}

// load reads all of it.
func (x *index) load() (map[string]indexed, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.ready(); err != nil {
		return nil, err
	}
	all := map[string]indexed{}
	err := x.c.run("SELECT actor_id, actor_name FROM _cf_ACTOR", func(s *stmt) {
		all[s.string(0)] = indexed{RoomInfo{Name: s.string(1)}, true}
	})
	if err != nil {
		return nil, locate(err, x.path)
	}
	err = x.c.run("SELECT actor_id, scheduled_time, actor_name FROM _cf_ALARM", func(s *stmt) {
		i := all[s.string(0)]
		i.Alarm, i.HasAlarm = time.Unix(0, s.int64(1)), true
		if i.Name == "" {
			i.Name = s.string(2)
		}
		all[s.string(0)] = i
	})
	return all, locate(err, x.path)
}

func (x *index) run(text string, args ...any) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.ready(); err != nil {
		return err
	}
	return locate(x.c.run(text, nil, args...), x.path)
}

// add makes a room that has its first commit known.
func (x *index) add(id, name string) error {
	return x.run("INSERT INTO _cf_ACTOR VALUES (?, nullif(?, '')) ON CONFLICT DO UPDATE SET actor_name = coalesce(excluded.actor_name, actor_name)", id, name)
}

// setAlarm names the time of a room's alarm, 0 for none.
func (x *index) setAlarm(id, name string, ns int64) error {
	if ns == 0 {
		return x.run("DELETE FROM _cf_ALARM WHERE actor_id = ?", id)
	}
	return x.run("INSERT INTO _cf_ALARM VALUES (?, ?, nullif(?, '')) ON CONFLICT DO UPDATE SET scheduled_time = excluded.scheduled_time, actor_name = coalesce(excluded.actor_name, actor_name)", id, ns, name)
}

// put writes all that a room's file says.
func (x *index) put(info RoomInfo) error {
	ns := int64(0)
	if info.HasAlarm {
		ns = info.Alarm.UnixNano()
	}
	if err := x.setAlarm(info.ID, info.Name, ns); err != nil {
		return err
	}
	return x.add(info.ID, info.Name)
}

func (x *index) remove(id string) error {
	if err := x.setAlarm(id, "", 0); err != nil {
		return err
	}
	return x.run("DELETE FROM _cf_ACTOR WHERE actor_id = ?", id)
}

// forget removes a room whose file is not there.
func (x *index) forget(id, path string) error {
	x.steady.Lock()
	defer x.steady.Unlock()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		return nil // it has come since
	}
	return x.remove(id)
}
