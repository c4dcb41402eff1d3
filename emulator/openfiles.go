package emulator

import (
	"container/list"
	"sync"
)

// openFiles bounds how many rooms' databases are open: beyond that, those used
// longest ago are closed between their turns, and open themselves again when
// they are needed. Each costs four or five files and some 300 kB.
type openFiles struct {
	limit int

	mu    sync.Mutex // a leaf
	order *list.List // of *room, the one used last in front
	at    map[*room]*list.Element
}

// openMost is the limit where Config names none.
const openMost = 64

func newOpenFiles(limit int) *openFiles {
	return &openFiles{limit: limit, order: list.New(), at: map[*room]*list.Element{}}
}

// used notes that a room uses its database, and returns one that should close
// its own, or nil.
func (o *openFiles) used(r *room) *room {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.at[r]; e != nil {
		o.order.MoveToFront(e)
		return nil
	}
	o.at[r] = o.order.PushFront(r)
	if o.order.Len() <= o.limit {
		return nil
	}
	last := o.order.Back()
	oldest := last.Value.(*room)
	o.order.Remove(last)
	delete(o.at, oldest)
	return oldest
}

// closed notes that a room's database is closed.
func (o *openFiles) closed(r *room) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.at[r]; e != nil {
		o.order.Remove(e)
		delete(o.at, r)
	}
}

// restDatabase closes the file while the room goes on. In the middle of a turn
// that used it the file stays open; the turn's end counts as another use.
func (r *room) restDatabase() {
	db := r.db
	if db == nil {
		return
	}
	r.later(func() {
		if !db.Dirty() && len(db.cursors) == 0 && len(db.points) == 0 {
			db.note(db.Close())
		}
	})
}
