package storage

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func bookmarkOf(t testing.TB, d *Database) string {
	t.Helper()
	b, err := d.CurrentBookmark()
	check(t, err)
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$`).MatchString(b) {
		t.Fatalf("bookmark %s", b)
	}
	return b
}

func restore(t testing.TB, d *Database, to string) (undo string) {
	t.Helper()
	undo, err := d.RestoreBookmark(to)
	check(t, err)
	check(t, d.Close())
	return undo
}

func TestBookmarks(t *testing.T) {
	f := open(t)
	d := f.room(1)
	start := f.now
	marks := []string{bookmarkOf(t, d)}
	for i := range 5 {
		f.now = f.now.Add(time.Minute)
		put(t, d, "k", fmt.Sprint(i))
		query(t, d, fmt.Sprintf("CREATE TABLE t%d(x)", i))
		check(t, d.SetAlarm(start.Add(time.Duration(100-i)*time.Hour)))
		same(t, "before the commit", bookmarkOf(t, d), marks[i])
		commit(t, d)
		marks = append(marks, bookmarkOf(t, d))
		if i == 2 {
			check(t, d.Close())
		}
	}
	same(t, "sorted", slices.IsSorted(marks), true)
	for i := range 5 {
		got, err := d.BookmarkForTime(start.Add(time.Duration(i)*time.Minute + 30*time.Second))
		check(t, err)
		same(t, "by time", got, marks[i])
	}
	undo := restore(t, d, marks[3])
	same(t, "went back", get(t, d, "k"), "2")
	_, err := try(d, "SELECT * FROM t3")
	fails(t, err, "no such table")
	rooms, err := f.Rooms()
	check(t, err)
	same(t, "alarm", rooms[0].Alarm.Equal(start.Add(98*time.Hour)), true)
	f.now = f.now.Add(time.Minute)
	put(t, d, "k", "other")
	commit(t, d)
	other := bookmarkOf(t, d)
	same(t, "later", other > undo && undo > marks[5], true)

	back := restore(t, d, undo)
	f.reopen()
	d = f.room(1)
	rooms, err = f.Rooms() // goes back, too
	check(t, err)
	same(t, "alarm", rooms[0].Alarm.Equal(start.Add(96*time.Hour)), true)
	same(t, "undone", get(t, d, "k"), "4")
	restore(t, d, back)
	same(t, "done again", get(t, d, "k"), "other")
	restore(t, d, marks[1])
	same(t, "first", get(t, d, "k"), "0")
	restore(t, d, marks[0])
	same(t, "empty", get(t, d, "k"), "<none>")
	rooms, err = f.Rooms()
	check(t, err)
	same(t, "rooms", len(rooms), 0)
	put(t, d, "k", "new")
	commit(t, d)
	restore(t, d, other)
	same(t, "other", get(t, d, "k"), "other")
	byTime, err := d.BookmarkForTime(start.Add(150 * time.Second))
	check(t, err)
	same(t, "by time", byTime, marks[2])

	for _, bad := range []string{"", "x", strings.Replace(marks[2], "-", "+", 1), strings.Repeat("0", 8+8+8+32+3), marks[2][:50] + "000000000"} {
		_, err := d.RestoreBookmark(bad)
		fails(t, err, "bookmark")
	}
	_, err = f.room(2).RestoreBookmark(marks[2])
	fails(t, err, "out of reach")
	e := f.room(3)
	put(t, e, "k", "1")
	commit(t, e)
	_, err = e.RestoreBookmark(marks[1])
	fails(t, err, "not one of this room")
}

func TestBookmarksReachBack(t *testing.T) {
	defer func(n int) { reachFrames = n }(reachFrames)
	reachFrames = 100
	f := open(t)
	d := f.room(1)
	put(t, d, "k", "0")
	commit(t, d)
	first, begun := bookmarkOf(t, d), f.now
	f.now = f.now.Add(time.Minute)
	for i := range 1000 {
		put(t, d, "k", fmt.Sprint(i))
		commit(t, d)
	}
	info, err := os.Stat(d.Path() + "-wal")
	check(t, err)
	if info.Size() > 300*4120 {
		t.Errorf("the log has %d bytes", info.Size())
	}
	_, err = d.RestoreBookmark(first)
	fails(t, err, "out of reach", "24 hours or 64 MB")
	_, err = d.BookmarkForTime(begun)
	fails(t, err, "out of reach")
	_, err = d.BookmarkForTime(f.now.Add(-25 * time.Hour))
	fails(t, err, "out of reach")
	_, err = d.BookmarkForTime(f.now.Add(time.Hour))
	fails(t, err, "future")
	put(t, d, "k", "then")
	commit(t, d)
	then := bookmarkOf(t, d)
	f.now = f.now.Add(30 * time.Hour)
	put(t, d, "k", "now")
	commit(t, d)
	restore(t, d, then) // it was the present until a moment ago
	same(t, "value", get(t, d, "k"), "then")
	f.now = f.now.Add(25 * time.Hour)
	put(t, d, "k", "later")
	commit(t, d)
	_, err = d.RestoreBookmark(then)
	fails(t, err, "out of reach")
	same(t, "value", get(t, d, "k"), "later")
}

// TestRestorationIsRepeated: a crash between its steps.
func TestRestorationIsRepeated(t *testing.T) {
	f := open(t)
	d := f.room(1)
	put(t, d, "k", "1")
	commit(t, d)
	mark := bookmarkOf(t, d)
	put(t, d, "k", "2")
	commit(t, d)
	undo, err := d.RestoreBookmark(mark)
	check(t, err)
	check(t, d.Close())
	marker, err := os.ReadFile(d.side(".restore"))
	check(t, err)
	_, err = d.restore() // and the process ends
	check(t, err)
	same(t, "value", get(t, d, "k"), "1")
	check(t, d.Close())
	check(t, os.WriteFile(d.side(".restore"), marker, 0o644)) // ended before the marker was gone
	same(t, "value", get(t, d, "k"), "1")
	if exists(d.side(".restore")) {
		t.Error("the marker is left")
	}
	restore(t, d, undo)
	same(t, "value", get(t, d, "k"), "2")
}

// TestCheckpointByOthers: sqlite3 ends the history of a room it closes last.
func TestCheckpointByOthers(t *testing.T) {
	f := open(t)
	d := f.room(1)
	put(t, d, "k", "1")
	commit(t, d)
	mark := bookmarkOf(t, d)
	put(t, d, "k", "2")
	commit(t, d)
	other := func(text string) {
		t.Helper()
		c, err := connect(d.Path(), connOptions{}, false)
		check(t, err)
		check(t, c.exec(text))
		check(t, c.close())
	}
	undo, err := d.RestoreBookmark(mark)
	check(t, err)
	check(t, d.Close())
	other("SELECT count(*) FROM _cf_KV")
	_, err = d.Get("k")
	fails(t, err, "not restored", "out of reach")
	same(t, "value", get(t, d, "k"), "2")
	_, err = d.RestoreBookmark(undo)
	fails(t, err, "out of reach")
	put(t, d, "k", "3")
	commit(t, d)
	mark = bookmarkOf(t, d)
	put(t, d, "k", "4")
	commit(t, d)
	other("PRAGMA wal_checkpoint(PASSIVE)")
	check(t, d.Close())
	_, err = d.RestoreBookmark(mark)
	fails(t, err, "out of reach")
	same(t, "value", get(t, d, "k"), "4")
	if exe, err := exec.LookPath("sqlite3"); err == nil {
		check(t, exec.Command(exe, d.Path(), "CREATE TABLE t(x)").Run())
		same(t, "table", len(query(t, d, "SELECT * FROM t")), 0)
	}
}

// TestRandomRestorations goes to random points in the past.
func TestRandomRestorations(t *testing.T) {
	f := open(t)
	room := 100
	rapid.Check(t, func(t *rapid.T) {
		room++
		d := f.room(room)
		defer func() { d.Close() }()
		now := bookmarkOf2(t, d)
		values := map[string]string{now: "<none>"}
		marks := []string{now}
		value := "<none>"
		for i := range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"commit", "commit", "roll back", "restore", "reopen"}).Draw(t, "step") {
			case "commit":
				value = fmt.Sprint(i)
				if err := d.Put([]Entry{{Key: "k", Value: []byte(value)}}); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Commit(); err != nil {
					t.Fatal(err)
				}
				b := bookmarkOf2(t, d)
				if b <= slices.Max(marks) {
					t.Fatalf("%s is not after %s", b, marks)
				}
				marks = append(marks, b)
				values[b] = value
			case "roll back":
				if err := d.Put([]Entry{{Key: "k", Value: []byte("lost")}}); err != nil {
					t.Fatal(err)
				}
				if err := d.Rollback(); err != nil {
					t.Fatal(err)
				}
			case "restore":
				to := rapid.SampledFrom(marks).Draw(t, "to")
				undo, err := d.RestoreBookmark(to)
				if err != nil {
					t.Fatal(err)
				}
				if _, known := values[undo]; !known {
					marks = append(marks, undo)
					values[undo] = value
				}
				value = values[to]
				d.Close()
			case "reopen":
				d.Close()
				d = f.room(room)
			}
			entries, err := d.Get("k")
			if err != nil {
				t.Fatal(err)
			}
			got := "<none>"
			if len(entries) > 0 {
				got = string(entries[0].Value)
			}
			if got != value {
				t.Fatalf("got %s, want %s", got, value)
			}
		}
	})
}

func bookmarkOf2(t *rapid.T, d *Database) string {
	b, err := d.CurrentBookmark()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestReaderSharesHistory: a second Database of the room comes and goes.
func TestReaderSharesHistory(t *testing.T) {
	f := open(t)
	d, reader := f.room(1), f.room(1)
	put(t, d, "k", "0")
	commit(t, d)
	check(t, d.Close())
	same(t, "value", get(t, reader, "k"), "0") // opens first
	var marks []string
	for i := range 4 {
		f.now = f.now.Add(time.Minute)
		put(t, d, "k", fmt.Sprint(i))
		commit(t, d)
		marks = append(marks, bookmarkOf(t, d))
		same(t, "of the reader", bookmarkOf(t, reader), marks[i])
		if i%2 == 1 {
			check(t, reader.Close())
		}
	}
	for i, mark := range marks {
		got, err := reader.BookmarkForTime(f.now.Add(time.Duration(i-3) * time.Minute))
		check(t, err)
		same(t, "by time", got, mark)
	}
	restore(t, d, marks[1])
	same(t, "not while it is read", get(t, d, "k"), "3")
	check(t, d.Close())
	check(t, reader.Close())
	same(t, "restored", get(t, d, "k"), "1")
}
