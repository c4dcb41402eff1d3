package storage

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFailingCommitRollsBack(t *testing.T) {
	f := open(t)
	d := f.room(1)
	query(t, d, "CREATE TABLE p(id PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED, q REFERENCES p(id))")
	put(t, d, "k", "1")
	commit(t, d)

	put(t, d, "k", "2")
	check(t, d.SetAlarm(f.now.Add(time.Hour)))
	query(t, d, "INSERT INTO c(p) VALUES (7)")
	_, err := d.Commit()
	fails(t, err, "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)")
	same(t, "dirty", d.Dirty(), false)
	same(t, "value", get(t, d, "k"), "1")
	_, has, err := d.Alarm()
	check(t, err)
	same(t, "alarm", has, false)
	rooms, err := f.Rooms()
	check(t, err)
	same(t, "indexed alarm", rooms[0].HasAlarm, false)

	_, err = try(d, "INSERT INTO c(q) VALUES (7)")
	fails(t, err, "FOREIGN KEY")
	query(t, d, "PRAGMA defer_foreign_keys = on")
	query(t, d, "INSERT INTO c(q) VALUES (7)")
	_, err = d.Commit()
	fails(t, err, "FOREIGN KEY")
	_, err = try(d, "INSERT INTO c(q) VALUES (7)")
	fails(t, err, "FOREIGN KEY")

	check(t, d.Rollback())
	broken := errors.New("broken")
	d.FailNextCommit(broken)
	commit(t, d)
	put(t, d, "k", "3")
	if _, err = d.Commit(); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	same(t, "value", get(t, d, "k"), "1")

	e := f.room(2)
	put(t, e, "k", "1")
	e.FailNextCommit(broken)
	if _, err = e.Commit(); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if exists(e.Path()) {
		t.Error("the file is left")
	}
}

func TestFullDisk(t *testing.T) {
	f := open(t)
	d := f.room(1)
	query(t, d, "CREATE TABLE t(x)")
	commit(t, d)
	check(t, d.c.exec("PRAGMA max_page_count = 20"))
	put(t, d, "k", "1")
	_, err := try(d, "INSERT INTO t VALUES (zeroblob(1000000))")
	fails(t, err, "database or disk is full: SQLITE_FULL", d.Path())
	_, err = d.Commit()
	fails(t, err, "SQLITE_FULL")
	same(t, "value", get(t, d, "k"), "<none>")
}

func TestDeleteAll(t *testing.T) {
	f := open(t)
	d := f.room(1)
	query(t, d, `CREATE TABLE "a ""b"(id INTEGER PRIMARY KEY AUTOINCREMENT, p REFERENCES z(id)); CREATE TABLE z(id PRIMARY KEY, a REFERENCES "a ""b"(id));
		CREATE VIEW v AS SELECT * FROM z; CREATE TRIGGER g AFTER INSERT ON z BEGIN SELECT 1; END; CREATE INDEX i ON z(a);
		CREATE VIRTUAL TABLE ft USING fts5(x); CREATE VIRTUAL TABLE rt USING rtree(id, a, b); INSERT INTO ft VALUES ('x')`)
	query(t, d, "PRAGMA defer_foreign_keys = on; INSERT INTO z VALUES (1, 1); INSERT INTO \"a \"\"b\" VALUES (1, 1); ANALYZE")
	put(t, d, "k", "1")
	check(t, d.SetAlarm(f.now.Add(time.Hour)))
	same(t, "alarm set", commit(t, d), Committed{AlarmChanged: true, HasAlarm: true, Alarm: f.now.Add(time.Hour).Local()})

	n, err := d.Savepoint()
	check(t, err)
	fails(t, d.DeleteAll(), "Cannot call deleteAll() within a transaction")
	check(t, d.Release(n))

	all := func() int { return len(query(t, d, "SELECT 1 FROM sqlite_master")) }
	before := all()
	put(t, d, "k", "2")
	check(t, d.DeleteAll())
	same(t, "value", get(t, d, "k"), "<none>")
	put(t, d, "l", "1")
	check(t, d.Rollback())
	same(t, "value", get(t, d, "k"), "1")
	same(t, "schema", all(), before)

	query(t, d, "PRAGMA defer_foreign_keys = on; INSERT INTO z VALUES (9, 9)") // would not commit
	check(t, d.DeleteAll())
	same(t, "alarm gone", commit(t, d), Committed{AlarmChanged: true, Empty: true})
	same(t, "schema", query(t, d, "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"), [][]any{{"_cf_METADATA"}})
	size, err := d.Size()
	check(t, err)
	if size > 7*4096 {
		t.Errorf("size %d", size)
	}
	query(t, d, "CREATE TABLE z(id PRIMARY KEY, p REFERENCES q(id)); CREATE TABLE q(id PRIMARY KEY)")
	_, err = try(d, "INSERT INTO z VALUES (1, 1)")
	fails(t, err, "FOREIGN KEY")
	commit(t, d)
	rooms, err := f.Rooms()
	check(t, err)
	same(t, "rooms", rooms, []RoomInfo{{Binding: "Chat", ID: id(1), Name: "room1"}})
}

