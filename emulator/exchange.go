package emulator

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// exchange is one HTTP request on its way to a guest and its answer on the way
// back: to a client of the gateway, or to a room that fetches.
type exchange struct {
	em     *Emulator
	id     uint64 // even: the stream's number towards the guest
	remote string // address of a gateway client
	gen    *generation

	// Of a gateway client.
	window  wire.Window   // of the request's body
	more    chan struct{} // capacity 1: parts has grown
	room    *room         // nil: App.Handler
	turn    *event        // of that room
	req     *http.Request // of App.Handler: for an upgrade
	w       http.ResponseWriter
	taken   chan struct{} // closed when a WebSocket took the request over
	broken  chan struct{} // closed when the request's body broke off
	body    *body         // that was read first
	using   sync.WaitGroup
	back    bool        // no more upgrades: the server wants req and w back
	answers atomic.Bool // the answer has begun

	// Of a room that fetches.
	caller *generation
	stream uint64 // the caller's number
	call   atomic.Pointer[call]

	mu      sync.Mutex
	begun   bool // the guest reads the body
	pending []*wire.Chunk
	parts   []*wire.Response
	taking  int  // parts that answer, which alone uses this, is at
	waiting int  // bytes in parts
	head    bool // the answer has begun
	left    bool // nobody takes parts any more
	ended   bool
}

// newExchange begins an exchange. remote is the client's address; "": a room
// fetches.
func (e *Emulator) newExchange(remote string) *exchange {
	x := &exchange{em: e, remote: remote, id: e.next.Add(1) << 1, more: make(chan struct{}, 1), broken: make(chan struct{})}
	e.mu.Lock()
	e.exchanges[x.id] = x
	e.mu.Unlock()
	return x
}

func (e *Emulator) exchange(id uint64) *exchange {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.exchanges[id]
}

// respond passes a part of the answer on. It never waits.
func (x *exchange) respond(m *wire.Response) {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return
	}
	if x.waiting += len(m.Data); x.caller == nil && x.waiting > 4*wire.WindowSize+maxMessage {
		// A guest that does not keep to the window hurts only its own answer.
		m = &wire.Response{Err: &wire.Failure{Text: "the answer came faster than its window allows"}}
	}
	over := m.End || m.Err != nil
	x.ended = over
	x.answers.Store(true)
	if x.caller == nil {
		x.parts = append(x.parts, m)
		x.head = x.head || m.Status != 0
		if !x.left {
			x.em.transit.Add(1)
		}
	}
	x.mu.Unlock()
	if x.caller != nil {
		if m.Status != 0 {
			if c := x.call.Load(); c != nil {
				c.answered()
			}
		}
		part := *m
		part.Instance, part.Stream = 0, x.stream
		x.caller.link.Send(&part)
		x.caller.link.Flush()
		if c := x.call.Load(); over && c != nil {
			c.finish()
		}
	} else {
		select {
		case x.more <- struct{}{}:
		default:
		}
	}
	if over {
		x.forget()
	}
}

// fail ends the exchange from this side.
func (x *exchange) fail(f *wire.Failure) { x.respond(&wire.Response{Err: f}) }

func (x *exchange) forget() {
	x.em.mu.Lock()
	delete(x.em.exchanges, x.id)
	x.em.mu.Unlock()
	if x.caller != nil {
		x.caller.unfetch(x.stream)
	}
}

// cancel tells the guest that nobody waits for the answer.
func (x *exchange) cancel() {
	x.mu.Lock()
	ended, g := x.ended, x.gen
	x.ended = true
	x.mu.Unlock()
	x.window.Fail(wire.ErrReset)
	if !ended {
		if g != nil {
			g.link.Send(&wire.Reset{Stream: x.id})
			g.link.Flush()
		}
		if c := x.call.Load(); c != nil {
			c.finish()
		}
	}
	x.forget()
}

func (x *exchange) servedBy() *generation {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gen
}

// upgrades notes that an upgrade begins or ends to use req and w. It reports
// false where they are not to be had any more.
func (x *exchange) upgrades(begin bool) bool {
	if !begin {
		x.using.Done()
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.back {
		return false
	}
	x.using.Add(1)
	return true
}

// handedBack returns when nobody uses req and w any more, and nobody will.
func (x *exchange) handedBack() {
	x.mu.Lock()
	x.back = true
	x.mu.Unlock()
	x.using.Wait()
}

// sendTo notes which generation serves the exchange, and reports whether
// anybody still waits for it.
func (x *exchange) sendTo(g *generation) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gen = g
	return !x.ended
}

// begin lets the body flow: the guest has begun to serve the request. Before
// that the request might still go to another instance.
func (x *exchange) begin() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.begun || x.gen == nil {
		return
	}
	x.begun = true
	for _, c := range x.pending {
		x.gen.link.Send(c)
	}
	x.pending = nil
	x.gen.link.Flush()
}

// chunk passes a part of the body on. The sender keeps to a window.
func (x *exchange) chunk(data []byte, end bool, err string) {
	c := &wire.Chunk{Stream: x.id, Data: data, End: end, Err: err}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return
	}
	if !x.begun {
		x.pending = append(x.pending, c)
		return
	}
	x.gen.link.Send(c)
	x.gen.link.Flush()
}

