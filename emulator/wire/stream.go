package wire

import (
	"context"
	"errors"
	"io"
	"sync"
)

// WindowSize is how many bytes of one stream may be on their way unconsumed.
const WindowSize = 256 << 10

// ackStep is how many consumed bytes are acknowledged together.
const ackStep = WindowSize / 4

// ErrReset is what a stream's ends see once the other side went away.
var ErrReset = errors.New("the other side of the stream went away")

// Window counts what a stream's sender may still send. Its methods may be used
// from any goroutine.
type Window struct {
	mu    sync.Mutex
	sent  int
	err   error
	moved chan struct{} // closed when sent shrinks or err is set; nil: nobody waits
}

// Take waits until n more bytes may be sent, and counts them. One piece larger
// than the whole window goes alone.
func (w *Window) Take(ctx context.Context, n int) error {
	for {
		w.mu.Lock()
		if w.err != nil {
			defer w.mu.Unlock()
			return w.err
		}
		if w.sent == 0 || w.sent+n <= WindowSize {
			w.sent += n
			w.mu.Unlock()
			return nil
		}
		if w.moved == nil {
			w.moved = make(chan struct{})
		}
		moved := w.moved
		w.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Ack gives n bytes back.
func (w *Window) Ack(n int) { w.change(func() { w.sent = max(0, w.sent-n) }) }

// Fail makes every Take, waiting or to come, return err.
func (w *Window) Fail(err error) {
	w.change(func() {
		if w.err == nil {
			w.err = err
		}
	})
}

func (w *Window) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	if w.moved != nil {
		close(w.moved)
		w.moved = nil
	}
}

// Inbox is the receiving end of a stream, an io.ReadCloser. One goroutine
// reads; any may add, fail or close.
type Inbox struct {
	consumed func(n int) // tells the sender; called without locks

	mu    sync.Mutex
	parts [][]byte
	err   error // after the parts; nil: more may come
	shut  bool  // the reader closed
	moved chan struct{}
	eaten int // consumed, not yet acknowledged
}

// NewInbox returns an inbox; consumed is called with every share of bytes read.
func NewInbox(consumed func(n int)) *Inbox { return &Inbox{consumed: consumed} }

// Add appends data, which the inbox keeps. It reports whether anybody will
// read it.
func (b *Inbox) Add(data []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || b.shut {
		return false
	}
	if len(data) > 0 {
		b.parts = append(b.parts, data)
	}
	b.signal()
	return true
}

// End ends the stream behind what was added: with io.EOF, or with an error.
func (b *Inbox) End(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.signal()
}

// signal must be called with mu held.
func (b *Inbox) signal() {
	if b.moved != nil {
		close(b.moved)
		b.moved = nil
	}
}

// Next returns the next part as it came, waiting for it.
func (b *Inbox) Next(ctx context.Context) ([]byte, error) { return b.next(ctx, -1) }

// next takes at most limit bytes (all of a part where limit is negative).
func (b *Inbox) next(ctx context.Context, limit int) ([]byte, error) {
	for {
		b.mu.Lock()
		if b.shut {
			b.mu.Unlock()
			return nil, ErrReset
		}
		if len(b.parts) > 0 {
			part := b.parts[0]
			if limit >= 0 && len(part) > limit {
				b.parts[0], part = part[limit:], part[:limit]
			} else {
				b.parts[0] = nil
				b.parts = b.parts[1:]
			}
			b.eaten += len(part)
			ack := 0
			if b.err == nil && b.eaten >= ackStep {
				ack, b.eaten = b.eaten, 0
			}
			b.mu.Unlock()
			if ack > 0 && b.consumed != nil {
				b.consumed(ack)
			}
			return part, nil
		}
		if b.err != nil {
			defer b.mu.Unlock()
			return nil, b.err
		}
		if b.moved == nil {
			b.moved = make(chan struct{})
		}
		moved := b.moved
		b.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Read implements io.Reader.
func (b *Inbox) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	part, err := b.next(context.Background(), len(p))
	return copy(p, part), err
}

// Close implements io.Closer: what is left is dropped.
func (b *Inbox) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut, b.parts = true, nil
	b.signal()
	return nil
}

var _ io.ReadCloser = (*Inbox)(nil)