func TestAlarm(t *testing.T) {
	f := open(t)
	d := f.room(1)
	fails(t, d.SetAlarm(time.Unix(0, 0)), "setAlarm() cannot be called with an alarm time <= 0")
	fails(t, d.SetAlarm(time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC)), "2189")
	at := func(want time.Duration) {
		t.Helper()
		got, has, err := d.Alarm()
		check(t, err)
		if !has || !got.Equal(f.now.Add(want)) {
			t.Errorf("alarm %v %t, want in %v", got, has, want)
		}
	}
	indexed := func(want time.Duration) {
		t.Helper()
		rooms, err := f.Rooms()
		check(t, err)
		if len(rooms) != 1 || rooms[0].HasAlarm != (want >= 0) || want >= 0 && !rooms[0].Alarm.Equal(f.now.Add(want)) || rooms[0].Name != "room1" {
			t.Errorf("rooms %v, want an alarm in %v", rooms, want)
		}
	}
	check(t, d.SetAlarm(f.now.Add(time.Hour+time.Microsecond)))
	at(time.Hour)
	same(t, "changed", commit(t, d).AlarmChanged, true)
	indexed(time.Hour)
	check(t, d.SetAlarm(f.now.Add(time.Hour)))
	same(t, "changed", commit(t, d).AlarmChanged, false)
	n, err := d.Savepoint()
	check(t, err)
	check(t, d.SetAlarm(f.now.Add(time.Minute)))
	check(t, d.RollbackTo(n))
	at(time.Hour)
	same(t, "changed", commit(t, d).AlarmChanged, false)
	check(t, d.SetAlarm(f.now.Add(2*time.Hour)))
	indexed(time.Hour)
	commit(t, d)
	indexed(2 * time.Hour)
	check(t, d.SetAlarm(f.now.Add(-time.Hour)))
	at(0)
	commit(t, d)
	indexed(0)
	check(t, d.DeleteAlarm())
	check(t, d.Rollback())
	at(0)
	check(t, d.DeleteAlarm())
	check(t, d.DeleteAlarm())
	same(t, "changed", commit(t, d), Committed{AlarmChanged: true})
	indexed(-1)
}

func TestIndexIsRebuilt(t *testing.T) {
	f := open(t)
	for n := range 5 {
		d := f.room(n)
		put(t, d, "k", "1")
		if n > 2 {
			check(t, d.SetAlarm(f.now.Add(time.Duration(n)*time.Hour)))
		}
		commit(t, d)
		check(t, d.Close())
	}
	other := f.Room("Game", id(9), "")
	put(t, other, "k", "1")
	commit(t, other)
	want, err := f.Rooms()
	check(t, err)
	same(t, "rooms", len(want), 6)
	same(t, "alarm", want[4].Alarm.Equal(f.now.Add(4*time.Hour)), true)
	same(t, "other", want[5], RoomInfo{Binding: "Game", ID: id(9)})
	index := filepath.Join(f.dir, "Chat", "metadata.sqlite")
	for _, spoil := range []func(){
		func() {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				os.Remove(index + suffix)
			}
		},
		func() {
			os.WriteFile(index, []byte("this is no database, it is a text that is long enough to be read\n"), 0o644)
		},
	} {
		check(t, f.Close())
		spoil()
		f.reopen()
		// A commit before the index is looked at must not hide what is missing.
		d := f.room(3)
		put(t, d, "k", "2")
		commit(t, d)
		got, err := f.Rooms()
		check(t, err)
		same(t, "rebuilt", got, want)
	}
	check(t, f.Close())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(filepath.Join(f.dir, "Chat", id(4)+".sqlite"+suffix))
	}
	f.reopen()
	got, err := f.Rooms()
	check(t, err)
	same(t, "without the removed one", len(got), 5)
	got, err = f.Rooms()
	check(t, err)
	same(t, "again", len(got), 5)
}

// TestCrashInFirstTurn: a file without a commit is no room.
func TestCrashInFirstTurn(t *testing.T) {
	f := open(t)
	d := f.room(1)
	put(t, d, "k", "1")
	left, err := os.ReadFile(d.Path())
	check(t, err)
	check(t, d.Rollback())
	check(t, os.WriteFile(d.Path(), left, 0o644))
	rooms, err := f.Rooms()
	check(t, err)
	same(t, "rooms", len(rooms), 0)
	same(t, "value", get(t, d, "k"), "<none>")
	_, has, err := d.Alarm()
	check(t, err)
	same(t, "alarm", has, false)
	check(t, d.DeleteAlarm())
	check(t, d.SetAlarm(f.now.Add(time.Hour)))
	check(t, d.Rollback())
	put(t, d, "k", "2")
	commit(t, d)
	rooms, err = f.Rooms()
	check(t, err)
	same(t, "rooms", len(rooms), 1)
	same(t, "name", rooms[0].Name, "room1")
}
