package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// files lists what the store keeps of rooms.
func (f *fixture) files() (names []string) {
	all, _ := filepath.Glob(filepath.Join(f.dir, "Chat", "*"))
	for _, path := range all {
		if name := filepath.Base(path); !strings.HasPrefix(name, "metadata.") {
			names = append(names, name)
		}
	}
	return names
}

func TestRemoveLeavesNothing(t *testing.T) {
	for name, before := range map[string]func(f *fixture, d *Database){
		"never written": func(*fixture, *Database) {},
		"written": func(_ *fixture, d *Database) {
			put(t, d, "a", "1")
			commit(t, d)
		},
		"not committed": func(_ *fixture, d *Database) { put(t, d, "a", "1") },
		"alarm and rows": func(_ *fixture, d *Database) {
			check(t, d.SetAlarm(time.Now().Add(time.Hour)))
			query(t, d, "CREATE TABLE t(x)")
			commit(t, d)
			put(t, d, "b", "2")
		},
		"restored": func(_ *fixture, d *Database) {
			put(t, d, "a", "1")
			commit(t, d)
			b, err := d.CurrentBookmark()
			check(t, err)
			put(t, d, "a", "2")
			commit(t, d)
			_, err = d.RestoreBookmark(b)
			check(t, err)
			check(t, d.Close())
			same(t, "a", get(t, d, "a"), "1")
		},
		"to be restored": func(_ *fixture, d *Database) {
			put(t, d, "a", "1")
			commit(t, d)
			b, err := d.CurrentBookmark()
			check(t, err)
			_, err = d.RestoreBookmark(b)
			check(t, err)
		},
		"unreadable": func(_ *fixture, d *Database) {
			put(t, d, "a", "1")
			commit(t, d)
			check(t, d.Close())
			check(t, os.WriteFile(d.Path(), []byte(strings.Repeat("no database", 1000)), 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			d, other := f.room(1), f.room(2)
			put(t, other, "a", "other")
			commit(t, other)
			before(f, d)
			check(t, d.Remove())
			for _, file := range f.files() {
				if !strings.HasPrefix(file, id(2)) {
					t.Errorf("%s is left", file)
				}
			}
			rooms, err := f.Rooms()
			check(t, err)
			if len(rooms) != 1 || rooms[0].ID != id(2) {
				t.Errorf("rooms: %+v", rooms)
			}
			same(t, "the other room", get(t, other, "a"), "other")
			same(t, "a", get(t, d, "a"), "<none>")
			put(t, d, "a", "again")
			commit(t, d)
			same(t, "a", get(t, f.room(1), "a"), "again")
			check(t, d.Remove())
			check(t, d.Remove())
		})
	}
}

func TestRemoveUnderAReaderDeletesWhatIsThere(t *testing.T) {
	f := open(t)
	d, reader := f.room(1), f.room(1)
	put(t, d, "a", "1")
	check(t, d.SetAlarm(time.Now().Add(time.Hour)))
	commit(t, d)
	same(t, "a", get(t, reader, "a"), "1")
	check(t, d.Remove())
	check(t, reader.Close())
	same(t, "a", get(t, reader, "a"), "<none>")
	check(t, reader.Close())
	put(t, d, "b", "2")
	commit(t, d)
	same(t, "b", get(t, reader, "b"), "2")
	rooms, err := f.Rooms()
	check(t, err)
	if len(rooms) != 1 || rooms[0].HasAlarm {
		t.Errorf("rooms: %+v", rooms)
	}
}

func TestRemoveInAClosedStore(t *testing.T) {
	f := open(t)
	d := f.room(1)
	put(t, d, "a", "1")
	commit(t, d)
	check(t, f.Close())
	if err := d.Remove(); err == nil {
		t.Error("no error")
	}
	if !exists(d.Path()) {
		t.Error("the file is gone")
	}
}
