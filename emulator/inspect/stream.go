package inspect

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// PayloadKept is how much of a message an event shows.
const PayloadKept = 1024

// NewPayload copies the start of a message.
func NewPayload(binary bool, data []byte) Payload {
	return Payload{Binary: binary, Size: len(data), Data: bytes.Clone(data[:min(len(data), PayloadKept)])}
}

// Marshal writes an event as one line of JSON, its type included.
func Marshal(e Event) ([]byte, error) {
	switch m := e.(type) { // copies: other subscribers have the same event
	case *MessageIn:
		c := *m
		c.fill()
		e = &c
	case *MessageOut:
		c := *m
		c.fill()
		e = &c
	case *Request:
		c := *m
		c.Body.fill()
		c.Answer.fill()
		e = &c
	}
	var b bytes.Buffer
	b.WriteString(`{"type":"` + e.Type() + `",`)
	head := b.Len()
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // URLs are to be read
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	line := b.Bytes()
	copy(line[head:], line[head+1:]) // the object's own brace
	return line[:len(line)-2], nil   // and the end of the line
}

// Payload copies the start of a message: PayloadKept bytes, or more where
// somebody wants that.
func (s *Stream) Payload(binary bool, data []byte) Payload {
	return Payload{Binary: binary, Size: len(data), Data: bytes.Clone(data[:min(len(data), s.Kept())])}
}

// Kept is how much of a message payloads hold now.
func (s *Stream) Kept() int { return max(PayloadKept, int(s.keep.Load())) }

// Keep lets payloads hold up to n bytes, until the function that it returns is
// called.
func (s *Stream) Keep(n int) (end func()) {
	change := func(f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
		s.keep.Store(int64(slices.Max(append(s.kept, 0))))
	}
	change(func() { s.kept = append(s.kept, n) })
	return sync.OnceFunc(func() {
		change(func() {
			i := slices.Index(s.kept, n)
			s.kept = slices.Delete(s.kept, i, i+1)
		})
	})
}

func (p *Payload) fill() {
	if p.Binary {
		p.Hex = hex.EncodeToString(p.Data)
	} else {
		p.Text = string(bytes.ToValidUTF8(p.Data, []byte("\uFFFD")))
	}
}

// Stream hands events to its subscribers.
type Stream struct {
	readers atomic.Int32 // subscriptions
	open    atomic.Int32 // of those that want every event, those with room for one
	keep    atomic.Int64 // the most of kept

	mu   sync.Mutex
	now  func() time.Time
	seq  uint64
	subs []*Subscription
	kept []int // what payloads hold, for each who asked
	code Event // see Code
}

// NewStream returns a stream whose events bear the time of now.
func NewStream(now func() time.Time) *Stream { return &Stream{now: now} }

// Wanted reports whether an event published now would reach anybody. It is
// cheap; callers ask it before they put together the frequent events, and say
// [Stream.Missed] where it reports false.
func (s *Stream) Wanted() bool { return s.open.Load() > 0 }

// Missed counts an event that was not put together for lack of room.
func (s *Stream) Missed() {
	if s.readers.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	for _, sub := range s.subs {
		if sub.all {
			sub.lost++
		}
	}
}

// Seq is the number of the last event.
func (s *Stream) Seq() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// Code is the last event of a change of the code that does not serve: it is being
// built or started, or that failed. nil: there is none. Who begins to follow has
// missed that event, and may see no other for a long time.
func (s *Stream) Code() Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code
}

// codeAfter is what Code is behind e.
func codeAfter(code, e Event) Event {
	switch e := e.(type) {
	case *BuildStarted, *BuildDone, *BuildFailed, *ReloadFailed:
		return e
	case *BuildCanceled, *Swapped, *Ready:
		return nil
	case *FilesChanged:
		if e.Same {
			return nil
		}
	}
	return code
}

// Publish stamps e and hands it out.
func (s *Stream) Publish(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := e.header()
	s.seq++
	h.Seq = s.seq
	h.Time = s.now()
	s.code = codeAfter(s.code, e)
	for _, sub := range s.subs {
		sub.add(e)
	}
}

// Subscription is one reader's place in a stream.
type Subscription struct {
	stream *Stream
	limit  int
	all    bool // the frequent events too

	// Guarded by the stream's mu.
	events []Event
	lost   uint64
	closed bool
	ready  chan struct{} // capacity 1
}

// Subscribe starts a subscription that keeps at most limit events unread.
func (s *Stream) Subscribe(limit int) *Subscription { return s.subscribe(limit, true) }

// SubscribeNotable is Subscribe without the events that come with each message,
// turn, request and connection: those of a log.
func (s *Stream) SubscribeNotable(limit int) *Subscription { return s.subscribe(limit, false) }

func (s *Stream) subscribe(limit int, all bool) *Subscription {
	sub := &Subscription{stream: s, limit: max(limit, 1), all: all, ready: make(chan struct{}, 1)}
	s.mu.Lock()
	s.subs = append(s.subs, sub)
	s.mu.Unlock()
	s.readers.Add(1)
	if all {
		s.open.Add(1)
	}
	return sub
}

// notable accepts what a person wants in a log: not each message, turn and
// request, but what servers say and what goes wrong.
func notable(e Event) bool {
	switch e.(type) {
	case *MessageIn, *MessageOut, *Turn, *Request, *ConnectionOpened, *ConnectionClosed, *RoomStarted, *RoomHibernated, *Commit, *AlarmSet, *AlarmFired:
		return false
	}
	return true
}

// frequent accepts what comes with every message.
func frequent(e Event) bool {
	switch e.(type) {
	case *MessageIn, *MessageOut, *Turn, *Request, *Commit:
		return true
	}
	return false
}

// full reports whether there is no more room for frequent events: the last
// quarter is left for the others, so that a flood of messages does not hide that
// rooms come and go, or what goes wrong.
func (s *Subscription) full() bool { return len(s.events) >= s.limit-s.limit/4 }

// add must be called with the stream's mu held.
func (s *Subscription) add(e Event) {
	if !s.all && !notable(e) {
		return
	}
	if len(s.events) >= s.limit || s.full() && frequent(e) {
		s.lost++
		return
	}
	was := s.full()
	s.events = append(s.events, e)
	if s.full() && !was && s.all {
		s.stream.open.Add(-1)
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Next waits for events and returns all unread ones, and how many were lost
// behind them. It fails when ctx ends, and with nothing left to read after
// Close.
func (s *Subscription) Next(ctx context.Context) (events []Event, lost uint64, err error) {
	for {
		s.stream.mu.Lock()
		if len(s.events) > 0 || s.lost > 0 {
			if s.full() && !s.closed && s.all {
				s.stream.open.Add(1)
			}
			events, lost = s.events, s.lost
			s.events, s.lost = nil, 0
			s.stream.mu.Unlock()
			return events, lost, nil
		}
		closed := s.closed
		s.stream.mu.Unlock()
		if closed {
			return nil, 0, context.Canceled
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// Close ends the subscription; Next still returns what is unread.
func (s *Subscription) Close() {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.stream.readers.Add(-1)
	if !s.full() && s.all {
		s.stream.open.Add(-1)
	}
	for i, other := range s.stream.subs {
		if other == s {
			s.stream.subs = append(s.stream.subs[:i:i], s.stream.subs[i+1:]...)
			break
		}
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
