package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/goparty/party/emulator/wire"
)

// waiter is somebody who waits for a Result.
type waiter struct {
	done     chan wire.Message // one value
	instance *Instance         // not nil: a Do, which the instance ends itself
}

func (g *Guest) await(id uint64, w *waiter) {
	g.mu.Lock()
	g.waiting[id] = w
	g.mu.Unlock()
}

func (g *Guest) unwait(id uint64) {
	g.mu.Lock()
	delete(g.waiting, id)
	g.mu.Unlock()
}

// ask sends what make_ returns for a fresh id and waits for its Result: for ctx
// and for the end of in (nil: of the guest) as well.
func (g *Guest) ask(ctx context.Context, in *Instance, make_ func(id uint64) wire.Message) ([]byte, error) {
	m, err := g.request(ctx, in, make_)
	if err != nil {
		return nil, err
	}
	r, ok := m.(*wire.Result)
	switch {
	case !ok:
		return nil, fmt.Errorf("unexpected answer %T", m)
	case r.Err != nil:
		return nil, fromFailure(r.Err)
	}
	return r.Value, nil
}

// othersWait reports whether anybody but one waits for an answer.
func (g *Guest) othersWait() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.waiting) > 1
}

// quick is request for what is answered in no time, from within a turn.
func (g *Guest) quick(in *Instance, make_ func(id uint64) wire.Message) (wire.Message, error) {
	if g.serveUntil == nil {
		return g.request(context.Background(), in, make_)
	}
	id := g.next.Add(1)
	w := &waiter{done: make(chan wire.Message, 1)}
	g.await(id, w)
	defer g.unwait(id)
	g.link.Send(make_(id))
	g.link.Flush()
	if !g.serveUntil(func() bool { return len(w.done) > 0 || in.fenced.Load() }) {
		g.yield()
	}
	select {
	case m := <-w.done:
		return m, nil
	case <-in.ctx.Done():
		return nil, errGone
	}
}

// request is ask for any kind of answer.
func (g *Guest) request(ctx context.Context, in *Instance, make_ func(id uint64) wire.Message) (wire.Message, error) {
	id := g.next.Add(1)
	w := &waiter{done: make(chan wire.Message, 1)}
	g.await(id, w)
	defer g.unwait(id)
	gone := g.ctx.Done()
	number := uint64(0)
	if in != nil {
		gone, number = in.ctx.Done(), in.Number
		if in.fenced.Load() {
			return nil, errGone
		}
	}
	g.link.Send(make_(id))
	g.yield()
	select {
	case m := <-w.done:
		return m, nil
	case <-ctx.Done():
		g.link.Send(&wire.Cancel{Instance: number, ID: id})
		g.link.Flush()
		return nil, context.Cause(ctx)
	case <-gone:
		return nil, errGone
	}
}

// answer brings an answer to whoever waits for it.
func (g *Guest) answer(id uint64, m wire.Message) {
	g.mu.RLock()
	w := g.waiting[id]
	g.mu.RUnlock()
	switch {
	case w == nil:
	case w.instance != nil:
		if r, ok := m.(*wire.Result); ok {
			w.instance.committed(id, r.Err)
		}
	default:
		select {
		case w.done <- m:
		default:
		}
	}
}

// remoteError is an error that came over the wire.
type remoteError struct {
	failure *wire.Failure
}

func (e *remoteError) Error() string { return e.failure.Text }

// Retryable reports whether the connection to the room was lost, so that the
// same call may succeed now. Whether it took effect is not known.
func (e *remoteError) Retryable() bool { return e.failure.Code == wire.CodeRetryable }

func (e *remoteError) Unwrap() error {
	switch e.failure.Code {
	case wire.CodeCycle:
		return ErrCycle
	case wire.CodeClosed:
		return ErrClosed
	case wire.CodeTooLarge:
		return ErrTooLarge
	case wire.CodeTimeout:
		return context.DeadlineExceeded
	}
	return nil
}

func fromFailure(f *wire.Failure) error { return &remoteError{f} }

var errNotRunning = errors.New("no server is running: rooms can be reached from hooks, from App.Handler, and after party.Main has started")

