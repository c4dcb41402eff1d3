package emulator

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// answer is an answer on its way to a client.
type answer struct {
	x      *exchange
	w      http.ResponseWriter
	r      *http.Request
	header func() inspect.Header
	began  time.Time
	status int // 0: the head has not come
	size   int // of the body so far
	kept   []byte
}

func (a *answer) done(text string) {
	took := time.Since(a.began)
	a.x.behind(func() {
		e := &inspect.Request{
			Header: a.header(), Method: a.r.Method, URL: a.r.URL.RequestURI(),
			Status: a.status, Took: took, Error: text, ContentType: a.r.Header.Get("Content-Type"),
		}
		if b := a.x.body; b != nil && len(b.first) > 0 {
			e.Body = a.x.em.events.Payload(!isText(b.first), b.first)
		}
		if a.size > 0 {
			e.Answer = inspect.Payload{Binary: !isText(a.kept), Size: a.size, Data: a.kept}
		}
		a.x.em.events.Publish(e)
	})
}

// isText reports whether data begins a text, which may end within a character.
func isText(data []byte) bool {
	for cut := range min(utf8.UTFMax, len(data)+1) {
		if utf8.Valid(data[:len(data)-cut]) {
			return true
		}
	}
	return false
}

// keep notes what a part of the body adds to what is shown of it.
func (a *answer) keep(data []byte) {
	a.size += len(data)
	if events := a.x.em.events; len(a.kept) < events.Kept() && events.Wanted() {
		a.kept = append(a.kept, data[:min(len(data), events.Kept()-len(a.kept))]...)
	}
}

// part writes one part and reports whether it was the last.
func (a *answer) part(m *wire.Response) bool {
	if a.status == 0 && m.Status != 0 {
		a.status = m.Status
		head := a.w.Header()
		for k, v := range m.Header {
			head[k] = v
		}
		if m.End && m.Err == nil && a.r.Method != http.MethodHead && a.status >= 200 && a.status != http.StatusNoContent && a.status != http.StatusNotModified {
			head["Content-Length"] = []string{itoa(len(m.Data))}
		}
		a.w.WriteHeader(a.status)
	}
	if len(m.Data) > 0 {
		a.keep(m.Data)
		if _, err := a.w.Write(m.Data); err != nil && !errors.Is(err, http.ErrContentLength) && !errors.Is(err, http.ErrBodyNotAllowed) {
			a.x.cancel()
			a.done("the client went away")
			return true
		}
	}
	switch {
	case m.Err != nil && a.status == 0:
		a.status = m.Err.Status()
		a.done(m.Err.Text)
		text := m.Err.Text
		if m.Err.Code == wire.CodeUser {
			text = m.Err.Public(a.x.em.config.Debug)
		}
		http.Error(a.w, text, a.status)
		return true
	case m.Err != nil:
		a.done(m.Err.Text)
		_ = http.NewResponseController(a.w).Flush() // what came before arrives
		panic(http.ErrAbortHandler)                 // so that nobody takes it for a whole answer
	case m.End:
		a.done("")
		return true
	}
	return false
}

// answer writes the guest's answer to the client as it comes.
func (x *exchange) answer(ctx context.Context, w http.ResponseWriter, h func() inspect.Header, r *http.Request) {
	a := answer{x: x, w: w, r: r, header: h, began: time.Now()}
	defer x.leave()
	for {
		select {
		case <-x.more:
		case <-x.taken:
			return // a WebSocket now
		case <-ctx.Done():
			x.cancel()
			a.done("the client went away")
			return
		case <-x.broken:
			x.cancel()
			a.done("the client's request broke off")
			if a.status != 0 {
				panic(http.ErrAbortHandler)
			}
			http.Error(w, "the request's body broke off", http.StatusBadRequest)
			return
		case <-x.em.ctx.Done():
			x.cancel()
			panic(http.ErrAbortHandler)
		}
		x.mu.Lock()
		parts := x.parts
		x.parts, x.waiting = nil, 0
		x.mu.Unlock()
		consumed := 0
		x.taking = len(parts)
		for _, m := range parts {
			if a.part(m) {
				return
			}
			consumed += len(m.Data)
		}
		if g := x.servedBy(); g != nil && consumed > 0 {
			g.link.Send(&wire.Ack{Stream: x.id, N: consumed})
			g.link.Flush()
		}
		_ = http.NewResponseController(w).Flush()
		x.taking = 0
		x.em.transit.Add(int64(-len(parts)))
	}
}
