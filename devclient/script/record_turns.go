package script

import (
	"cmp"
	"slices"

	"github.com/goparty/party/emulator/inspect"
)

// turns are the turns of one room, by the events that ended them. What a turn
// did lies between the end of the one before it and its own.
type turns struct {
	all     []span
	matched map[int]int // index of a message's event: its turn
}

type span struct {
	begin, end int // of the first thing that it did, and of its end
	kind, id   string
	lost       bool
}

// turnsOf finds the turns of all rooms.
func turnsOf(events []inspect.Event) map[string]*turns {
	rooms := map[string]*turns{}
	first := map[string]int{}        // what the turn that runs did first, plus one
	waiting := map[[2]string][]int{} // messages without a turn so far
	for i, e := range events {
		room := inspect.Of(e).Room
		if room == "" {
			continue
		}
		t := rooms[room]
		if t == nil {
			t = &turns{matched: map[int]int{}}
			rooms[room] = t
		}
		end := func(kind, id string, lost bool) {
			s := span{begin: i, end: i, kind: kind, id: id, lost: lost}
			if first[room] > 0 {
				s.begin = first[room] - 1
			}
			first[room] = 0
			if kind == "message" {
				if w := waiting[[2]string{room, id}]; len(w) > 0 {
					t.matched[w[0]] = len(t.all)
					waiting[[2]string{room, id}] = w[1:]
				}
			}
			t.all = append(t.all, s)
		}
		switch e := e.(type) {
		case *inspect.Turn:
			end(e.Kind, e.Connection, false)
		case *inspect.TurnLost:
			end(e.Kind, e.Connection, true)
		case *inspect.MessageIn:
			if !e.Auto {
				waiting[[2]string{room, e.Connection}] = append(waiting[[2]string{room, e.Connection}], i)
			}
		case *inspect.RoomStarted, *inspect.Log, *inspect.Exception, *inspect.Commit, *inspect.AlarmSet, *inspect.AlarmFired:
			if first[room] == 0 {
				first[room] = i + 1
			}
		case *inspect.MessageOut:
			if first[room] == 0 && !e.Auto && !e.Forced {
				first[room] = i + 1
			}
		}
	}
	return rooms
}

// next is the turn that ends at event i or behind it; nil: none does.
func (t *turns) next(i int) *span {
	if t == nil {
		return nil
	}
	if n := t.before(i) + 1; n < len(t.all) {
		return &t.all[n]
	}
	return nil
}

// before is the last turn that ended before event i, -1: none did.
func (t *turns) before(i int) int {
	if t == nil {
		return -1
	}
	n, _ := slices.BinarySearchFunc(t.all, i, func(s span, i int) int { return cmp.Compare(s.end, i) })
	return n - 1
}

// begin is where the turn that ends at event i begins.
func (t *turns) begin(i int) int {
	if s := t.next(i); s != nil && s.end == i {
		return s.begin
	}
	return i
}

// messageBegins is where the turn of the message of event i begins. One that had
// none stands behind all turns before event limit.
func (t *turns) messageBegins(i, limit int) int {
	if t == nil {
		return i
	}
	if n, ok := t.matched[i]; ok {
		return t.all[n].begin
	}
	if n := t.before(limit); n >= 0 {
		return t.all[n].end + 1
	}
	return i
}

// connect is where the turn began that let a connection in, which opened at
// event i.
func (t *turns) connect(i int, id string) int {
	for n := t.before(i); n >= 0; n-- {
		if s := t.all[n]; s.kind == "connect" && s.id == id {
			return s.begin
		}
	}
	return i
}

// connecting is the connection whose turn runs at event i.
func (t *turns) connecting(i int) (id string, ok bool) {
	if s := t.next(i); s != nil && s.begin <= i && s.kind == "connect" && !s.lost {
		return s.id, true
	}
	return "", false
}

// closing reports whether the end of a connection at event i came behind a turn
// for it, and not from outside.
func (t *turns) closing(i int, id string) bool {
	n := t.before(i)
	return n >= 0 && t.all[n].kind == "close" && t.all[n].id == id
}

// request is the turn of the request that was answered at event i: the last one
// before it that no other request has. -1: none.
func (t *turns) request(i int) int {
	for n := t.before(i); n >= 0; n-- {
		if t.all[n].kind == "request" {
			return n
		}
	}
	return -1
}