// Call runs a method of another room. args is a JSON array.
func Call(ctx context.Context, to wire.Address, method string, args []byte) ([]byte, error) {
	g := of(ctx)
	if g == nil {
		return nil, errNotRunning
	}
	if len(args) > wire.MaxPayload {
		return nil, tooLarge("arguments", len(args))
	}
	if err := beforeCall(ctx); err != nil {
		return nil, err
	}
	in, who := caller(ctx)
	return g.ask(ctx, in, func(id uint64) wire.Message {
		return &wire.Call{ID: id, Caller: who, To: to, Method: method, Args: args}
	})
}

// Wakeup starts a room where it is not running; OnStart has run when it returns.
func Wakeup(ctx context.Context, to wire.Address, hint string, props []byte) error {
	g := of(ctx)
	if g == nil {
		return errNotRunning
	}
	if err := beforeCall(ctx); err != nil {
		return err
	}
	in, who := caller(ctx)
	_, err := g.ask(ctx, in, func(id uint64) wire.Message {
		return &wire.Wakeup{ID: id, Caller: who, To: to, Props: props, Hint: hint}
	})
	return err
}

// Bindings returns the classes' bindings of the program that ctx belongs to.
func Bindings(ctx context.Context) []string {
	g := of(ctx)
	if g == nil {
		return nil
	}
	var all []string
	for _, c := range g.program.Classes {
		all = append(all, c.Binding)
	}
	return all
}

// Log writes a line that belongs to no room.
func Log(ctx context.Context, level int, text string) {
	if g := of(ctx); g != nil {
		g.link.Send(&wire.Log{Level: level, Text: cut(text)})
		g.link.Flush()
	}
}

// Upgrade lets the WebSocket of the request that App.Handler serves in outer go
// to a room. It returns once the connection is open, or was refused; either way
// the request is answered unless it returns an error.
func Upgrade(outer context.Context, to wire.Address, hint string, r *http.Request, props []byte) error {
	x, _ := outer.Value(exchangeKey).(*exchange)
	if x == nil || x.instance != nil {
		return errors.New("RouteRequest needs a request that App.Handler got: keep r's context when you make another request of it")
	}
	// New code taking over is no reason to turn a client away that waits at
	// the door: only its going away is, or the user's own limit.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(outer))
	defer cancel(nil)
	defer context.AfterFunc(outer, func() {
		if err := context.Cause(outer); !errors.Is(err, errLeaving) || x.ctx.Err() != nil {
			cancel(err)
		}
	})()
	defer context.AfterFunc(x.ctx, func() { cancel(context.Cause(x.ctx)) })()
	_, err := x.guest.ask(ctx, nil, func(id uint64) wire.Message {
		return &wire.Upgrade{ID: id, Stream: x.stream, To: to, Request: toWire(r, r.URL.RequestURI()), Props: props, Hint: hint}
	})
	if err == nil {
		x.hijacked = true
	}
	return err
}

