package script

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// Recorder turns what happens in an emulator into a script that does the same
// again: what clients and people did becomes commands, what clients saw becomes
// expectations. It is for one goroutine.
//
// The script begins with no rooms, so a recording is best begun with none. What
// it cannot do again, or is not sure to, is a comment in the script and a
// warning.
type Recorder struct {
	dir   string   // of the server, for start; "": where the script runs
	flags []string // for start

	began    time.Time
	number   uint64 // of the generation
	seq      uint64 // of the last event taken
	events   []inspect.Event
	full     bool
	warnings []string
	names    *names
	existing []inspect.Connection
}

// RecordOptions say where a recording begins.
type RecordOptions struct {
	// Snapshot is the emulator at the beginning, and Connections what is open.
	Snapshot    *inspect.Snapshot
	Connections []inspect.Connection
	// Dir is the server's directory as seen from where the script will run, and
	// Flags are those of party dev that it runs with. Both may be empty.
	Dir   string
	Flags []string
}

// recordMost is how many events a recording keeps.
const recordMost = 200_000

// RecordPayload is how much of a message a recording should be given.
const RecordPayload = 1 << 20

// NewRecorder begins a recording.
func NewRecorder(o RecordOptions) *Recorder {
	r := &Recorder{
		dir: o.Dir, flags: o.Flags, began: o.Snapshot.Time, number: o.Snapshot.Generation.Number, seq: o.Snapshot.Seq,
		names: newNames(), existing: o.Connections,
	}
	state := 0
	for _, room := range o.Snapshot.Rooms {
		if room.Size > 0 || room.State != inspect.Cold {
			state++
		}
	}
	if state > 0 {
		r.warn("%d rooms were there when the recording began; the script begins with none, and without what they stored", state)
	}
	return r
}

func (r *Recorder) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(r.warnings, text) {
		r.warnings = append(r.warnings, text)
	}
}

// Add takes what happened, in order. lost is how many events are missing behind
// these.
func (r *Recorder) Add(events []inspect.Event, lost uint64) {
	for _, e := range events {
		seq := inspect.Of(e).Seq
		if seq <= r.seq {
			continue
		}
		r.seq = seq
		if len(r.events) >= recordMost {
			r.full = true
			continue
		}
		r.events = append(r.events, e)
	}
	if lost > 0 {
		r.warn("%d events came too fast to be recorded", lost)
	}
}

// Seq is the number of the last event that was taken, or of the last before the
// recording.
func (r *Recorder) Seq() uint64 { return r.seq }

// Len is how many events were recorded.
func (r *Recorder) Len() int { return len(r.events) }

// Script writes what was recorded so far, and what is wrong with it.
func (r *Recorder) Script() (text []byte, warnings []string) {
	if r.full {
		r.warn("only the first %d events were recorded", recordMost)
	}
	w := newWriter(r)
	w.write()
	return []byte(w.text()), r.warnings
}

// item is something that happens in the script: lines, where they stand, and
// whether they expect something, so that the clock must have come that far.
type item struct {
	at     int // index of the event that it stands before
	lines  []string
	time   time.Time // zero: whenever
	expect bool
}

// writer makes one script.
type writer struct {
	r      *Recorder
	events []inspect.Event
	items  []item
	files  []string // name, text, name, text
	open   map[string][]*recorded
	turns  map[string]*turns
	ends   map[[2]string][]int // of connections, by room and id: indices of events
	ended  map[int]bool        // those that a client asked for
}

// recorded is a connection.
type recorded struct {
	room, id, name string
	gone           bool // no more comes to it
}

func newWriter(r *Recorder) *writer {
	w := &writer{r: r, events: r.events, open: map[string][]*recorded{}, turns: turnsOf(r.events), ends: map[[2]string][]int{}, ended: map[int]bool{}}
	for i, e := range r.events {
		if e, ok := e.(*inspect.ConnectionClosed); ok {
			key := [2]string{e.Room, e.Connection}
			w.ends[key] = append(w.ends[key], i)
		}
	}
	return w
}

func (w *writer) put(at int, expect bool, lines ...string) {
	it := item{at: at, lines: lines, expect: expect}
	if at < len(w.events) {
		it.time = inspect.Of(w.events[at]).Time
	}
	w.items = append(w.items, it)
}

// cannot notes what the script does not do again.
func (w *writer) cannot(at int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.r.warn("%s", text)
	w.items = append(w.items, item{at: at, lines: []string{"# not replayed: " + oneLine(text)}})
}