// ack passes on how much of a stream was consumed.
func (e *Emulator) ack(g *generation, m *wire.Ack) {
	if m.Body {
		x := e.exchange(m.Stream)
		if x == nil || x.servedBy() != g {
			return
		}
		x.begin()
		if x.caller != nil {
			x.caller.link.Send(&wire.Ack{Stream: x.stream, N: m.N, Body: true})
			x.caller.link.Flush()
		} else {
			x.window.Ack(m.N)
		}
		return
	}
	if x := g.fetched(m.Stream); x != nil {
		if target := x.servedBy(); target != nil {
			target.link.Send(&wire.Ack{Stream: x.id, N: m.N})
			target.link.Flush()
		}
	}
}

// How much of a body the emulator waits for before the request's turn starts,
// and how long. A body that says that it is small is waited for until it is
// whole: a slow client then holds up nobody but itself.
const (
	bodyFirst = 1 << 20
	bodyWait  = time.Second
	bodySmall = 64 << 10
)

// body reads a client's request body: what a turn starts with, then the rest.
type body struct {
	x     *exchange
	src   io.Reader
	first []byte
	more  bool
	ended chan struct{} // closed when the reader has ended; nil: there was none

	mu   sync.Mutex
	over bool // the reader reads no more
}

// readFirst reads until the body is whole, or large enough, or slow. What comes
// later goes to the exchange. stalled is called where the client takes long.
func (e *Emulator) readFirst(ctx context.Context, x *exchange, w http.ResponseWriter, r *http.Request, stalled func()) (*body, error) {
	b := &body{x: x, src: r.Body}
	x.body = b
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return b, nil
	}
	if 0 < r.ContentLength && r.ContentLength <= bodySmall {
		// It mostly came with the head: to hand it from goroutine to goroutine
		// would take longer than to read it.
		defer time.AfterFunc(bodyWait, stalled).Stop()
		b.first = make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, b.first)
		return b, err
	}
	_ = http.NewResponseController(w).EnableFullDuplex()
	type part struct {
		data []byte
		err  error
	}
	parts := make(chan part)
	handed := make(chan struct{}) // closed when readFirst takes no more
	b.ended = make(chan struct{})
	go func() {
		defer close(b.ended)
		for {
			buf := make([]byte, 32<<10)
			n, err := b.src.Read(buf)
			if err != nil {
				b.mu.Lock()
				b.over = true
				b.mu.Unlock()
			}
			select {
			case parts <- part{buf[:n], err}:
			case <-handed:
				b.pass(ctx, buf[:n], err)
			}
			if err != nil {
				return
			}
		}
	}()
	wait := time.NewTimer(bodyWait)
	defer wait.Stop()
	defer close(handed)
	for len(b.first) < bodyFirst {
		select {
		case p := <-parts:
			b.first = append(b.first, p.data...)
			if p.err == io.EOF {
				return b, nil
			}
			if p.err != nil {
				return b, p.err
			}
		case <-wait.C:
			b.more = true
			return b, nil
		case <-ctx.Done():
			return b, ctx.Err()
		}
	}
	b.more = true
	return b, nil
}

// pass sends a later part on as fast as the guest reads.
func (b *body) pass(ctx context.Context, data []byte, err error) {
	if len(data) > 0 && b.x.window.Take(ctx, len(data)) == nil {
		b.x.chunk(data, false, "")
	}
	switch {
	case err == io.EOF:
		b.x.chunk(nil, true, "")
	case err != nil:
		b.x.chunk(nil, true, "the client's request broke off: "+err.Error())
		close(b.x.broken) // while a body is on its way, nothing else tells that the client left
	}
}

// stop ends the reader, which must not outlive the request.
func (b *body) stop(w http.ResponseWriter) {
	if b.ended == nil {
		return
	}
	b.x.window.Fail(wire.ErrReset)
	b.mu.Lock()
	if !b.over { // otherwise the server itself may read by now, to see the client leave
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
	b.mu.Unlock()
	<-b.ended
}

// leave ends the taking of parts.
func (x *exchange) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.left = true
	x.em.transit.Add(int64(-len(x.parts) - x.taking))
	x.taking = 0
}

// answering reports whether the answer has begun.
func (x *exchange) answering() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.head
}

// behind runs f behind the end of the turn that serves the request, so that what
// is seen of the two is always in one order.
func (x *exchange) behind(f func()) {
	posted := x.turn != nil && x.room.post(do(func(*room) {
		if x.turn.over {
			f()
		} else {
			x.turn.behind = append(x.turn.behind, f)
		}
	}))
	if !posted {
		f()
	}
}

// toWire makes the request that a guest sees, without what is not its business.
func toWire(r *http.Request, b *body) wire.Request {
	h := r.Header.Clone()
	for k := range h {
		if strings.HasPrefix(k, "X-Partykit-") {
			delete(h, k) // only RouteRequest may say these
		}
	}
	q := wire.Request{
		Method: r.Method, URL: r.URL.RequestURI(), Host: r.Host, Proto: r.Proto, RemoteAddr: r.RemoteAddr,
		Header: h, Length: r.ContentLength,
	}
	if b != nil {
		q.Body, q.More = b.first, b.more
		if !b.more {
			q.Length = int64(len(b.first))
		}
	}
	return q
}