func toWire(r *http.Request, uri string) wire.Request {
	proto := r.Proto
	if proto == "" {
		proto = "HTTP/1.1"
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	return wire.Request{
		Method: method, URL: uri, Host: host, Proto: proto, RemoteAddr: r.RemoteAddr,
		Header: r.Header.Clone(), Length: r.ContentLength,
	}
}

// fetch is a request that this guest sent to a room.
type fetch struct {
	guest  *Guest
	stream uint64
	window wire.Window // of the request's body
	body   *wire.Inbox // of the answer
	head   chan *wire.Response
	once   sync.Once
}

func (f *fetch) part(m *wire.Response) {
	if m.Status != 0 || m.Err != nil {
		select {
		case f.head <- m:
		default:
		}
	}
	f.body.Add(m.Data)
	switch {
	case m.Err != nil:
		f.body.End(fromFailure(m.Err))
		f.forget()
	case m.End:
		f.body.End(io.EOF)
		f.forget()
	}
}

func (f *fetch) forget() {
	f.once.Do(func() {
		f.window.Fail(wire.ErrReset)
		f.guest.mu.Lock()
		delete(f.guest.fetching, f.stream)
		f.guest.mu.Unlock()
	})
}

// cancel gives up: the room is told that nobody waits.
func (f *fetch) cancel() {
	f.guest.link.Send(&wire.Reset{Stream: f.stream})
	f.guest.link.Flush()
	f.forget()
}

// inlineBody is how much of a fetch's body travels with the request itself.
const inlineBody = 32 << 10

// Fetch sends r to a room. Only r's method, path, query, header and body count.
func Fetch(ctx context.Context, to wire.Address, hint string, r *http.Request, props []byte) (*http.Response, error) {
	g := of(ctx)
	if g == nil {
		return nil, errNotRunning
	}
	if err := beforeCall(ctx); err != nil {
		return nil, err
	}
	in, who := caller(ctx)
	if in != nil && in.fenced.Load() {
		return nil, errGone
	}
	req := toWire(r, r.URL.RequestURI())
	if req.Header == nil {
		req.Header = http.Header{}
	}
	var first []byte
	more := false
	if r.Body != nil && r.Body != http.NoBody {
		first = make([]byte, inlineBody)
		n, err := io.ReadFull(r.Body, first)
		first = first[:n]
		switch {
		case err == nil:
			more = true
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			_ = r.Body.Close()
		default:
			return nil, fmt.Errorf("reading the request's body: %w", err)
		}
		if !more {
			req.Length = int64(n)
		}
	}
	req.Body, req.More = first, more

	f := &fetch{guest: g, stream: g.next.Add(1)<<1 | 1, head: make(chan *wire.Response, 1)}
	f.body = wire.NewInbox(func(n int) {
		g.link.Send(&wire.Ack{Stream: f.stream, N: n})
		g.link.Flush()
	})
	g.mu.Lock()
	g.fetching[f.stream] = f
	g.mu.Unlock()
	g.link.Send(&wire.Fetch{Stream: f.stream, Caller: who, To: to, Request: req, Props: props, Hint: hint})
	g.yield()
	if more {
		go f.sendBody(ctx, r.Body)
	}
	gone := g.ctx.Done()
	if in != nil {
		gone = in.ctx.Done()
	}
	select {
	case m := <-f.head:
		if m.Status == 0 {
			return nil, fromFailure(m.Err)
		}
		return f.response(ctx, r, m), nil
	case <-ctx.Done():
		f.cancel()
		return nil, context.Cause(ctx)
	case <-gone:
		f.cancel()
		return nil, errGone
	}
}

func (f *fetch) response(ctx context.Context, r *http.Request, m *wire.Response) *http.Response {
	resp := &http.Response{
		Status: fmt.Sprintf("%d %s", m.Status, http.StatusText(m.Status)), StatusCode: m.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header(m.Header), ContentLength: -1, Request: r,
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	if m.End {
		resp.ContentLength = int64(len(m.Data))
	}
	stop := context.AfterFunc(ctx, func() { f.body.End(context.Cause(ctx)); f.cancel() })
	resp.Body = &responseBody{f, stop}
	return resp
}

type responseBody struct {
	f    *fetch
	stop func() bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.f.guest.yield()
	n, err := b.f.body.Read(p)
	if err != nil {
		b.stop()
	}
	return n, err
}

func (b *responseBody) Close() error {
	b.stop()
	b.f.guest.mu.RLock()
	open := b.f.guest.fetching[b.f.stream] == b.f
	b.f.guest.mu.RUnlock()
	if open {
		b.f.cancel()
	}
	return b.f.body.Close()
}

// sendBody sends the rest of a request's body as fast as the room reads it.
func (f *fetch) sendBody(ctx context.Context, body io.ReadCloser) {
	defer body.Close()
	buf := make([]byte, writeBuffer)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if f.window.Take(ctx, n) != nil {
				return
			}
			f.guest.link.Send(&wire.Chunk{Stream: f.stream, Data: bytes.Clone(buf[:n])})
		}
		if err != nil {
			last := &wire.Chunk{Stream: f.stream, End: true}
			if err != io.EOF {
				last.Err = err.Error()
			}
			f.guest.link.Send(last)
			f.guest.link.Flush()
			return
		}
		f.guest.link.Flush()
	}
}
