//go:build js

package workers

import (
	"net/http"
	"net/url"
	"strings"
	"syscall/js"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// How much of a body a request's turn waits for, as in the other emulator.
const (
	bodyFirst = 1 << 20
	bodyWait  = time.Second
)

// serve is one request that the guest answers.
type serve struct {
	h      *host
	id     int // of the engine's event
	stream uint64
	start  func(first []byte, more bool) // once enough of the body is there
	head   bool                          // HEAD: the answer has no body

	first     []byte
	started   bool
	begun     bool // the guest reads
	ended     bool // of the body
	reading   bool // a share was asked for
	pending   []*wire.Chunk
	unacked   int
	wait      *timer
	responded bool
}

// request is a request that is no WebSocket of a room, or any to App.Handler.
func (h *host) request(a []js.Value) {
	id := a[0].Int()
	req, base, err := newRequest(a[1].String(), a[2].String(), a[3].String())
	stream := uint64(id) * 2
	s := &serve{h: h, id: id, stream: stream, head: req.Method == http.MethodHead}
	h.serves[stream] = s
	if err != nil {
		s.refuse(http.StatusBadRequest, "the request's URL: "+err.Error())
		return
	}
	h.base = base
	props, waiting := propsOf(a[5]), text(a[6])
	s.start = func(first []byte, more bool) {
		req.Body, req.More = first, more
		if !more {
			req.Length = int64(len(first))
		}
		if h.room == nil {
			h.guest.Handle(&wire.Serve{Stream: stream, Request: req})
			return
		}
		h.room.serve(s, req, props, waiting)
	}
	if !a[4].Bool() {
		s.begin(false)
		return
	}
	s.wait = h.after(bodyWait, func() { s.begin(true) })
	s.read()
}

// newRequest makes what travels of a request: its body comes later.
func newRequest(method, address, head string) (wire.Request, *url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return wire.Request{Method: method}, nil, err
	}
	header := unflat(head)
	header.Del("Host")
	q := wire.Request{
		Method: method, URL: u.RequestURI(), Host: u.Host, Proto: "HTTP/1.1", Header: header, Length: -1,
		RemoteAddr: header.Get("Cf-Connecting-Ip"),
	}
	return q, u, nil
}

func (s *serve) read() {
	if !s.reading && !s.ended {
		s.reading = true
		s.h.shim.Call("read", s.stream)
	}
}

// chunk is a share of the body.
func (s *serve) chunk(data []byte, end bool, err string) {
	s.reading, s.ended = false, end
	if !s.started {
		s.first = append(s.first, data...)
		switch {
		case err != "":
			s.stopWait()
			s.started = true
			s.refuse(http.StatusBadRequest, "the request's body could not be read: "+err)
		case end:
			s.begin(false)
		case len(s.first) >= bodyFirst:
			s.begin(true)
		default:
			s.read()
		}
		return
	}
	if err != "" {
		err = "the client's request broke off: " + err
	}
	s.unacked += len(data)
	s.pending = append(s.pending, &wire.Chunk{Stream: s.stream, Data: data, End: end, Err: err})
	s.pass()
}

func (s *serve) stopWait() {
	if s.wait != nil {
		s.wait.stop()
	}
}

func (s *serve) begin(more bool) {
	if s.started {
		return
	}
	s.stopWait()
	s.started = true
	first := s.first
	s.first = nil
	s.start(first, more)
}

// pass hands what came to the guest once it reads, and asks for more while it
// keeps up.
func (s *serve) pass() {
	if !s.begun {
		return
	}
	for _, c := range s.pending {
		s.h.guest.Handle(c)
	}
	s.pending = nil
	if s.unacked < wire.WindowSize {
		s.read()
	}
}

func (s *serve) consumed(n int) {
	s.begun = true
	s.unacked -= n
	s.pass()
}

// respond passes a part of the answer on.
func (s *serve) respond(m *wire.Response) {
	over := m.End || m.Err != nil
	if over {
		defer s.forget()
	}
	switch {
	case !s.responded && m.Status == 0 && m.Err != nil:
		s.refuse(m.Err.Status(), s.h.text(m.Err))
		return
	case !s.responded:
		s.answer(m.Status, m.Header, m.Data, m.End && m.Err == nil)
	case len(m.Data) > 0:
		s.h.shim.Call("write", s.stream, toJS(m.Data))
	}
	switch {
	case m.Err != nil:
		s.h.shim.Call("end", s.stream, m.Err.Text)
	case m.End:
		s.h.shim.Call("end", s.stream)
	}
}

func (s *serve) answer(status int, header http.Header, data []byte, whole bool) {
	s.responded = true
	if _, typed := header["Content-Type"]; !typed && len(data) > 0 && header.Get("Content-Encoding") == "" {
		if header == nil {
			header = http.Header{}
		}
		header.Set("Content-Type", http.DetectContentType(data)) // as Go's own server does
	}
	if status < 200 || status > 599 {
		s.h.log(8, "an answer with status "+http.StatusText(status)+" cannot be sent: this engine takes 200 to 599")
		status, header, data = http.StatusInternalServerError, nil, []byte("Internal Server Error\n")
	}
	var body any
	if !s.head || !whole {
		body = toJS(data)
	}
	s.h.shim.Call("respond", s.id, s.stream, status, flat(header), body, whole)
}

