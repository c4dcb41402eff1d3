package control

import (
	"context"
	"sync"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// history keeps what happened lately, for those who ask later: the last events,
// and beside them the last lines of the log, which a busy room would push out.
type history struct {
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	events ring
	logs   ring
	seq    uint64        // of the last one kept
	grown  chan struct{} // closed with each change
}

// How much is kept.
const (
	eventsKept = 2000
	logsKept   = 2000
)

// In a flood of events some are missing: an emulator that puts together events
// only for history is a slower one.
const (
	historyQueue = 500
	historyPause = 50 * time.Millisecond
)

// IsLog reports whether an event is what the server wrote or logged, or an error
// of its hooks.
func IsLog(e inspect.Event) bool {
	switch e.(type) {
	case *inspect.Log, *inspect.Exception:
		return true
	}
	return false
}

// ring is the last so many events.
type ring struct {
	all  []inspect.Event
	next int // the oldest, once it is full
	size int
}

func (r *ring) add(e inspect.Event) {
	if len(r.all) < r.size {
		r.all = append(r.all, e)
		return
	}
	r.all[r.next] = e
	r.next = (r.next + 1) % r.size
}

// last returns the newest n, the oldest of them first.
func (r *ring) last(n int) []inspect.Event {
	n = min(n, len(r.all))
	found := make([]inspect.Event, 0, n)
	for i := len(r.all) - n; i < len(r.all); i++ {
		found = append(found, r.all[(r.next+i)%len(r.all)])
	}
	return found
}

func newHistory(feed inspect.Feed) *history {
	ctx, stop := context.WithCancel(context.Background())
	h := &history{
		stop: stop, done: make(chan struct{}), grown: make(chan struct{}),
		events: ring{size: eventsKept}, logs: ring{size: logsKept},
	}
	go func() {
		defer close(h.done)
		defer feed.Close()
		pause := time.NewTicker(historyPause)
		defer pause.Stop()
		for {
			events, _, err := feed.Next(ctx)
			if err != nil {
				return
			}
			h.add(events)
			select {
			case <-pause.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return h
}

func (h *history) add(events []inspect.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		h.events.add(e)
		if IsLog(e) {
			h.logs.add(e)
		}
		h.seq = max(h.seq, inspect.Of(e).Seq)
	}
	close(h.grown)
	h.grown = make(chan struct{})
}

// past returns the newest n events up to seq, waiting a moment for those that
// are on their way here.
func (h *history) past(ctx context.Context, n int, logs bool, seq uint64) []inspect.Event {
	limit := time.NewTimer(2 * historyPause)
	defer limit.Stop()
	for waits := true; waits; {
		h.mu.Lock()
		there, grown := h.seq >= seq, h.grown
		h.mu.Unlock()
		if there {
			break
		}
		select {
		case <-grown:
		case <-limit.C:
			waits = false
		case <-ctx.Done():
			waits = false
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	from := &h.events
	if logs {
		from = &h.logs
	}
	found := from.last(n)
	for len(found) > 0 && inspect.Of(found[len(found)-1]).Seq > seq {
		found = found[:len(found)-1]
	}
	return found
}

func (h *history) close() {
	h.stop()
	<-h.done
}
