package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

// blocked runs f and asserts that it waits until release.
func blocked(t *testing.T, f func() error, release func()) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("it did not wait: %v", err)
		return err
	default:
	}
	release()
	return <-done
}

func TestAWindowLetsSoMuchThroughAndWaitsForAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Window
		ctx := t.Context()
		for range 4 {
			if err := w.Take(ctx, WindowSize/4); err != nil {
				t.Fatal(err)
			}
		}
		if err := blocked(t, func() error { return w.Take(ctx, 1) }, func() { w.Ack(1) }); err != nil {
			t.Error(err)
		}
		// One piece larger than everything goes alone.
		if err := blocked(t, func() error { return w.Take(ctx, 10*WindowSize) }, func() {
			w.Ack(WindowSize - 1)
			synctest.Wait()
			w.Ack(1)
		}); err != nil {
			t.Error(err)
		}
		if err := blocked(t, func() error { return w.Take(ctx, 1) }, func() { w.Ack(20 * WindowSize) }); err != nil {
			t.Error(err) // too many acks do not widen it
		}
		if err := w.Take(ctx, WindowSize-1); err != nil {
			t.Error(err)
		}
		canceled, cancel := context.WithCancelCause(ctx)
		cause := errors.New("because")
		if err := blocked(t, func() error { return w.Take(canceled, 1) }, func() { cancel(cause) }); err != cause {
			t.Error(err)
		}
		if err := blocked(t, func() error { return w.Take(ctx, 1) }, func() { w.Fail(ErrReset) }); err != ErrReset {
			t.Error(err)
		}
		w.Fail(io.EOF)
		w.Ack(WindowSize)
		if err := w.Take(ctx, 1); err != ErrReset {
			t.Errorf("the first failure stays: %v", err)
		}
	})
}

func TestAnInboxIsReadInOrderAndAcknowledged(t *testing.T) {
	acked := 0
	b := NewInbox(func(n int) { acked += n })
	r := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 3<<20)
	for i := range want {
		want[i] = byte(r.Uint32())
	}
	sent := 0
	var got []byte
	buf := make([]byte, 100<<10)
	for len(got) < len(want) {
		for sent < len(want) && sent-acked < WindowSize {
			n := min(1+r.IntN(60<<10), len(want)-sent)
			if !b.Add(bytes.Clone(want[sent : sent+n])) {
				t.Fatal("nobody reads")
			}
			sent += n
		}
		if sent == len(want) {
			b.End(io.EOF)
		}
		n, err := b.Read(buf[:1+r.IntN(len(buf))])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes came out")
	}
	if n, err := b.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("into nothing: %d, %v", n, err)
	}
}

func TestAnInboxEndsBehindWhatWasAdded(t *testing.T) {
	b := NewInbox(nil)
	b.Add([]byte("ab"))
	b.Add(nil)
	b.Add([]byte("c"))
	b.End(ErrReset)
	b.End(io.EOF) // too late
	if b.Add([]byte("d")) {
		t.Error("added behind the end")
	}
	if got, err := io.ReadAll(b); string(got) != "abc" || err != ErrReset {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnInboxWaitsForParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewInbox(nil)
		var part []byte
		next := func(ctx context.Context) func() error {
			return func() (err error) { part, err = b.Next(ctx); return err }
		}
		if err := blocked(t, next(t.Context()), func() { b.Add([]byte("whole part")) }); err != nil || string(part) != "whole part" {
			t.Errorf("%q, %v", part, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := blocked(t, next(ctx), cancel); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := blocked(t, next(t.Context()), func() { b.End(io.EOF) }); err != io.EOF {
			t.Error(err)
		}
	})
}

func TestAnInboxThatWasClosedTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewInbox(nil)
		b.Add([]byte("x"))
		_ = b.Close()
		if b.Add([]byte("y")) {
			t.Error("added")
		}
		if _, err := b.Read(make([]byte, 1)); err != ErrReset {
			t.Error(err)
		}
		c := NewInbox(nil)
		if err := blocked(t, func() error { _, err := c.Read(make([]byte, 1)); return err }, func() { _ = c.Close() }); err != ErrReset {
			t.Error(err)
		}
	})
}
