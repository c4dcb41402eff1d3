package storage

import (
	"bufio"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets a test start this binary as another process.
func TestMain(m *testing.M) {
	switch dir := os.Getenv("STORAGE_TEST_DIR"); os.Getenv("STORAGE_TEST_ROLE") {
	case "open":
		_, err := Open(dir, Options{})
		fmt.Println(err)
	case "commit":
		commitForever(dir)
	default:
		os.Exit(m.Run())
	}
}

func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "STORAGE_TEST_ROLE="+role, "STORAGE_TEST_DIR="+dir)
	return cmd
}

func id(n int) string { return fmt.Sprintf("%064x", n) }

type fixture struct {
	*Store
	t   testing.TB
	dir string
	now time.Time
}

func open(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	f.reopen()
	t.Cleanup(func() { f.Close() })
	return f
}

func (f *fixture) reopen() {
	f.t.Helper()
	if f.Store != nil {
		check(f.t, f.Close())
	}
	s, err := Open(f.dir, Options{Now: func() time.Time { return f.now }})
	check(f.t, err)
	f.Store = s
}

func (f *fixture) room(n int) *Database { return f.Room("Chat", id(n), fmt.Sprint("room", n)) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func commit(t testing.TB, d *Database) Committed {
	t.Helper()
	c, err := d.Commit()
	check(t, err)
	return c
}

func put(t testing.TB, d *Database, key, value string) {
	t.Helper()
	check(t, d.Put([]Entry{{Key: key, Value: []byte(value)}}))
}

func get(t testing.TB, d *Database, key string) string {
	t.Helper()
	entries, err := d.Get(key)
	check(t, err)
	if len(entries) == 0 {
		return "<none>"
	}
	return string(entries[0].Value)
}

func named(args []any) []driver.NamedValue {
	var values []driver.NamedValue
	for i, arg := range args {
		if n, ok := arg.(driver.NamedValue); ok {
			n.Ordinal = i + 1
			values = append(values, n)
			continue
		}
		values = append(values, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	return values
}

func try(d *Database, text string, args ...any) ([][]any, error) {
	cur, err := d.Query(context.Background(), text, named(args))
	if err != nil {
		return nil, err
	}
	rows, done, err := cur.Next(0, 0)
	if err == nil && !done {
		err = errors.New("not done")
	}
	return rows, err
}

func query(t testing.TB, d *Database, text string, args ...any) [][]any {
	t.Helper()
	rows, err := try(d, text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return rows
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func fails(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want %q in it", err, word)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestRoomThatNeverWroteLeavesNoFile(t *testing.T) {
	f := open(t)
	d := f.room(1)
	same(t, "value", get(t, d, "a"), "<none>")
	entries, more, err := d.List(ListOptions{}, 0)
	check(t, err)
	same(t, "list", len(entries), 0)
	same(t, "more", more, false)
	n, err := d.Delete("a")
	check(t, err)
	same(t, "deleted", n, 0)
	_, has, err := d.Alarm()
	check(t, err)
	same(t, "alarm", has, false)
	check(t, d.DeleteAlarm())
	check(t, d.DeleteAll())
	same(t, "select", query(t, d, "SELECT 1, sqlite_master.name FROM (SELECT 1) LEFT JOIN sqlite_master"), [][]any{{int64(1), nil}})
	_, err = try(d, "SELECT * FROM t")
	fails(t, err, "no such table: t", "SQLITE_ERROR")
	size, err := d.Size()
	check(t, err)
	same(t, "size", size, int64(0))
	n, err = d.Savepoint()
	check(t, err)
	check(t, d.Release(n))
	same(t, "dirty", d.Dirty(), false)
	commit(t, d)
	if exists(d.Path()) {
		t.Error("reading made a file")
	}

	n, err = d.Savepoint()
	check(t, err)
	put(t, d, "a", "1")
	same(t, "dirty", d.Dirty(), true)
	check(t, d.RollbackTo(n))
	same(t, "dirty", d.Dirty(), false)
	query(t, d, "CREATE TABLE t(x)")
	check(t, d.Rollback())
	check(t, d.Close())
	files, _ := filepath.Glob(filepath.Join(f.dir, "Chat", "*"))
	same(t, "files after rollback", files, []string(nil))

	put(t, d, "a", "1")
	commit(t, d)
	check(t, d.Close())
	same(t, "value", get(t, d, "a"), "1")
}

func TestStoreIsOpenedOnce(t *testing.T) {
	f := open(t)
	_, err := Open(f.dir, Options{})
	fails(t, err, f.dir, fmt.Sprintf("process %d", os.Getpid()))
	out, err := child(t, "open", f.dir).Output()
	check(t, err)
	fails(t, errors.New(string(out)), fmt.Sprintf("process %d", os.Getpid()))
	check(t, f.Close())
	out, err = child(t, "open", f.dir).Output()
	check(t, err)
	same(t, "second open", strings.TrimSpace(string(out)), "<nil>")
	f.reopen()
}

func TestCloseOfStoreEndsRooms(t *testing.T) {
	f := open(t)
	a, b := f.room(1), f.room(2)
	put(t, a, "k", "1")
	commit(t, a)
	put(t, a, "k", "2")
	put(t, b, "k", "1")
	failed := make(chan error)
	go func() {
		_, err := try(b, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n")
		failed <- err
	}()
	for b.mu.TryLock() { // until it runs
		b.mu.Unlock()
		runtime.Gosched()
	}
	check(t, f.Close())
	fails(t, <-failed, "interrupted")
	_, err := a.Get("k")
	if !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	f.reopen()
	same(t, "value", get(t, f.room(1), "k"), "1")
	same(t, "value", get(t, f.room(2), "k"), "<none>")
}

// commitForever commits one key after the other and says which.
func commitForever(dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		panic(err)
	}
	d := s.Room("Chat", id(1), "")
	for n := 0; ; n++ {
		if err := d.Put([]Entry{{Key: fmt.Sprintf("%06d", n), Value: []byte("1")}}); err != nil {
			panic(err)
		}
		if _, err := d.Commit(); err != nil {
			panic(err)
		}
		fmt.Println(n)
	}
}

func TestCommitSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	cmd := child(t, "commit", dir)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	lines := bufio.NewScanner(out)
	var last string
	for i := 0; i < 500 && lines.Scan(); i++ {
		last = lines.Text()
	}
	check(t, cmd.Process.Kill())
	for lines.Scan() {
		last = lines.Text()
	}
	cmd.Wait()
	s, err := Open(dir, Options{})
	check(t, err)
	defer s.Close()
	d := s.Room("Chat", id(1), "")
	var want int
	fmt.Sscan(last, &want)
	rows := query(t, d, "SELECT 1")
	same(t, "open", rows, [][]any{{int64(1)}})
	n := 0
	for o, more := (ListOptions{}), true; more; {
		var entries []Entry
		entries, more, err = d.List(o, 100)
		check(t, err)
		for _, e := range entries {
			if e.Key != fmt.Sprintf("%06d", n) {
				t.Fatalf("key %s, want %d", e.Key, n)
			}
			n++
		}
		if len(entries) > 0 {
			o = o.Next(entries[len(entries)-1].Key, len(entries))
		}
	}
	if n < want+1 || want < 499 {
		t.Errorf("%d keys are left of at least %d", n, want+1)
	}
	rooms, err := s.Rooms()
	check(t, err)
	same(t, "rooms", len(rooms), 1)
	restore(t, d, restore(t, d, bookmarkOf(t, d)))
	entries, err := d.Get(fmt.Sprintf("%06d", n-1))
	check(t, err)
	same(t, "last key", len(entries), 1)
}

func TestCorruptAndForeignFiles(t *testing.T) {
	f := open(t)
	good := f.room(1)
	put(t, good, "k", "1")
	commit(t, good)
	for n, content := range map[int]string{2: strings.Repeat("not a database ", 500), 3: "SQLite format 3\x00" + strings.Repeat("x", 9000)} {
		d := f.room(n)
		check(t, os.WriteFile(d.Path(), []byte(content), 0o644))
		_, err := d.Get("k")
		fails(t, err, d.Path(), "SQLITE_")
		fails(t, d.Put([]Entry{{Key: "k"}}), d.Path())
		_, err = try(d, "SELECT 1")
		fails(t, err, d.Path())
		got, err := os.ReadFile(d.Path())
		check(t, err)
		same(t, "unchanged", string(got) == content, true)
	}
	rooms, err := f.Rooms()
	check(t, err)
	same(t, "rooms", len(rooms), 3)
	for _, room := range rooms {
		if (room.Err != nil) != (room.ID != id(1)) {
			t.Errorf("%s: %v", room.ID, room.Err)
		}
	}
	same(t, "other room", get(t, good, "k"), "1")
}

func TestCorruptPageIsAnError(t *testing.T) {
	f := open(t)
	d := f.room(1)
	query(t, d, "CREATE TABLE t(x)")
	for range 50 {
		query(t, d, "INSERT INTO t VALUES (randomblob(3000))")
	}
	commit(t, d)
	_, _, err := d.c.checkpoint(3)
	check(t, err)
	check(t, d.Close())
	file, err := os.OpenFile(d.Path(), os.O_RDWR, 0)
	check(t, err)
	_, err = file.WriteAt([]byte(strings.Repeat("\xff", 30*4096)), 2*4096)
	check(t, err)
	check(t, file.Close())
	_, err = try(d, "SELECT sum(length(x)) FROM t")
	fails(t, err, d.Path(), "malformed", "SQLITE_CORRUPT")
}

func TestOtherConnectionsReadMeanwhile(t *testing.T) {
	f := open(t)
	d := f.room(1)
	put(t, d, "k", "1")
	commit(t, d)
	put(t, d, "k", "2")
	reader := f.room(1)
	same(t, "committed value", get(t, reader, "k"), "1")
	check(t, reader.Close())
	if exe, err := exec.LookPath("sqlite3"); err == nil {
		out, err := exec.Command(exe, d.Path(), "SELECT value FROM _cf_KV").CombinedOutput()
		check(t, err)
		same(t, "sqlite3", strings.TrimSpace(string(out)), "1")
	}
	commit(t, d)
	same(t, "new value", get(t, reader, "k"), "2")
}

func TestEmptyFileIsLikeThatOfSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	c, err := connect(path, connOptions{}, true)
	check(t, err)
	check(t, c.exec("CREATE TABLE t(x)"))
	check(t, c.exec("DROP TABLE t"))
	_, _, err = c.checkpoint(3)
	check(t, err)
	check(t, c.exec("VACUUM"))
	check(t, c.close())
	want, err := os.ReadFile(path)
	check(t, err)
	got := emptyFile()
	for _, header := range [][]byte{want, got} {
		for _, at := range []int{24, 40, 92, 96} { // change counter, schema cookie, version-valid-for, version
			copy(header[at:at+4], "    ")
		}
	}
	if string(got) != string(want) {
		t.Errorf("got %x, want %x", got[:110], want[:110])
	}
}

func TestManyRoomsAtOnce(t *testing.T) {
	f := open(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			d := f.room(n)
			for i := range 30 {
				if err := d.Put([]Entry{{Key: "k", Value: []byte(fmt.Sprint(i))}}); err != nil {
					t.Error(err)
				}
				if err := d.SetAlarm(f.now.Add(time.Duration(i%7+1) * time.Hour)); err != nil {
					t.Error(err)
				}
				if _, err := try(d, "SELECT value FROM (SELECT 1 AS value)"); err != nil {
					t.Error(err)
				}
				if _, err := d.Commit(); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					if _, err := f.Rooms(); err != nil {
						t.Error(err)
					}
					if err := d.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	rooms, err := f.Rooms()
	check(t, err)
	same(t, "rooms", len(rooms), 8)
	for _, room := range rooms {
		same(t, "alarm", room.Alarm.Equal(f.now.Add(2*time.Hour)), true)
	}
}

func TestAnyPath(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("such names do not exist there")
	}
	s, err := Open(filepath.Join(t.TempDir(), "a b?c#d%20é'\"&=;"), Options{})
	check(t, err)
	defer s.Close()
	d := s.Room("Größe_2", id(1), "")
	put(t, d, "k", "1")
	commit(t, d)
	check(t, d.Close())
	same(t, "value", get(t, d, "k"), "1")
	same(t, "file", exists(d.Path()), true)
	rooms, err := s.Rooms()
	check(t, err)
	same(t, "rooms", len(rooms), 1)
	for _, d := range []*Database{s.Room("../x", id(1), ""), s.Room("Chat", "../../../x", ""), s.Room("", id(1), "")} {
		fails(t, d.Put([]Entry{{Key: "k"}}), "is no room")
	}
}
