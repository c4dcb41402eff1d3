package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/goparty/party/emulator/wire"
)

// exchange is one HTTP request that this guest answers. It is the
// http.ResponseWriter of hooks and of App.Handler.
//
// One goroutine at a time writes: the hook's, then that of Stream.
type exchange struct {
	guest    *Guest
	instance *Instance // nil: App.Handler
	stream   uint64
	method   string
	ctx      context.Context // ends with the answer, or with the client
	cancel   context.CancelCauseFunc
	attended func() bool             // nobody need see to the end of ctx any more
	leave    context.CancelCauseFunc // ends the request's own context, and the answer may still be written
	body     *wire.Inbox             // nil: it came whole
	window   wire.Window

	header   http.Header
	status   int
	sent     bool // the head left
	hijacked bool // a WebSocket went to a room
	asked    bool // Flush was called
	buf      []byte
	length   int64
	streamed func(ctx context.Context, w http.ResponseWriter) error
	err      error // of the stream to the client

	once sync.Once
}

// writeBuffer is how much of an answer is gathered before it leaves.
const writeBuffer = 32 << 10

func (g *Guest) open(ctx context.Context, in *Instance, m *wire.Serve) (*exchange, *http.Request, error) {
	x := &exchange{guest: g, instance: in, stream: m.Stream, method: m.Request.Method, header: http.Header{}}
	ctx, x.cancel = context.WithCancelCause(ctx)
	x.ctx = context.WithValue(ctx, exchangeKey, x)
	var body io.ReadCloser = http.NoBody
	if len(m.Request.Body) > 0 || m.Request.More {
		x.body = wire.NewInbox(func(n int) {
			g.link.Send(&wire.Ack{Stream: m.Stream, N: n, Body: true})
			g.link.Flush()
		})
		x.body.Add(m.Request.Body)
		if !m.Request.More {
			x.body.End(io.EOF)
		}
		body = &requestBody{x}
	}
	if m.Request.More {
		defer func() { // somebody reads from here on: the rest may come
			g.link.Send(&wire.Ack{Stream: m.Stream, Body: true})
			g.flushSoon()
		}()
	}
	ctx, x.leave = context.WithCancelCause(x.ctx)
	r, err := newRequest(ctx, &m.Request, body)
	if err != nil {
		return nil, nil, err
	}
	g.mu.Lock()
	g.serving[m.Stream] = x
	_, gone := g.early[m.Stream]
	delete(g.early, m.Stream)
	g.mu.Unlock()
	x.attended = context.AfterFunc(x.ctx, func() { x.shut(context.Cause(x.ctx)) })
	if gone {
		x.reset()
	}
	return x, r, nil
}

// requestBody flushes what the hook sent before it waits for more.
type requestBody struct{ x *exchange }

func (b *requestBody) Read(p []byte) (int, error) {
	b.x.guest.yield()
	return b.x.body.Read(p)
}

func (b *requestBody) Close() error { return b.x.body.Close() }

