package tui

import (
	"bytes"
	"strings"

	"github.com/goparty/party/emulator/inspect"
)

// ring keeps the last of many.
type ring[T any] struct {
	buf  []T
	at   int // of the oldest, once it is full
	most int
}

func newRing[T any](most int) *ring[T] { return &ring[T]{most: most} }

// push adds one, and reports whether the oldest went for it.
func (r *ring[T]) push(v T) bool {
	if len(r.buf) < r.most {
		r.buf = append(r.buf, v)
		return false
	}
	r.buf[r.at] = v
	r.at = (r.at + 1) % r.most
	return true
}

func (r *ring[T]) len() int { return len(r.buf) }

// get returns the i-th, the oldest first.
func (r *ring[T]) get(i int) T { return r.buf[(r.at+i)%len(r.buf)] }

// all copies them, the oldest first.
func (r *ring[T]) all() []T {
	return append(append(make([]T, 0, len(r.buf)), r.buf[r.at:]...), r.buf[:r.at]...)
}

// How much of the stream is kept. A message holds at most inspect.PayloadKept
// bytes, so that memory stays bounded; texts are cut to textKept.
const (
	messagesKept = 4096
	lifeKept     = 8192
	logsKept     = 4096
	roomKept     = 2000 // of the room that is looked at
	textKept     = 16 << 10
)

// store is what was heard of the stream of events.
type store struct {
	messages *ring[inspect.Event]
	life     *ring[inspect.Event] // of rooms and generations
	logs     *ring[entry]
	lost     uint64 // events that came too fast
}

func newStore() *store {
	return &store{messages: newRing[inspect.Event](messagesKept), life: newRing[inspect.Event](lifeKept), logs: newRing[entry](logsKept)}
}

// entry is a line of the log.
type entry struct {
	inspect.Header
	level level
	from  string // instead of the level: stdout or stderr
	text  string // its first line
	rest  string // a stack, or what a process said last
}

// level is how much a line matters.
type level int

const (
	debug level = iota
	info
	warning
	failure
)

var levelNames = []string{"debug", "info", "warn", "error"}

func (l level) role() role { return []role{dim, plain, warn, bad}[l] }

func levelOf(name string) level {
	switch name = strings.ToUpper(name); {
	case strings.HasPrefix(name, "DEBUG"):
		return debug
	case strings.HasPrefix(name, "WARN"):
		return warning
	case strings.HasPrefix(name, "ERROR"):
		return failure
	}
	return info
}

// isMessage accepts what the tab of messages shows.
func isMessage(e inspect.Event) bool {
	switch e.(type) {
	case *inspect.MessageIn, *inspect.MessageOut, *inspect.Request:
		return true
	}
	return false
}

// slim is an event that holds no more of a message than is kept: while somebody
// records, events show much more of it.
func slim(e inspect.Event) inspect.Event {
	cut := func(p *inspect.Payload) bool {
		if len(p.Data) <= inspect.PayloadKept {
			return false
		}
		p.Data = bytes.Clone(p.Data[:inspect.PayloadKept])
		return true
	}
	// They are copied, as others have the same events.
	switch m := e.(type) {
	case *inspect.MessageIn:
		if c := *m; cut(&c.Payload) {
			return &c
		}
	case *inspect.MessageOut:
		if c := *m; cut(&c.Payload) {
			return &c
		}
	case *inspect.Request:
		c := *m
		if body, answer := cut(&c.Body), cut(&c.Answer); body || answer {
			return &c
		}
	}
	return e
}

// isLife accepts what a room's timeline shows.
func isLife(e inspect.Event) bool {
	switch e := e.(type) {
	case *inspect.MessageIn, *inspect.MessageOut, *inspect.Request, *inspect.Commit, *inspect.Log, *inspect.Ready:
		return false
	case *inspect.Turn:
		return e.Error != "" || e.Kind == "alarm" || e.Kind == "timer"
	}
	return true
}

// lineOf makes a line of the log of an event that belongs there.
func lineOf(e inspect.Event) (entry, bool) {
	l := entry{Header: inspect.Of(e), level: info}
	text := inspect.Text(e)
	switch e := e.(type) {
	case *inspect.Log:
		l.level, text = levelOf(e.Level), e.Text
		if e.Output { // what is written to stderr need not be an error
			l.from = "out"
			if l.level == failure {
				l.from = "err"
			}
			l.level = info
		}
	case *inspect.Exception, *inspect.Crash, *inspect.GenerationFailed, *inspect.AlarmGivenUp:
		l.level = failure
	case *inspect.TurnLost, *inspect.RoomAborted, *inspect.RoomEvicted, *inspect.ConnectionRefused:
		l.level = warning
	case *inspect.GenerationStarted, *inspect.ClockMoved:
	default:
		return entry{}, false
	}
	l.text, l.rest, _ = strings.Cut(keep(text), "\n")
	return l, true
}

// keep bounds a text without holding on to the rest of it.
func keep(s string) string {
	if len(s) <= textKept {
		return s
	}
	return strings.Clone(s[:textKept]) + " ... (" + bytesText(len(s)) + ")"
}

// take sorts in what came.
func (s *store) take(events []inspect.Event, lost uint64) {
	s.lost += lost
	for _, e := range events {
		if isMessage(e) {
			s.messages.push(e)
			continue
		}
		if isLife(e) {
			s.life.push(e)
		}
		if l, ok := lineOf(e); ok {
			s.logs.push(l)
		}
	}
}

// of lists what is known of one room.
func of(r *ring[inspect.Event], room string) []inspect.Event {
	var out []inspect.Event
	for i := range r.len() {
		if e := r.get(i); inspect.Of(e).Room == room {
			out = append(out, e)
		}
	}
	return out
}
