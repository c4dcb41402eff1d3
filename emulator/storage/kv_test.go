package storage

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKeys(t *testing.T) {
	f := open(t)
	d := f.room(1)
	keys := []string{"", "\uffff", "😀", "a", "a\x00b", "b", "B", "'; DROP TABLE x --"}
	for i, key := range keys {
		check(t, d.Put([]Entry{{key, []byte{byte(i), 0, 255}, true}}))
	}
	check(t, d.Put([]Entry{{Key: "json", Value: []byte(`{"a":"\u0000"}`)}, {Key: "none", Blob: true}}))
	entries, err := d.Get("json", "a", "missing", "a", "", "none")
	check(t, err)
	same(t, "get", entries, []Entry{{"", []byte{0, 0, 255}, true}, {"a", []byte{3, 0, 255}, true},
		{"json", []byte(`{"a":"\u0000"}`), false}, {"none", []byte{}, true}})
	all, more, err := d.List(ListOptions{}, 0)
	check(t, err)
	same(t, "more", more, false)
	var got []string
	for _, e := range all {
		got = append(got, e.Key)
	}
	want := append(slices.Clone(keys), "json", "none")
	sort.Strings(want)
	same(t, "order", got, want)
	n, err := d.Delete("a", "missing", "😀", "a")
	check(t, err)
	same(t, "deleted", n, 2)
	one, zero := "a", 0
	_, _, err = d.List(ListOptions{Start: &one, StartAfter: &one}, 0)
	fails(t, err, "both start and startAfter")
	_, _, err = d.List(ListOptions{Limit: &zero}, 0)
	fails(t, err, "List limit must be positive.")
	same(t, "type of text", query(t, d, "SELECT name FROM sqlite_master WHERE name = '_cf_KV'"), [][]any{{"_cf_KV"}})
}

func TestListIsBounded(t *testing.T) {
	f := open(t)
	d := f.room(1)
	value := make([]byte, 1<<20)
	for i := range 10 {
		check(t, d.Put([]Entry{{fmt.Sprint(i), value, true}}))
	}
	first, more, err := d.List(ListOptions{}, 0)
	check(t, err)
	if len(first) > 5 || !more {
		t.Errorf("%d entries at once, more %t", len(first), more)
	}
}

// model is what a room should hold.
type model map[string]Entry

func (m model) clone() model {
	c := model{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

func (m model) list(o ListOptions) []Entry {
	var entries []Entry
	for _, e := range m {
		if o.Start != nil && e.Key < *o.Start || o.StartAfter != nil && e.Key <= *o.StartAfter ||
			o.End != nil && e.Key >= *o.End || !strings.HasPrefix(e.Key, o.Prefix) {
			continue
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	if o.Reverse {
		slices.Reverse(entries)
	}
	if o.Limit != nil && len(entries) > *o.Limit {
		entries = entries[:*o.Limit]
	}
	return entries
}

func equal(a, b []Entry) bool {
	return slices.EqualFunc(a, b, func(a, b Entry) bool {
		return a.Key == b.Key && string(a.Value) == string(b.Value) && a.Blob == b.Blob
	})
}

// TestRandomOperations drives a room and a plain map with the same operations.
func TestRandomOperations(t *testing.T) {
	f := open(t)
	room := 0
	rapid.Check(t, func(t *rapid.T) {
		room++
		d := f.room(room)
		defer d.Close()
		committed, now := model{}, model{}
		var saved []model
		key := rapid.SampledFrom([]string{"", "a", "a1", "a2", "b", "b\xff", "\xff", "\xff\xff", "é", "😀", "z"})
		entry := rapid.Custom(func(t *rapid.T) Entry {
			return Entry{key.Draw(t, "key"), []byte(rapid.StringN(0, 20, -1).Draw(t, "value")), rapid.Bool().Draw(t, "blob")}
		})
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				entries := rapid.SliceOfN(entry, 0, 4).Draw(t, "entries")
				must(d.Put(entries))
				for _, e := range entries {
					now[e.Key] = e
				}
			},
			"delete": func(t *rapid.T) {
				keys := rapid.SliceOfN(key, 0, 3).Draw(t, "keys")
				want := 0
				for _, k := range keys {
					if _, ok := now[k]; ok {
						want++
						delete(now, k)
					}
				}
				n, err := d.Delete(keys...)
				must(err)
				if n != want {
					t.Fatalf("deleted %d, want %d", n, want)
				}
			},
			"deleteAll": func(t *rapid.T) {
				err := d.DeleteAll()
				if (err != nil) != (len(saved) > 0) {
					t.Fatal(err)
				}
				if err == nil {
					now = model{}
				}
			},
			"savepoint": func(t *rapid.T) {
				n, err := d.Savepoint()
				must(err)
				saved = append(saved, now.clone())
				if n != len(saved) {
					t.Fatalf("savepoint %d, want %d", n, len(saved))
				}
			},
			"release": func(t *rapid.T) {
				n := rapid.IntRange(0, len(saved)+1).Draw(t, "n")
				err := d.Release(n)
				if n < 1 || n > len(saved) {
					if err == nil {
						t.Fatal("no error")
					}
					return
				}
				must(err)
				saved = saved[:n-1]
			},
			"rollbackTo": func(t *rapid.T) {
				if len(saved) == 0 {
					t.Skip()
				}
				n := rapid.IntRange(1, len(saved)).Draw(t, "n")
				must(d.RollbackTo(n))
				now, saved = saved[n-1], saved[:n-1]
			},
			"commit": func(t *rapid.T) {
				_, err := d.Commit()
				must(err)
				committed, saved = now.clone(), nil
			},
			"failing commit": func(t *rapid.T) {
				dirty := d.Dirty()
				broken := errors.New("broken")
				d.FailNextCommit(broken)
				if _, err := d.Commit(); errors.Is(err, broken) != dirty {
					t.Fatalf("error %v, dirty %t", err, dirty)
				}
				d.FailNextCommit(nil)
				now, saved = committed.clone(), nil
			},
			"rollback": func(t *rapid.T) {
				must(d.Rollback())
				now, saved = committed.clone(), nil
			},
			"reopen": func(t *rapid.T) {
				must(d.Close())
				now, saved = committed.clone(), nil
			},
			"list": func(t *rapid.T) {
				var o ListOptions
				optional := rapid.Ptr(key, true)
				if rapid.Bool().Draw(t, "after") {
					o.StartAfter = optional.Draw(t, "start after")
				} else {
					o.Start = optional.Draw(t, "start")
				}
				o.End = optional.Draw(t, "end")
				o.Prefix = key.Draw(t, "prefix")
				o.Reverse = rapid.Bool().Draw(t, "reverse")
				o.Limit = rapid.Ptr(rapid.IntRange(1, 5), true).Draw(t, "limit")
				want := now.list(o)
				batch := rapid.IntRange(0, 3).Draw(t, "batch")
				var got []Entry
				for more := true; more; {
					var entries []Entry
					var err error
					entries, more, err = d.List(o, batch)
					must(err)
					got = append(got, entries...)
					if more {
						o = o.Next(entries[len(entries)-1].Key, len(entries))
					}
				}
				if !equal(got, want) {
					t.Fatalf("got %v, want %v", got, want)
				}
			},
			"": func(t *rapid.T) {
				entries, err := d.Get("", "a", "a1", "a2", "b", "b\xff", "\xff", "\xff\xff", "é", "😀", "z")
				must(err)
				if want := now.list(ListOptions{}); !equal(entries, want) {
					t.Fatalf("got %v, want %v", entries, want)
				}
			},
		})
	})
}