// newRequest makes the request that user code sees.
func newRequest(ctx context.Context, m *wire.Request, body io.ReadCloser) (*http.Request, error) {
	u, err := url.ParseRequestURI(m.URL)
	if err != nil {
		return nil, fmt.Errorf("the request's URL: %w", err)
	}
	r := &http.Request{
		Method: m.Method, URL: u, Host: m.Host, Proto: m.Proto, RequestURI: m.URL, RemoteAddr: m.RemoteAddr,
		Header: http.Header(m.Header), ContentLength: m.Length, Body: body,
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(m.Proto)
	return r.WithContext(ctx), nil
}

// shut ends what the hook may still read and write.
func (x *exchange) shut(err error) {
	x.window.Fail(err)
	if x.body != nil {
		x.body.End(err)
	}
}

func (x *exchange) chunk(m *wire.Chunk) {
	if x.body == nil {
		return
	}
	x.body.Add(m.Data)
	switch {
	case m.Err != "":
		x.body.End(errors.New(m.Err))
	case m.End:
		x.body.End(io.EOF)
	}
}

// reset is what the client's going away does.
func (x *exchange) reset() { x.cancel(wire.ErrReset) }

// maxEarly bounds how many streams are remembered that were reset before their
// turn. Most of them have ended in the same moment and will have none.
const maxEarly = 1024

func (g *Guest) reset(stream uint64) {
	g.mu.Lock()
	x := g.serving[stream]
	if x == nil {
		if len(g.early) >= maxEarly {
			clear(g.early)
		}
		g.early[stream] = struct{}{}
	}
	g.mu.Unlock()
	if x != nil {
		x.reset()
	}
}

func (g *Guest) ack(m *wire.Ack) {
	if m.Body {
		g.mu.RLock()
		f := g.fetching[m.Stream]
		g.mu.RUnlock()
		if f != nil {
			f.window.Ack(m.N)
		}
		return
	}
	if x := g.exchange(m.Stream); x != nil {
		x.window.Ack(m.N)
	}
}

// request runs OnRequest as a turn.
func (in *Instance) request(t *turn, m *wire.Serve) *wire.Failure {
	x, r, err := in.guest.open(t, in, m)
	if err != nil {
		return &wire.Failure{Code: wire.CodeInvalid, Text: err.Error()}
	}
	if x.ctx.Err() != nil { // the client left before the turn came
		x.finish()
		return nil
	}
	returned := false
	defer func() {
		if !returned { // Goexit
			x.fail(errors.New("OnRequest ended its goroutine (runtime.Goexit)"))
		}
	}()
	var thrown error
	failure := in.hook(t, "OnRequest", func() error {
		thrown = protect(func() error { in.object.Request(x, r); return nil })
		if errors.Is(thrown, http.ErrAbortHandler) {
			return nil
		}
		return thrown
	})
	returned = true
	switch {
	case thrown != nil:
		x.fail(thrown)
	case x.streamed != nil:
		if x.status != 0 { // otherwise f may still choose the head
			x.flush(false)
		}
		f, ctx := x.streamed, in.streamContext(x)
		context.AfterFunc(ctx, func() { x.leave(context.Cause(ctx)) })
		in.background("Stream", func() error {
			err := f(ctx, x)
			if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
				return nil // neither the client's going away nor new code is a failure
			}
			return err
		}, func(err error) {
			if err != nil {
				x.fail(err)
				return
			}
			x.finish()
		})
	default:
		x.finish()
	}
	return failure
}

// streamContext ends with the request and belongs to the instance, but to no
// turn: Do works in it.
func (in *Instance) streamContext(x *exchange) context.Context {
	ctx, cancel := context.WithCancelCause(in.staying)
	context.AfterFunc(x.ctx, func() { cancel(context.Cause(x.ctx)) })
	return ctx
}

// serveHandler runs App.Handler on a goroutine of its own.
func (g *Guest) serveHandler(m *wire.Serve) {
	x, r, err := g.open(g.ctx, nil, m)
	if err != nil {
		g.link.Send(&wire.Response{Stream: m.Stream, Status: http.StatusBadRequest, Data: []byte(err.Error()), End: true})
		g.link.Flush()
		return
	}
	go func() {
		err := errors.New("App.Handler ended its goroutine (runtime.Goexit)")
		defer func() {
			if err != nil {
				if !errors.Is(err, http.ErrAbortHandler) {
					g.link.Send(&wire.Exception{Hook: "App.Handler", Err: toFailure(err)})
				}
				x.fail(err)
			} else {
				x.finish()
			}
		}()
		err = protect(func() error { g.program.Handler.ServeHTTP(x, r); return nil })
	}()
}

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.header }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	switch {
	case x.hijacked:
		x.warn("WriteHeader after the WebSocket went to its room")
	case x.status != 0:
		x.warn(fmt.Sprintf("superfluous WriteHeader(%d): the status is already %d", status, x.status))
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %d", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		// Informational answers are not passed on.
	default:
		x.status = status
		x.header = x.header.Clone() // what is changed from here on is too late
		if n := headerSize(x.header); n > maxHeader {
			x.warn(fmt.Sprintf("an answer's header of %d bytes; at most %d are allowed: the client gets status 500 without it", n, maxHeader))
			x.status, x.header = http.StatusInternalServerError, http.Header{}
		}
	}
}

// maxHeader bounds the header of an answer.
const maxHeader = 1 << 20

func headerSize(h http.Header) (n int) {
	for k, values := range h {
		for _, v := range values {
			n += len(k) + len(v)
		}
	}
	return n
}

