package storage

import (
	"strings"
	"testing"
)

// What is read of the size without opening the database is what the database
// says: also while commits are in the log only, and after the log was begun anew.
func TestSizeOf(t *testing.T) {
	f := open(t)
	d := f.room(1)
	same(t, "size of a room without a file", SizeOf(d.path), int64(0))
	equal := func(when string) {
		t.Helper()
		want, err := d.Size()
		check(t, err)
		same(t, when, SizeOf(d.path), want)
	}
	put(t, d, "a", "1")
	commit(t, d)
	equal("after the first commit")
	put(t, d, "b", strings.Repeat("x", 1<<20))
	commit(t, d)
	equal("after a megabyte")
	if n := SizeOf(d.path); n < 1<<20 {
		t.Errorf("a megabyte takes %d bytes", n)
	}
	put(t, d, "c", strings.Repeat("x", 1<<19))
	check(t, d.Rollback())
	equal("after a rollback")
	f.reopen()
	d = f.room(1)
	equal("after it was opened again")
	defer func(n int) { reachFrames = n }(reachFrames)
	reachFrames = 1 // the log is too long to go on
	for range 3 {
		put(t, d, "a", "2")
		commit(t, d)
		equal("after the log was begun anew")
	}
	f.reopen()
	d = f.room(1)
	equal("after that was opened again")
}
