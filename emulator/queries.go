package emulator

import (
	"context"
	"sync"
)

// queries are the statements of a room that may have to be ended from outside,
// by their cursors. It may be used from any goroutine.
type queries struct {
	mu    sync.Mutex
	ends  map[uint64]context.CancelFunc
	early map[uint64]bool // were interrupted before they began
}

// forcedQuery is added to a number to make it that of a statement which a person
// runs; code numbers its cursors below.
const forcedQuery = 1 << 63

// begin returns the context that a statement runs under.
func (q *queries) begin(ctx context.Context, cursor uint64) context.Context {
	ctx, end := context.WithCancel(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.early[cursor] {
		delete(q.early, cursor)
		end()
	}
	if q.ends == nil {
		q.ends = map[uint64]context.CancelFunc{}
	}
	q.ends[cursor] = end
	return ctx
}

// interrupt ends a statement; one that has not begun ends when it does.
func (q *queries) interrupt(cursor uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if end := q.ends[cursor]; end != nil {
		end()
		return
	}
	if q.early == nil {
		q.early = map[uint64]bool{}
	}
	q.early[cursor] = true
}

// over forgets a statement.
func (q *queries) over(cursor uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if end := q.ends[cursor]; end != nil {
		end()
		delete(q.ends, cursor)
	}
}

// stop ends all, so that what waits behind them need not wait long.
func (q *queries) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, end := range q.ends {
		end()
	}
	q.early = nil
}

// forget drops what was interrupted and never began, at a turn's end.
func (q *queries) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.early = nil
}
