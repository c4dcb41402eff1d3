//go:build unix

package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
)

func waitingPair(t *testing.T) (a, b io.ReadWriteCloser) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]io.ReadWriteCloser
	for i, fd := range fds {
		if ends[i], err = Waiting(fd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ends[i].Close() })
	}
	return ends[0], ends[1]
}

func TestAnOutboxDoesNotWaitForASocketWhoseReaderDoes(t *testing.T) {
	a, b := waitingPair(t)
	o := NewOutbox(a)
	all := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // far more than a socket takes
	for part := all; len(part) > 0; part = part[1<<16:] {
		o.AddShared(part[:1<<16])
		o.Flush() // nobody reads yet
	}
	got := make([]byte, len(all))
	if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, all) {
		t.Errorf("what came differs from what was sent; %v", err)
	}
	<-o.Empty()
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	for name, closes := range map[string]func(a, b io.Closer) error{
		"its own end":   func(a, _ io.Closer) error { return a.Close() },
		"the other end": func(_, b io.Closer) error { return b.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := waitingPair(t)
			ended := make(chan error)
			go func() {
				buf := make([]byte, 8)
				_, err := a.Read(buf) // it has begun once this has come
				if err == nil {
					ended <- nil
					_, err = a.Read(buf)
				}
				ended <- err
			}()
			if _, err := b.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if err := closes(a, b); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != io.EOF && !errors.Is(err, os.ErrClosed) {
				t.Errorf("got %v", err)
			}
			if err := a.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
				t.Errorf("closing once more: %v", err)
			}
		})
	}
}
