package storage

import (
	"errors"
	"strings"
	"testing"
)

func TestPeekSeesWhatIsCommittedAndWritesNothing(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	id := strings.Repeat("ab", 32)
	room := s.Room("Room", id, "r")
	look := func() *Database {
		d := s.Peek("Room", id)
		t.Cleanup(func() { _ = d.Close() })
		return d
	}

	if all, _, err := look().List(ListOptions{}, 0); len(all) != 0 || err != nil {
		t.Fatalf("a room without a file: %v, %v", all, err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(room.Put([]Entry{{Key: "a", Value: []byte("1")}}))
	_, err = room.Commit()
	must(err)
	must(room.Put([]Entry{{Key: "b", Value: []byte("2")}})) // not committed
	d := look()
	all, _, err := d.List(ListOptions{}, 0)
	if err != nil || len(all) != 1 || all[0].Key != "a" {
		t.Fatalf("beside an open transaction: %v, %v", all, err)
	}
	if err := d.Put([]Entry{{Key: "c", Value: []byte("3")}}); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("put: %v", err)
	}
	for _, text := range []string{"CREATE TABLE t (a)", "PRAGMA query_only=0", "INSERT INTO _cf_KV VALUES ('x', 1)"} {
		c, err := d.Query(t.Context(), text, nil)
		if err == nil {
			_, _, err = c.Next(0, 0)
		}
		if err == nil {
			t.Errorf("%s: no error", text)
		}
	}
	_, err = room.Commit()
	must(err)
	if all, _, err := d.List(ListOptions{}, 0); err != nil || len(all) != 2 {
		t.Fatalf("after the commit: %v, %v", all, err)
	}
	must(d.Close())
	must(room.Close())
	if all, _, err := look().List(ListOptions{}, 0); err != nil || len(all) != 2 {
		t.Fatalf("of a closed room: %v, %v", all, err)
	}
}

func TestCommitTellsThatNothingIsLeft(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	room := s.Room("Room", strings.Repeat("cd", 32), "r")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, again := range []bool{false, true} {
		must(room.Put([]Entry{{Key: "a", Value: []byte("1")}}))
		if c, err := room.Commit(); err != nil || c.Empty {
			t.Fatalf("%+v, %v", c, err)
		}
		must(room.DeleteAll())
		if again {
			must(room.Put([]Entry{{Key: "b", Value: []byte("1")}}))
		}
		if c, err := room.Commit(); err != nil || c.Empty == again {
			t.Fatalf("written again %v: %+v, %v", again, c, err)
		}
	}
}
