package tui

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// history is how many seconds of traffic are kept of each room.
const history = 24

// meter turns a counter into a rate for each second.
type meter struct {
	begun time.Time // of the second that is being measured
	count uint64
	rates [history]float32 // the last at the end
	n     int
}

// measure takes over the counter's value. It reports whether a second was over.
func (m *meter) measure(counter uint64, now time.Time) bool {
	if m.begun.IsZero() || counter < m.count {
		m.begun, m.count = now, counter
		return false
	}
	passed := now.Sub(m.begun)
	if passed < 900*time.Millisecond {
		return false
	}
	rate := float32(float64(counter-m.count) / passed.Seconds())
	for range min(max(int(passed.Seconds()+0.5), 1), history) { // where nobody looked for long
		copy(m.rates[:], m.rates[1:])
		m.rates[history-1] = rate
		m.n = min(m.n+1, history)
	}
	m.begun, m.count = now, counter
	return true
}

// rate is that of the last second.
func (m *meter) rate() float64 { return float64(m.rates[history-1]) }

// past is what is known of the last seconds.
func (m *meter) past() []float32 { return m.rates[history-m.n:] }

// room is a room with what only watching it tells.
type room struct {
	inspect.Room
	search string // what a filter looks at
	meter  meter
	seen   uint64 // the snapshot that had it
}

// world is all rooms as last seen.
type world struct {
	rooms   map[string]*room
	sorted  []*room // by name
	states  map[string]int
	conns   int
	traffic meter
	gen     uint64
	moved   bool // a second was over: an order by rate may change
}

func newWorld() *world { return &world{rooms: map[string]*room{}, states: map[string]int{}} }

// take takes over a snapshot.
func (w *world) take(s *inspect.Snapshot, now time.Time) {
	w.gen++
	w.conns, w.moved = 0, false
	clear(w.states)
	w.sorted = w.sorted[:0]
	var total uint64
	for i := range s.Rooms {
		r := s.Rooms[i]
		known := w.rooms[r.Room]
		if known == nil {
			known = &room{search: strings.ToLower(clean(r.Room))}
			w.rooms[r.Room] = known
		}
		known.Room, known.seen = r, w.gen
		all := r.Traffic.In + r.Traffic.Out
		known.meter.measure(all, now)
		total += all
		w.conns += r.Connections
		w.states[r.State]++
		w.sorted = append(w.sorted, known)
	}
	if len(w.rooms) > len(s.Rooms) {
		for name, r := range w.rooms {
			if r.seen != w.gen {
				delete(w.rooms, name)
			}
		}
	}
	w.moved = w.traffic.measure(total, now)
	byName := func(a, b *room) int { return cmp.Compare(a.search, b.search) }
	if !slices.IsSortedFunc(w.sorted, byName) {
		slices.SortStableFunc(w.sorted, byName)
	}
}

// order is a way to sort rooms.
type order struct {
	name string
	less func(a, b *room) int // what is of interest first
}

// orders are what a person may sort by, in the order of the columns.
var orders = []order{
	{"name", func(a, b *room) int { return 0 }},
	{"state", func(a, b *room) int { return cmp.Compare(stateRank(a.State), stateRank(b.State)) }},
	{"connections", func(a, b *room) int { return cmp.Compare(b.Connections, a.Connections) }},
	{"messages", func(a, b *room) int { return cmp.Compare(b.meter.rate(), a.meter.rate()) }},
	{"turn", func(a, b *room) int { return cmp.Compare(turnTime(b), turnTime(a)) }},
	{"alarm", func(a, b *room) int { return cmp.Compare(alarmTime(a), alarmTime(b)) }},
	{"size", func(a, b *room) int { return cmp.Compare(b.Size, a.Size) }},
	{"error", func(a, b *room) int { return b.ErrorAt.Compare(a.ErrorAt) }},
}

func stateRank(state string) int {
	return slices.Index([]string{inspect.Crashed, inspect.Reloading, inspect.Starting, inspect.Running, inspect.Hibernated, inspect.Cold}, state)
}

func turnTime(r *room) time.Duration {
	if r.Turn == nil {
		return -1
	}
	return r.Turn.For
}

func alarmTime(r *room) int64 {
	if r.Alarm == nil {
		return 1<<63 - 1
	}
	return r.Alarm.Due.UnixNano()
}

// choose lists the rooms whose name has every word of the filter, in order.
func (w *world) choose(filter string, by int, reversed bool, into []*room) []*room {
	into = into[:0]
	words := strings.Fields(strings.ToLower(filter))
next:
	for _, r := range w.sorted {
		for _, word := range words {
			if !strings.Contains(r.search, word) && !strings.HasPrefix(r.State, word) {
				continue next
			}
		}
		into = append(into, r)
	}
	if by > 0 {
		slices.SortStableFunc(into, orders[by].less)
	}
	if reversed {
		slices.Reverse(into)
	}
	return into
}
