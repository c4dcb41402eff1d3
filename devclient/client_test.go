package devclient

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Whoever takes off the end of a connection at once, while it is still being put
// away, must not wait for more.
func TestNextEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{more: make(chan struct{}), done: make(chan struct{})}
		c.add(Event{Closed: &Closed{Code: 1006}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		if e, err := c.Next(ctx); err != nil || e.Closed == nil {
			t.Fatalf("%v, %v", e, err)
		}
		if _, err := c.Next(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("%v, want %v", err, ErrClosed)
		}
	})
}