// refuse answers with an error of ours.
func (s *serve) refuse(status int, why string) {
	if s.responded {
		s.h.shim.Call("end", s.stream, why)
	} else {
		s.answer(status, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, []byte(strings.TrimRight(why, "\n")+"\n"), true)
	}
	s.forget()
}

// fail ends a request that the guest did not get to.
func (s *serve) fail(f *wire.Failure) {
	if s.h.serves[s.stream] == s {
		s.refuse(f.Status(), s.h.text(f))
	}
}

func (s *serve) forget() {
	if s.h.serves[s.stream] != s {
		return
	}
	delete(s.h.serves, s.stream)
	s.h.shim.Call("drop", s.stream)
	if s.h.room == nil {
		s.h.shim.Call("served")
	}
}

// reset is the end of whoever waited for a stream.
func (h *host) reset(stream uint64) {
	if s := h.serves[stream]; s != nil {
		s.stopWait()
		h.guest.Handle(&wire.Reset{Stream: stream})
		if !s.started {
			s.started = true
			s.forget()
		}
		return
	}
	if f := h.fetches[stream]; f != nil { // of the request's body
		f.unread()
	}
}

// text is what a client may read of a failure.
func (h *host) text(f *wire.Failure) string {
	if f.Code == wire.CodeUser {
		return f.Public(h.debug)
	}
	return f.Text
}

// fetch is a request of the guest to another room.
type fetch struct {
	h      *host
	stream uint64
	wait   *timer // for the head

	headed  bool
	reading bool
	ended   bool // of the answer
	unacked int
}

// fetchLimit is how long a call between rooms may take.
const fetchLimit = 30 * time.Second

func (h *host) fetch(m *wire.Fetch) {
	f := &fetch{h: h, stream: m.Stream}
	h.fetches[m.Stream] = f
	waiting, failure := h.waits(m.Caller, fetchID|m.Stream, m.To, true)
	if failure != nil {
		f.fail(failure)
		return
	}
	f.wait = h.after(fetchLimit, func() {
		if !f.headed {
			h.shim.Call("cancelFetch", f.stream)
			f.fail(timeout(m.To))
		}
	})
	var body any
	if len(m.Request.Body) > 0 || m.Request.More {
		body = toJS(m.Request.Body)
	}
	q := m.Request
	header := http.Header(q.Header)
	header.Del("Host")
	header.Del("Content-Length")
	h.shim.Call("fetchRoom", m.Stream, m.To.Binding, m.To.Name, m.To.Jurisdiction, m.Hint, q.Method, h.address(q), flat(header), body, q.More, base64Of(m.Props), waiting)
}

// address is the URL under which a room sees a request.
func (h *host) address(q wire.Request) string {
	scheme, host := "https", q.Host
	if h.base != nil {
		scheme = h.base.Scheme
		if host == "" {
			host = h.base.Host
		}
	}
	if host == "" {
		host = "room"
	}
	return scheme + "://" + host + q.URL
}

func (f *fetch) head(status int, header http.Header, body bool) {
	f.headed = true
	f.wait.stop()
	f.h.unwait(fetchID | f.stream)
	f.ended = !body
	f.h.guest.Handle(&wire.Response{Stream: f.stream, Status: status, Header: header, End: !body})
	if !body {
		f.forget()
		return
	}
	f.read()
}

func (f *fetch) read() {
	if !f.reading && !f.ended && f.unacked < wire.WindowSize {
		f.reading = true
		f.h.shim.Call("read", f.stream)
	}
}

func (f *fetch) chunk(data []byte, end bool, err string) {
	f.reading, f.ended = false, end
	f.unacked += len(data)
	m := &wire.Response{Stream: f.stream, Data: data, End: end}
	if err != "" {
		m.Err = &wire.Failure{Code: wire.CodeRetryable, Text: "the answer broke off: " + err}
	}
	f.h.guest.Handle(m)
	if end {
		f.forget()
		return
	}
	f.read()
}

func (f *fetch) consumed(n int) {
	f.unacked -= n
	f.read()
}

// write is a share of the request's body.
func (f *fetch) write(m *wire.Chunk) {
	if len(m.Data) > 0 {
		f.h.shim.Call("write", f.stream, toJS(m.Data))
	}
	switch {
	case m.Err != "":
		f.h.shim.Call("end", f.stream, m.Err)
	case m.End:
		f.h.shim.Call("end", f.stream)
	}
}

// unread is the room's leaving the rest of the body.
func (f *fetch) unread() {
	f.h.guest.Handle(&wire.Ack{Stream: f.stream, N: wire.WindowSize, Body: true})
}

func (f *fetch) fail(failure *wire.Failure) {
	f.h.guest.Handle(&wire.Response{Stream: f.stream, Err: failure})
	f.forget()
}

func (f *fetch) cancel() {
	f.h.shim.Call("cancelFetch", f.stream)
	f.forget()
}

func (f *fetch) forget() {
	if f.wait != nil {
		f.wait.stop()
	}
	f.h.unwait(fetchID | f.stream)
	delete(f.h.fetches, f.stream)
}
