//go:build !partyplugin && !js

package party

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// at is how far the rooms' clock was from its start when something happened.
func at(e inspect.Event) time.Duration { return inspect.Of(e).Time.Sub(epoch) }

// eventLog is everything that happened.
type eventLog struct {
	sparse atomic.Bool // without messages and turns: there are too many

	mu    sync.Mutex
	all   []inspect.Event
	lost  uint64
	taken uint64        // with those lost and those left out
	grown chan struct{} // closed with the next event
}

func (l *eventLog) read(sub *inspect.Subscription) {
	for {
		events, lost, err := sub.Next(context.Background())
		if err != nil {
			return
		}
		taken := uint64(len(events)) + lost
		if l.sparse.Load() {
			events = slices.DeleteFunc(events, func(e inspect.Event) bool {
				switch e.(type) {
				case *inspect.MessageIn, *inspect.MessageOut, *inspect.Turn:
					return true
				}
				return false
			})
		}
		l.mu.Lock()
		l.all = append(l.all, events...)
		l.lost += lost
		l.taken += taken
		close(l.grown)
		l.grown = make(chan struct{})
		l.mu.Unlock()
	}
}

func (l *eventLog) dump(most int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, e := range l.all[max(0, len(l.all)-most):] {
		line, err := inspect.Marshal(e)
		if err != nil {
			line = []byte(err.Error())
		}
		fmt.Fprintf(&b, "\t%.400s\n", line)
	}
	return b.String()
}

// until waits until done holds, which is asked again whenever events were read. It
// reports whether it came to hold.
func (l *eventLog) until(done func() bool) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		l.mu.Lock()
		grown := l.grown
		l.mu.Unlock()
		if done() {
			return true
		}
		select {
		case <-grown:
		case <-limit.C:
			return false
		}
	}
}

// events returns what has happened of one type and matches (nil: all of it).
func events[E inspect.Event](h *harness, match func(E) bool) []E {
	h.t.Helper()
	published := h.Events().Seq()
	if !h.log.until(func() bool {
		h.log.mu.Lock()
		defer h.log.mu.Unlock()
		return h.log.taken >= published
	}) {
		h.t.Fatalf("not all of %d events were read", published)
	}
	return readEvents(h, match)
}

// readEvents is events without waiting for the log to be up to date.
func readEvents[E inspect.Event](h *harness, match func(E) bool) []E {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	var found []E
	for _, e := range h.log.all {
		if e, ok := e.(E); ok && (match == nil || match(e)) {
			found = append(found, e)
		}
	}
	return found
}

// awaitN waits until n events of one type match and returns the first n.
func awaitN[E inspect.Event](h *harness, n int, match func(E) bool) []E {
	h.t.Helper()
	var found []E
	if !h.log.until(func() bool { found = readEvents(h, match); return len(found) >= n }) {
		h.t.Fatalf("waited in vain for %d %s (there are %d)", n, typeName[E](), len(found))
	}
	return found[:n]
}

func typeName[E inspect.Event]() string { var e E; return fmt.Sprintf("%T", e) }

// await waits for one event.
func await[E inspect.Event](h *harness, match func(E) bool) E {
	h.t.Helper()
	return awaitN(h, 1, match)[0]
}

// in matches the events of a room.
func in[E inspect.Event](room string) func(E) bool {
	return func(e E) bool { return inspect.Of(e).Room == room }
}

// logged waits until a room has logged a line n times.
func (h *harness) logged(room, text string, n int) {
	h.t.Helper()
	awaitN(h, n, func(e *inspect.Log) bool { return e.Room == room && e.Text == text })
}

// logs are the lines that a room has logged and that start with prefix.
func (h *harness) logs(room, prefix string) []string {
	var lines []string
	for _, e := range events(h, func(e *inspect.Log) bool { return e.Room == room && strings.HasPrefix(e.Text, prefix) }) {
		lines = append(lines, e.Text)
	}
	return lines
}

// turns waits until n turns of a kind have ended in a room.
func (h *harness) turns(room, kind string, n int) {
	h.t.Helper()
	awaitN(h, n, func(e *inspect.Turn) bool { return e.Room == room && e.Kind == kind })
}

// starts is how often a room has started.
func (h *harness) starts(room string) int { return len(events(h, in[*inspect.RoomStarted](room))) }
