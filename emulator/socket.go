package emulator

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/goparty/party/emulator/wire"
)

// listener makes every accepted connection a socket.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &socket{Conn: c}, nil
}

// socket is a client's connection. While it speaks HTTP it is that connection.
// Once it is a WebSocket, writes go to an outbox and never block, and before a
// read may have to wait, pause is called.
type socket struct {
	net.Conn
	out   *wire.Outbox // nil: still HTTP
	pause func()
	lag   atomic.Pointer[lag] // nil: no delay was asked for
}

// upgraded turns the socket over to the outbox.
func (s *socket) upgraded() { s.out = wire.NewOutbox(s.Conn) }

func (s *socket) Read(p []byte) (int, error) {
	if s.pause != nil {
		s.pause()
	}
	if l := s.lag.Load(); l != nil {
		return l.Read(p)
	}
	n, err := s.Conn.Read(p)
	if l := s.lag.Load(); l != nil && err == nil { // asked for meanwhile
		l.arrived(p[:n])
		return l.Read(p)
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	if s.out == nil {
		return s.Conn.Write(p)
	}
	s.out.Add(func(b []byte) []byte { return append(b, p...) })
	s.out.Flush()
	return len(p), nil
}

// SetWriteDeadline does nothing for a WebSocket: its writes do not block.
func (s *socket) SetWriteDeadline(t time.Time) error {
	if s.out == nil {
		return s.Conn.SetWriteDeadline(t)
	}
	return nil
}

// lingerLimit is how long the rest of what a faulty client sends is read.
const lingerLimit = time.Second

func (s *socket) linger(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if tcp, ok := s.Conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_ = s.SetReadDeadline(time.Now().Add(lingerLimit))
	_, _ = io.Copy(io.Discard, s.Conn)
}

// writeBuffers let idle WebSockets share gorilla's write buffers; it only
// writes the frames with which it answers protocol errors.
var writeBuffers sync.Pool

// upgrader checks no origin: rooms are for every page, as on the platform.
var upgrader = websocket.Upgrader{
	WriteBufferPool: &writeBuffers,
	WriteBufferSize: 512,
}

// sharedFrom is the size from which on one frame is shared between the outboxes
// of a broadcast instead of copied into each.
const sharedFrom = 2048

// frame is one message encoded for the sockets of clients: servers do not mask,
// and nothing here is fragmented or compressed.
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = append(b, 126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(b, payload...)
}

// closeFrame encodes a close; code 0 or 1005 sends none.
func closeFrame(code int, reason string) []byte {
	var payload []byte
	if code != 0 && code != websocket.CloseNoStatusReceived {
		payload = binary.BigEndian.AppendUint16(nil, uint16(code))
		payload = append(payload, reason...)
	}
	return appendFrame(nil, websocket.CloseMessage, payload)
}
