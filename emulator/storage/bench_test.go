package storage

import (
	"context"
	"fmt"
	"testing"
)

func BenchmarkPutCommit(b *testing.B) {
	for _, full := range []bool{false, true} {
		b.Run(fmt.Sprintf("full=%t", full), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{Full: full})
			check(b, err)
			defer s.Close()
			d := s.Room("Chat", id(1), "room")
			value := []byte(`{"n":1,"text":"some value of a usual size"}`)
			for i := 0; b.Loop(); i++ {
				check(b, d.Put([]Entry{{Key: fmt.Sprint(i % 100), Value: value}}))
				_, err := d.Commit()
				check(b, err)
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	d := open(b).room(1)
	value := []byte(`{"n":1,"text":"some value of a usual size"}`)
	for i := 0; b.Loop(); i++ {
		check(b, d.Put([]Entry{{Key: fmt.Sprint(i % 100), Value: value}}))
	}
}

func BenchmarkGet(b *testing.B) {
	d := open(b).room(1)
	put(b, d, "key", `{"n":1,"text":"some value of a usual size"}`)
	commit(b, d)
	for b.Loop() {
		_, err := d.Get("key")
		check(b, err)
	}
}

func BenchmarkInsertSelect(b *testing.B) {
	d := open(b).room(1)
	query(b, d, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, n REAL)")
	commit(b, d)
	ctx := context.Background()
	for b.Loop() {
		cur, err := d.Query(ctx, "INSERT INTO t(name, n) VALUES (?, ?)", named([]any{"some name", 1.5}))
		check(b, err)
		last := cur.LastInsertID()
		cur, err = d.Query(ctx, "SELECT * FROM t WHERE id = ?", named([]any{last}))
		check(b, err)
		_, _, err = cur.Next(0, 0)
		check(b, err)
		_, err = d.Commit()
		check(b, err)
	}
}

func BenchmarkSelectRows(b *testing.B) {
	d := open(b).room(1)
	cur, err := d.Query(context.Background(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i, 'some text' FROM n", nil)
	check(b, err)
	defer cur.Close()
	n := 0
	for b.Loop() {
		if n == 0 {
			rows, _, err := cur.Next(1000, 0)
			check(b, err)
			n = len(rows)
		}
		n--
	}
}

func BenchmarkNewRoom(b *testing.B) {
	f := open(b)
	for i := 0; b.Loop(); i++ {
		d := f.room(i)
		put(b, d, "key", "1")
		commit(b, d)
		check(b, d.Close())
	}
}

func BenchmarkReopen(b *testing.B) {
	d := open(b).room(1)
	for i := range 1000 {
		put(b, d, fmt.Sprint(i), "1")
		commit(b, d)
	}
	for b.Loop() {
		check(b, d.Close())
		get(b, d, "1")
	}
}
