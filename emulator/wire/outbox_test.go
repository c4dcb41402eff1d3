package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// sockets returns two ends: of a real socket, which takes what fits its buffer
// without waiting, and of a pipe, which has no buffer and no file descriptor.
func sockets(t *testing.T) map[string][2]net.Conn {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := a.(*net.UnixConn).SetWriteBuffer(8 << 10); err != nil { // most writes are partial
		t.Fatal(err)
	}
	c, d := net.Pipe()
	t.Cleanup(func() {
		for _, conn := range []net.Conn{a, b, c, d} {
			_ = conn.Close()
		}
	})
	return map[string][2]net.Conn{"socket": {a, b}, "pipe": {c, d}}
}

// frame is a length, then so many times the same byte.
func frame(b []byte, n int, fill byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	return append(b, bytes.Repeat([]byte{fill}, n)...)
}

// readFrame returns a frame's length and byte.
func readFrame(r io.Reader) (n int, fill byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	n = int(binary.LittleEndian.Uint32(head[:]))
	if n > 1<<20 {
		return n, 0, fmt.Errorf("a frame of %d bytes: boundaries were lost", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return n, 0, err
	}
	if !bytes.Equal(body, bytes.Repeat(body[:1], n)) {
		return n, 0, errors.New("frames were mixed up")
	}
	return n, body[0], nil
}

func TestAnOutboxWritesEverythingInOrderHoweverLittleTheSocketTakes(t *testing.T) {
	for name, conn := range sockets(t) {
		t.Run(name, func(t *testing.T) {
			o := NewOutbox(conn[0])
			const writers, each = 4, 300
			sizes := func(w int) func() int {
				r := rand.New(rand.NewPCG(1, uint64(w)))
				return func() int {
					if r.IntN(20) == 0 {
						return 1 + r.IntN(200<<10)
					}
					return 1 + r.IntN(300)
				}
			}
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					size := sizes(w)
					for i := range each {
						n := size()
						if i%3 == 0 {
							o.AddShared(frame(nil, n, byte(w)))
						} else {
							o.Add(func(b []byte) []byte { return frame(b, n, byte(w)) })
						}
						if i%5 == 0 {
							o.Flush()
						}
					}
					o.Flush()
				})
			}
			_ = conn[1].SetReadDeadline(time.Now().Add(10 * time.Second))
			var want [writers]func() int
			for w := range want {
				want[w] = sizes(w)
			}
			for range writers * each {
				n, w, err := readFrame(conn[1])
				if err != nil {
					t.Fatal(err)
				}
				if wanted := want[w](); n != wanted {
					t.Fatalf("writer %d: a frame of %d bytes, want %d", w, n, wanted)
				}
			}
			wg.Wait()
			<-o.Empty()
			if n := o.Size(); n != 0 {
				t.Errorf("%d bytes wait", n)
			}
		})
	}
}

func TestDropLeavesWholeFrames(t *testing.T) {
	for name, conn := range sockets(t) {
		t.Run(name, func(t *testing.T) {
			o := NewOutbox(conn[0])
			for i := range 2000 { // nobody reads: a part is stuck in the writer's hands
				o.Add(func(b []byte) []byte { return frame(b, 1+i, 'x') })
				o.Flush()
			}
			before := o.Size()
			o.Drop()
			if after := o.Size(); after >= before {
				t.Errorf("%d bytes waited, and %d still do", before, after)
			}
			o.AddShared(frame(nil, 3, '!'))
			o.Flush()
			_ = conn[1].SetReadDeadline(time.Now().Add(10 * time.Second))
			for i := 0; ; i++ {
				n, fill, err := readFrame(conn[1])
				if err != nil {
					t.Fatal(err)
				}
				if fill == '!' {
					if i == 2000 {
						t.Error("nothing was dropped")
					}
					break
				}
				if n != i+1 {
					t.Fatalf("frame %d has %d bytes", i, n)
				}
			}
			<-o.Empty()
		})
	}
}

func TestAnOutboxOfASocketThatFailedTakesNothing(t *testing.T) {
	for name, conn := range sockets(t) {
		t.Run(name, func(t *testing.T) {
			o := NewOutbox(conn[0])
			_ = conn[1].Close()
			o.Add(func(b []byte) []byte { return append(b, "first"...) }) // may be taken by the system
			o.Flush()
			<-o.Empty()
			_ = conn[0].Close()
			o.Add(func(b []byte) []byte { return append(b, "second"...) })
			o.Flush()
			<-o.Empty()
			o.AddShared([]byte("third"))
			if n := o.Add(func([]byte) []byte { t.Error("asked for more"); return nil }); n != 0 || o.Size() != 0 {
				t.Errorf("%d bytes wait", n)
			}
		})
	}
}

func TestCloseDropsWhatWaits(t *testing.T) {
	for name, conn := range sockets(t) {
		t.Run(name, func(t *testing.T) {
			o := NewOutbox(conn[0])
			o.AddShared(make([]byte, 1<<20))
			o.Flush() // nobody reads
			empty := o.Empty()
			o.AddShared(make([]byte, 1<<20))
			o.Close()
			<-empty
			if o.AddShared([]byte("x")); o.Size() > 1<<20 {
				t.Errorf("%d bytes wait", o.Size())
			}
			o.Close()
		})
	}
}