func (x *exchange) warn(text string) {
	number := uint64(0)
	if x.instance != nil {
		number = x.instance.Number
	}
	x.guest.log(number, slog.LevelWarn, text)
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(b []byte) (int, error) {
	switch {
	case x.hijacked:
		return 0, http.ErrHijacked
	case x.err != nil:
		return 0, x.err
	case x.fenced():
		return 0, errGone
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(x.status) {
		return 0, http.ErrBodyNotAllowed
	}
	n := len(b)
	x.length += int64(n)
	if x.method == http.MethodHead {
		return n, nil
	}
	for len(x.buf)+len(b) >= writeBuffer {
		take := min(len(b), writeBuffer-len(x.buf))
		x.buf, b = append(x.buf, b[:take]...), b[take:]
		x.flush(false)
		switch {
		case x.err != nil:
			return n - len(b), x.err
		case x.fenced():
			return n - len(b), errGone
		}
	}
	x.buf = append(x.buf, b...)
	return n, nil
}

// WriteString spares a copy for io.WriteString.
func (x *exchange) WriteString(s string) (int, error) { return x.Write([]byte(s)) }

// Flush implements http.Flusher.
func (x *exchange) Flush() { _ = x.FlushError() }

// FlushError is what http.ResponseController calls.
func (x *exchange) FlushError() error {
	if x.hijacked {
		return http.ErrHijacked
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	x.asked = true
	x.flush(false)
	x.guest.link.Flush()
	return x.err
}

// Hijack says what to do instead.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("the connection lives in the emulator and cannot be hijacked: WebSockets reach the hooks by themselves, and Stream keeps an answer open")
}

func (x *exchange) fenced() bool { return x.instance != nil && x.instance.fenced.Load() }

// flush sends what is gathered, the head before it, waiting while the client
// is far behind.
func (x *exchange) flush(end bool) {
	if x.hijacked || x.err != nil || x.fenced() {
		return
	}
	if !end && !x.asked && x.sent && len(x.buf) == 0 {
		return
	}
	m := &wire.Response{Stream: x.stream, Data: x.buf, Flush: x.asked, End: end}
	x.asked = false
	if x.instance != nil {
		m.Instance = x.instance.Number
	}
	if !x.sent {
		m.Status, m.Header = x.status, x.header
	}
	if len(x.buf) > 0 {
		// Only wait for room where some is missing; then let the earlier parts go.
		if x.sent {
			x.guest.yield()
		}
		if err := x.window.Take(x.ctx, len(x.buf)); err != nil {
			x.err = err
			return
		}
	}
	x.sent = true
	x.guest.link.Send(m)
	x.guest.flushSoon()
	if x.guest.direct || end {
		x.buf = nil
	} else {
		x.buf = x.buf[:0]
	}
}

// finish ends the answer.
func (x *exchange) finish() {
	x.end(func() {
		if x.hijacked {
			return
		}
		if x.status == 0 {
			x.WriteHeader(http.StatusOK)
		}
		if x.method == http.MethodHead && x.header.Get("Content-Length") == "" && x.length > 0 {
			x.header.Set("Content-Length", fmt.Sprint(x.length))
		}
		x.flush(true)
		if x.err != nil && x.instance != nil { // nobody reads it, but the room counts its open answers
			_ = x.instance.send(&wire.Response{Instance: x.instance.Number, Stream: x.stream, End: true})
		}
		if x.instance == nil {
			x.guest.link.Flush()
		}
	})
}

// fail answers 500 where nothing left yet, and otherwise cuts the answer off.
func (x *exchange) fail(err error) {
	x.end(func() {
		if x.fenced() || x.hijacked {
			return
		}
		f := toFailure(err)
		if errors.Is(err, http.ErrAbortHandler) {
			f = &wire.Failure{Text: "the answer was cut off"}
		}
		m := &wire.Response{Stream: x.stream, End: true, Err: f}
		if x.instance != nil {
			m.Instance = x.instance.Number
		}
		if !x.sent && !errors.Is(err, http.ErrAbortHandler) {
			m.Err, m.Status = nil, http.StatusInternalServerError
			m.Header = http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
			m.Data = []byte(f.Public(x.guest.welcome.Debug))
		}
		x.guest.link.Send(m)
		x.guest.link.Flush()
	})
}

func (x *exchange) end(last func()) {
	x.once.Do(func() {
		last()
		x.guest.mu.Lock()
		delete(x.guest.serving, x.stream)
		x.guest.mu.Unlock()
		if x.attended() { // or a goroutine would begin for it
			x.shut(context.Canceled)
		}
		x.cancel(context.Canceled)
	})
}

// Stream lets f go on writing the answer after the turn of OnRequest has ended.
func (in *Instance) Stream(w http.ResponseWriter, f func(context.Context, http.ResponseWriter) error) error {
	outer := w
	for {
		if x, ok := w.(*exchange); ok {
			switch {
			case x.instance != in:
				return errors.New("Stream needs the http.ResponseWriter of this room's own OnRequest")
			case x.streamed != nil:
				return errors.New("Stream was already called for this request")
			}
			x.streamed = func(ctx context.Context, _ http.ResponseWriter) error { return f(ctx, outer) }
			return nil
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return fmt.Errorf("Stream cannot find the request behind a %T: give it the http.ResponseWriter that OnRequest got, or add an Unwrap method", w)
		}
		w = u.Unwrap()
	}
}