func (w *writer) write() {
	for _, c := range w.r.existing {
		known := &recorded{room: c.Room, id: c.ID, name: w.r.names.client(c.Room, c.ID)}
		w.open[c.Room] = append(w.open[c.Room], known)
		w.put(0, false, w.connectLine(known, c.URI))
		w.r.warn("%s was connected when the recording began; what it was sent before is unknown", known.name)
	}
	for i, e := range w.events {
		w.event(i, e)
	}
	// What was done stands before what came of it, though it was found later.
	slices.SortStableFunc(w.items, func(a, b item) int {
		if a.at != b.at || a.expect == b.expect {
			return a.at - b.at
		}
		if a.expect {
			return 1
		}
		return -1
	})
}

// event adds what one event means.
func (w *writer) event(i int, e inspect.Event) {
	h := inspect.Of(e)
	switch e := e.(type) {
	case *inspect.Turn:
		w.turn(i, h.Room, e.Kind, e.Connection)
	case *inspect.TurnLost:
		w.turn(i, h.Room, e.Kind, e.Connection)
	case *inspect.ConnectionOpened:
		w.opened(i, e)
	case *inspect.ConnectionRefused:
		w.cannot(i, "a connection to %s was refused: %s", h.Room, e.Reason)
	case *inspect.ConnectionClosed:
		w.closed(i, e)
	case *inspect.MessageIn:
		at := i
		if !e.Auto {
			limit := len(w.events)
			if _, j := w.end(i, h.Room, e.Connection); j >= 0 {
				limit = j
			}
			at = max(i, w.turns[h.Room].messageBegins(i, limit))
		}
		w.sent(at, e)
	case *inspect.MessageOut:
		w.received(i, e)
	case *inspect.Request:
		w.request(i, e)
	case *inspect.RoomHibernated:
		state := inspect.Hibernated
		if e.Connections == 0 {
			state = inspect.Cold
		}
		if h.Forced {
			w.put(i, false, "hibernate -force "+quote(h.Room))
		}
		w.put(i, true, fmt.Sprintf("room %s state=%s connections=%d", quote(h.Room), state, e.Connections))
	case *inspect.RoomEvicted:
		w.forced(i, h, "evict")
	case *inspect.RoomAborted:
		w.forced(i, h, "abort")
	case *inspect.AlarmFired:
		if h.Forced {
			w.put(i, false, "fire "+quote(h.Room))
		} else {
			w.put(i, true) // brings the clock this far
		}
	case *inspect.ClockMoved:
		w.put(i, false)
	case *inspect.Crash:
		if h.Forced {
			at, _ := w.before(i, "")
			w.put(at, false, "crash")
		}
	case *inspect.GenerationStarted:
		if e.Generation > w.r.number {
			w.r.number = e.Generation
			w.put(i, false, "reload")
			w.r.warn("the server's code changed while it was recorded; the script reloads the code that is there when it runs")
		}
	case *inspect.ConnectionDelayed:
		w.cannot(i, "%s was delayed by %s", w.r.names.client(h.Room, e.Connection), e.Delay)
	case *inspect.StorageWritten:
		w.cannot(i, "the storage of %s was written to from outside", h.Room)
	case *inspect.RoomReset:
		w.cannot(i, "the storage of %s was deleted", h.Room)
	case *inspect.CommitFailing:
		w.cannot(i, "the next commit of %s was made to fail", h.Room)
	case *inspect.AlarmSet:
		if h.Forced {
			w.cannot(i, "the alarm of %s was moved from outside", h.Room)
		}
	}
}

// forced puts down an order for a room. What still runs is not waited for, so
// what runs no more is.
func (w *writer) forced(i int, h inspect.Header, order string) {
	if !h.Forced {
		return
	}
	line := order + " " + quote(h.Room)
	at, lost := w.before(i, h.Room)
	if lost {
		w.put(at, false, line)
	} else {
		w.put(at, false, "idle", line)
	}
}

// before is where the order stands that led to event i: before the connections
// that it cut and the turns that it lost, in a room or in all. lost is whether
// there were any.
func (w *writer) before(i int, room string) (at int, lost bool) {
	for at = i; i > 0; i-- {
		e := w.events[i-1]
		if room != "" && inspect.Of(e).Room != room {
			continue
		}
		switch e := e.(type) {
		case *inspect.TurnLost:
			lost = true
		case *inspect.ConnectionClosed:
			if e.Code != 1006 || w.ended[i-1] || w.turns[e.Room].closing(i-1, e.Connection) {
				return at, lost
			}
		default:
			return at, lost
		}
		at = i - 1
	}
	return at, lost
}

