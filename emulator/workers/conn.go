//go:build js

package workers

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"syscall/js"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// conn is one WebSocket.
type conn struct {
	r        *room
	key      uint64
	id, uri  string
	tags     []string
	state    []byte
	accepted bool // it has tags and gets broadcasts
	open     bool // the engine has it
	sent     bool // our close frame left
	gone     bool // its last event has come
	early    []any
	leaving  func() // a close before it was open
}

func (c *conn) wire() wire.Connection {
	return wire.Connection{Key: c.key, ID: c.id, URI: c.uri, Tags: c.tags, State: c.state, Closing: c.sent}
}

// findSockets lists the connections that were kept over the room's sleep.
func (r *room) findSockets() {
	all := r.shim.Call("all")
	for i := 0; i+2 < all.Length(); i += 3 {
		c := &conn{r: r, key: uint64(all.Index(i).Int()), accepted: true, open: true}
		for tags, j := all.Index(i+2), 0; j < tags.Length(); j++ {
			c.tags = append(c.tags, tags.Index(j).String())
		}
		kept, err := wire.Connection{}, errors.New("none")
		if v := all.Index(i + 1); !v.IsNull() {
			kept, err = parseAttachment(bytesOf(v))
		}
		if err != nil { // accepted by a program in another language
			kept = wire.Connection{ID: newID()}
			if len(c.tags) > 0 {
				kept.ID = c.tags[0]
			}
		}
		c.id, c.uri, c.state, c.sent = kept.ID, kept.URI, kept.State, kept.Closing
		r.last = max(r.last, c.key)
		r.add(c)
	}
}

func (r *room) add(c *conn) {
	r.conns = append(r.conns, c)
	r.byKey[c.key] = c
}

func (r *room) remove(c *conn) {
	delete(r.byKey, c.key)
	r.conns = slices.DeleteFunc(r.conns, func(other *conn) bool { return other == c })
	if c.open {
		r.shim.Call("forget", c.key)
	}
}

// connect lets a WebSocket in: ConnectionTags and OnConnect run before the
// engine has it.
func (r *room) connect(a []js.Value) {
	id, props := a[0].Int(), propsOf(a[3])
	req, base, err := newRequest("GET", a[1].String(), a[2].String())
	if err != nil {
		r.refuse(id, &wire.Failure{Text: "the request's URL: " + err.Error()})
		return
	}
	r.base = base
	r.given(props) // for OnStart
	r.last++
	c := &conn{r: r, key: r.last, uri: a[1].String(), id: base.Query().Get("_pk")}
	if c.id == "" {
		c.id = newID()
	}
	r.add(c)
	req.Length = 0
	ev := &event{payload: &wire.Connect{Connection: c.wire(), Request: req, Props: props}}
	ev.done = func(m *wire.Done) {
		if m.Err != nil {
			r.remove(c)
			r.refuse(id, m.Err)
			return
		}
		c.opened(id, protocol(r.class.Subprotocols, req.Header))
	}
	r.enqueue(ev)
}

// protocol is the first of ours that the client offers.
func protocol(ours []string, header map[string][]string) string {
	var offered []string
	for _, v := range header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(v, ",") {
			offered = append(offered, strings.TrimSpace(p))
		}
	}
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}

// refuse lets a WebSocket in only to say why it must go, as partyserver does.
func (r *room) refuse(id int, f *wire.Failure) {
	b, err := json.Marshal(map[string]string{"error": f.Public(r.debug)})
	if err != nil {
		b = []byte(`{"error":"Internal Server Error"}`)
	}
	r.shim.Call("refuse", id, string(b))
}

// opened gives the engine the connection, with what was sent before.
func (c *conn) opened(id int, protocol string) {
	c.open = true
	hibernates := c.r.class.Hibernate
	c.r.shim.Call("accept", id, c.key, hibernates, anys(c.tags), toJS(appendAttachment(nil, c.wire())), protocol)
	for _, m := range c.early {
		c.r.shim.Call("send", c.key, m)
	}
	c.early = nil
	if c.leaving != nil {
		c.leaving()
	}
}

func (c *conn) send(m any) {
	switch {
	case !c.accepted || c.sent || c.gone:
	case !c.open:
		c.early = append(c.early, m)
	default:
		c.r.shim.Call("send", c.key, m)
	}
}

func (r *room) broadcast(m *wire.Broadcast) {
	data := message(m.Binary, m.Data)
	args := []any{data}
	for _, c := range r.conns {
		switch {
		case slices.Contains(m.Without, c.id):
			args = append(args, c.key)
		case !c.open:
			c.send(data)
		}
	}
	r.shim.Call("broadcast", args...)
}

// attach lets the engine keep what the connection is.
func (c *conn) attach() {
	if c.open && c.r.class.Hibernate {
		c.r.shim.Call("attach", c.key, toJS(appendAttachment(nil, c.wire())))
	}
}

// close sends our close frame, once.
func (c *conn) close(code int, reason string) {
	if c.sent {
		return
	}
	c.sent = true
	leave := func() {
		c.attach()
		c.r.shim.Call("close", c.key, code, reason)
	}
	if c.open {
		leave()
	} else {
		c.leaving = leave
	}
}

func (r *room) message(a []js.Value) {
	id, key := a[0].Int(), uint64(a[1].Int())
	m := &wire.Deliver{Connection: key}
	if a[2].Type() == js.TypeString {
		m.Data = []byte(a[2].String())
	} else {
		m.Binary, m.Data = true, bytesOf(a[2])
	}
	c := r.byKey[key]
	if c == nil || c.sent {
		r.shim.Call("done", id)
		return
	}
	r.enqueue(&event{payload: m, done: func(*wire.Done) { r.shim.Call("done", id) }})
}

// closed runs OnClose, then completes the handshake.
func (r *room) closed(id int, key uint64, code int, reason string, clean bool) {
	c := r.byKey[key]
	if c == nil || c.gone {
		r.shim.Call("done", id)
		return
	}
	c.gone = true
	ev := &event{payload: &wire.Closed{Connection: key, Code: code, Reason: reason, Clean: clean}}
	ev.done = func(*wire.Done) {
		if clean && !c.sent {
			if guest.CheckClose(code, reason) != nil {
				code, reason = 0, "" // 1005: the client gave none
			}
			c.sent = true
			r.shim.Call("close", key, code, reason)
		}
		r.remove(c)
		r.shim.Call("done", id)
	}
	r.enqueue(ev)
}

// faulted runs OnError for a connection that broke the protocol.
func (r *room) faulted(id int, key uint64, why string) {
	c := r.byKey[key]
	if c == nil || c.gone {
		r.shim.Call("done", id)
		return
	}
	c.gone = true
	ev := &event{payload: &wire.Faulted{Connection: key, Text: why}}
	ev.done = func(*wire.Done) {
		r.remove(c)
		r.shim.Call("done", id)
	}
	r.enqueue(ev)
}

func newID() string {
	var b [21]byte
	_, _ = rand.Read(b[:])
	return wire.NanoID(b)
}