// turn puts down what began a turn: not messages, which have events of their own.
func (w *writer) turn(i int, room, kind, id string) {
	begin := w.turns[room].begin(i)
	switch kind {
	case "close":
		over, j := w.end(i, room, id)
		if over == nil || over.Server {
			return
		}
		w.leaves(begin, j, over)
	case "error":
		w.cannot(begin, "%s broke the WebSocket protocol", w.r.names.client(room, id))
	}
}

// leaves puts down at an index that a client ends a connection, which is over at
// event i.
func (w *writer) leaves(at, i int, over *inspect.ConnectionClosed) {
	c := w.oldest(over.Room, over.Connection)
	if c == nil {
		return
	}
	c.gone = true
	w.ended[i] = true
	if !over.Clean {
		w.put(at, false, "drop "+c.name)
		return
	}
	w.put(at, false, "close "+c.name+codeText(over.Code, over.Reason))
	w.put(i, true, "closed "+c.name+codeText(over.Code, over.Reason))
}

// end finds the end of a connection behind event i.
func (w *writer) end(i int, room, id string) (*inspect.ConnectionClosed, int) {
	all := w.ends[[2]string{room, id}]
	n, _ := slices.BinarySearch(all, i+1)
	if n == len(all) {
		return nil, -1
	}
	return w.events[all[n]].(*inspect.ConnectionClosed), all[n]
}

func codeText(code int, reason string) string {
	switch {
	case code == 1005:
		return ""
	case reason == "":
		return fmt.Sprintf(" %d", code)
	}
	return fmt.Sprintf(" %d %s", code, quote(reason))
}

// closed puts down an end that had no turn: mostly one that the client did not
// ask for.
func (w *writer) closed(i int, e *inspect.ConnectionClosed) {
	c := w.oldest(e.Room, e.Connection)
	if c == nil || w.ended[i] {
		return
	}
	// A client that goes gives a reason, or the emulator does for it; the emulator
	// that cuts gives none.
	if !e.Server && (e.Clean || e.Code == 1006 && e.Reason != "") {
		w.leaves(i, i, e)
		return
	}
	c.gone = true
	w.put(i, true, "closed "+c.name+codeText(e.Code, e.Reason))
}

func (w *writer) sent(at int, e *inspect.MessageIn) {
	c := w.newest(e.Room, e.Connection)
	if c == nil {
		if late := w.opens(e.Room, e.Connection); len(late) > 0 {
			c = late[len(late)-1]
		} else {
			c = w.connecting(e.Room, e.Connection)
		}
	}
	if e.Size > len(e.Data) {
		w.cannot(at, "%s sent a message of %d bytes, of which only %d are known", c.name, e.Size, len(e.Data))
		return
	}
	if e.Binary {
		w.put(at, false, "send -binary "+c.name+" "+quote(hex.EncodeToString(e.Data)))
		return
	}
	w.put(at, false, w.sendLines(c.name, string(e.Data))...)
}

// sendLines sends a text, which must be quoted in one way or another.
func (w *writer) sendLines(name, text string) []string {
	if !strings.ContainsAny(text, "\n\r\x00") {
		return []string{"send " + name + " " + quote(text)}
	}
	file := fmt.Sprintf("message%d.txt", len(w.files)/2+1)
	if strings.HasSuffix(text, "\n") && fitsFile(text) {
		w.files = append(w.files, file, text)
		return []string{"send -file " + name + " " + file}
	}
	w.files = append(w.files, "", "")
	return []string{"exec printf '%b' " + quote(escape(text)), "cp stdout " + file, "send -file " + name + " " + file}
}

// received puts down what clients were sent.
func (w *writer) received(i int, e *inspect.MessageOut) {
	if e.Forced {
		w.cannot(i, "%s was sent a message from outside: %s", e.Room, e.Data[:min(len(e.Data), 60)])
		return
	}
	for _, c := range w.receivers(i, e) {
		w.put(i, true, "recv "+w.wanted(c.name, e.Payload))
	}
}

// wanted is what a client is to receive.
func (w *writer) wanted(name string, p inspect.Payload) string {
	whole := p.Size <= len(p.Data)
	if p.Binary {
		if !whole {
			w.r.warn("%s received %d bytes, of which only %d are known", name, p.Size, len(p.Data))
			return "-re " + name + " '.*'"
		}
		return "-binary " + name + " " + quote(hex.EncodeToString(p.Data))
	}
	text := string(p.Data)
	if pattern, ok := w.r.names.pattern(text, whole); ok {
		return "-re " + name + " " + quote(pattern)
	}
	return name + " " + quote(text)
}
