package emulator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// codeWait is how long requests wait for code that is being started again.
const codeWait = 10 * time.Second

func newServer(e *Emulator) *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(e.serve),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    4 << 20, // longer names than we take are answered by us
		ErrorLog:          log.New(serverLog{e}, "", 0),
	}
}

// serverLog makes what net/http has to say part of the stream.
type serverLog struct{ e *Emulator }

func (l serverLog) Write(p []byte) (int, error) {
	l.e.events.Publish(&inspect.Log{Level: "DEBUG", Text: "gateway: " + strings.TrimSpace(string(p))})
	return len(p), nil
}

// Serve answers clients that connect to ln until Close.
func (e *Emulator) Serve(ln net.Listener) error {
	at := "http://" + reachable(ln.Addr())
	e.at.Store(&at)
	err := e.server.Serve(listener{ln})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// reachable is an address for a client on this machine.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// serve is the gateway.
func (e *Emulator) serve(w http.ResponseWriter, r *http.Request) {
	// Until a room or App.Handler has the request, it is in transit.
	e.transit.Add(1)
	arrived := sync.OnceFunc(func() { e.transit.Add(-1) })
	defer arrived()
	g, err := e.awaitCode(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the server's code is not running: "+e.whyNot(), http.StatusServiceUnavailable)
		return
	}
	if g.handler {
		e.serveHandler(w, r, arrived)
		return
	}
	party, name, ok := wire.SplitPath("parties", r.URL.EscapedPath())
	if !ok {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	binding, ok := g.parties[party]
	if !ok {
		e.events.Publish(&inspect.Log{Level: "ERROR", Text: wire.UnknownParty(party, g.bindings).Error()})
		http.Error(w, "Invalid request", http.StatusBadRequest)
		return
	}
	to := wire.Address{Binding: binding, Name: name}
	if len(name) > wire.MaxName {
		http.Error(w, nameTooLong(name), http.StatusRequestURITooLong)
		return
	}
	r.Header.Del("X-Partykit-Namespace")
	if isUpgrade(r) {
		if f := e.connect(w, r, to, toWire(r, nil), nil, party, arrived); f != nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, f.Text, http.StatusServiceUnavailable)
		}
		return
	}
	e.request(w, r, to, party, arrived)
}

func nameTooLong(name string) string {
	return fmt.Sprintf("the room's name has %d bytes; at most %d are allowed: use a shorter one, such as a hash", len(name), wire.MaxName)
}

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

func itoa(n int) string { return strconv.Itoa(n) }

// request brings a plain request to a room.
func (e *Emulator) request(w http.ResponseWriter, r *http.Request, to wire.Address, party string, arrived func()) {
	ctx := r.Context()
	x := e.newExchange(r.RemoteAddr)
	b, err := e.readFirst(ctx, x, w, r, arrived)
	defer b.stop(w)
	if err != nil {
		x.cancel()
		http.Error(w, "the request's body could not be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	q := toWire(r, b)
	q.Header["X-Partykit-Namespace"] = []string{party}
	ev := requestEvent(x, q, nil)
	rm := e.post(to, arrive{ev})
	x.room, x.turn = rm, ev
	rm.drain()
	arrived()
	header := func() inspect.Header { return inspect.Header{Room: rm.name, Generation: x.number()} }
	x.answer(ctx, w, header, r)
	if ctx.Err() != nil {
		rm.post(do(func(*room) {
			ev.withdrawn = true
			ev.end()
		}))
	}
}

// requestEvent is the turn that serves an exchange.
func requestEvent(x *exchange, q wire.Request, props []byte) *event {
	return &event{
		kind: kindRequest, served: x,
		payload: &wire.Serve{Stream: x.id, Request: q, Props: props},
		failed:  x.fail,
		done: func(m *wire.Done) {
			// The guest has answered, unless the request itself was refused.
			if m.Err != nil && m.Err.Code == wire.CodeInvalid {
				x.fail(m.Err)
			}
		},
	}
}

// number is that of the generation that serves the exchange.
func (x *exchange) number() uint64 {
	if g := x.servedBy(); g != nil {
		return g.number
	}
	return 0
}

// queryValue finds a parameter as clients mean it, and nothing in a query that
// is none.
func queryValue(query, name string) string {
	q, err := url.ParseQuery(query)
	if err != nil && q == nil {
		return ""
	}
	return q.Get(name)
}

// upgrade lets the WebSocket of a request that App.Handler serves go to a room.
func (e *Emulator) upgrade(g *generation, m *wire.Upgrade) {
	x := e.exchange(m.Stream)
	answer := func(f *wire.Failure) {
		g.link.Send(&wire.Result{ID: m.ID, Err: f})
		g.link.Flush()
	}
	if x == nil || x.servedBy() != g || x.taken == nil {
		answer(&wire.Failure{Code: wire.CodeClosed, Text: "the client of this request has gone"})
		return
	}
	if _, ok := g.classes[m.To.Binding]; !ok {
		answer(&wire.Failure{Code: wire.CodeInvalid, Text: "no class is bound to " + m.To.Binding})
		return
	}
	if len(m.To.Name) > wire.MaxName {
		answer(&wire.Failure{Code: wire.CodeTooLarge, Text: nameTooLong(m.To.Name)})
		return
	}
	if !x.upgrades(true) {
		answer(&wire.Failure{Code: wire.CodeClosed, Text: "the client of this request has gone"})
		return
	}
	// The handler's goroutine waits meanwhile, so w and req are ours.
	e.work.Go(func() {
		defer x.upgrades(false)
		f := e.connect(x.w, x.req, m.To, m.Request, m.Props, wire.Kebab(m.To.Binding), func() {})
		if f == nil {
			x.forget()
			close(x.taken)
		}
		answer(f)
	})
}

// serveHandler brings a request to App.Handler.
func (e *Emulator) serveHandler(w http.ResponseWriter, r *http.Request, arrived func()) {
	ctx := r.Context()
	x := e.newExchange(r.RemoteAddr)
	x.req, x.w, x.taken = r, w, make(chan struct{})
	b, err := e.readFirst(ctx, x, w, r, arrived)
	if err != nil {
		x.cancel()
		b.stop(w)
		http.Error(w, "the request's body could not be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	defer func() { // answer may panic
		x.handedBack()
		b.stop(w)
	}()
	g, err := e.serveBy(ctx, x)
	if err != nil {
		x.cancel()
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the server's code is not running: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer g.unserve(x)
	g.link.Send(&wire.Serve{Stream: x.id, Request: toWire(r, b)})
	g.link.Flush()
	arrived()
	x.answer(ctx, w, func() inspect.Header { return inspect.Header{Generation: g.number} }, r)
}

// serveBy finds the code that serves a request of App.Handler: newer code may
// have come while its body did.
func (e *Emulator) serveBy(ctx context.Context, x *exchange) (*generation, error) {
	ctx, cancel := context.WithTimeout(ctx, codeWait)
	defer cancel()
	for {
		g, err := e.awaitCurrent(ctx)
		switch {
		case err != nil:
			return nil, errors.New(e.whyNot())
		case !g.handler:
			return nil, errors.New("newer code has no App.Handler for it; try again")
		}
		x.sendTo(g)
		if g.serve(x) {
			return g, nil
		}
	}
}

// checkUpgrade says what is wrong with a WebSocket handshake, before any hook
// runs for it.
func checkUpgrade(r *http.Request) (status int, text string) {
	switch {
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, "a WebSocket handshake must be a GET request"
	case !headerHas(r.Header, "Connection", "upgrade"):
		return http.StatusBadRequest, "a WebSocket handshake needs the header Connection: Upgrade"
	case !headerHas(r.Header, "Sec-WebSocket-Version", "13"):
		return http.StatusUpgradeRequired, "only version 13 of the WebSocket protocol is spoken"
	}
	if key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key")); err != nil || len(key) != 16 {
		return http.StatusBadRequest, "a WebSocket handshake needs the header Sec-WebSocket-Key, 16 bytes in base64"
	}
	return 0, ""
}

func headerHas(h http.Header, name, token string) bool {
	for _, v := range h.Values(name) {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// connect brings a WebSocket to a room: ConnectionTags and OnConnect run, then
// the handshake is answered. q is the request that the hooks see. A failure
// that it returns may be tried again; everything else was answered.
func (e *Emulator) connect(w http.ResponseWriter, r *http.Request, to wire.Address, q wire.Request, props []byte, party string, arrived func()) *wire.Failure {
	if status, text := checkUpgrade(r); status != 0 {
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, text, status)
		return nil
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	c := &connection{key: e.next.Add(1), uri: scheme + "://" + q.Host + q.URL}
	_, query, _ := strings.Cut(q.URL, "?")
	if c.id = queryValue(query, "_pk"); c.id == "" {
		c.id = e.connectionID()
	}
	if q.Header == nil {
		q.Header = map[string][]string{}
	}
	q.Header["X-Partykit-Namespace"] = []string{party}
	// What the room decides is told here, unless nobody waits any more; then
	// the room handles it alone. abandoned belongs to the room's owner.
	decided := make(chan *wire.Failure, 1)
	abandoned := false
	e.door.RLock()
	if g := e.current(); g != nil {
		if f := g.refuse(to); f != nil {
			e.door.RUnlock()
			http.Error(w, f.Text, f.Status())
			return nil
		}
	}
	rm := e.post(to, do(func(r *room) {
		c.room = r
		if props != nil {
			r.props = props // for OnStart
		}
		r.conns = append(r.conns, c)
		r.byKey[c.key] = c
		decide := func(f *wire.Failure) {
			switch {
			case f != nil:
				c.refuse(f)
			case abandoned:
				lastOf(c, io.ErrUnexpectedEOF)(r)
			}
			if !abandoned {
				e.transit.Add(1) // until the client has it
			}
			decided <- f
		}
		r.enqueue(&event{
			kind: kindConnect, conn: c,
			payload: &wire.Connect{Connection: c.wire(), Request: q, Props: props},
			done:    func(m *wire.Done) { decide(m.Err) },
			failed:  decide,
		})
	}))
	e.door.RUnlock()
	rm.drain()
	arrived()
	var failure *wire.Failure
	select {
	case failure = <-decided:
		defer e.transit.Add(-1)
	case <-e.ctx.Done():
		return retryable("the emulator is stopping")
	case <-r.Context().Done():
		rm.post(do(func(r *room) { c.abandon(decided, &abandoned) }))
		return nil
	}
	if failure != nil && failure.Code != wire.CodeUser {
		if failure.Code == wire.CodeRetryable {
			return failure
		}
		http.Error(w, failure.Text, failure.Status())
		return nil
	}
	e.openWebSocket(w, r, rm, c, failure)
	return nil
}

// openWebSocket answers the handshake of a client that its room has decided about, and
// gives the room the socket. A failure of the hooks is told over the WebSocket,
// which then ends.
func (e *Emulator) openWebSocket(w http.ResponseWriter, r *http.Request, rm *room, c *connection, failure *wire.Failure) {
	head := http.Header{}
	if p := e.subprotocol(rm.address.Binding, r); p != "" {
		head.Set("Sec-WebSocket-Protocol", p)
	}
	ws, err := upgrader.Upgrade(w, r, head)
	if err != nil {
		if failure == nil {
			rm.post(lastOf(c, io.ErrUnexpectedEOF))
		}
		return
	}
	s, ok := ws.NetConn().(*socket)
	if !ok {
		panic("emulator: a WebSocket that did not come through Serve")
	}
	s.upgraded()
	if failure != nil {
		e.sendError(ws, s, failure)
		return
	}
	if !rm.post(attach{c, ws, s}) {
		_ = s.Close() // the room was reset and forgotten in between
	}
}

// refuse forgets a connection that was not let in.
func (c *connection) refuse(f *wire.Failure) {
	if c.cut {
		return
	}
	c.remove()
	c.room.em.events.Publish(&inspect.ConnectionRefused{Header: c.room.header(), Connection: c.id, Reason: f.Text})
}

// abandon is what a client's going away before its connection is open does: the
// room need not run hooks that have not begun, and those that have hear of the
// end.
func (c *connection) abandon(decided chan *wire.Failure, abandoned *bool) {
	*abandoned = true
	select {
	case f := <-decided:
		c.room.em.transit.Add(-1)
		if f == nil {
			lastOf(c, io.ErrUnexpectedEOF)(c.room)
		}
		return
	default:
	}
	for _, ev := range c.room.queue {
		if ev.conn == c {
			ev.withdrawn = true
			c.refuse(retryable("the client went away"))
		}
	}
}

// sendError lets a WebSocket in only to say why it must go, as partyserver does.
func (e *Emulator) sendError(ws *websocket.Conn, s *socket, f *wire.Failure) {
	text, err := json.Marshal(map[string]string{"error": f.Public(e.config.Debug)})
	if err != nil {
		text = []byte(`{"error":"Internal Server Error"}`)
	}
	s.out.AddShared(appendFrame(nil, websocket.TextMessage, text))
	s.out.AddShared(closeFrame(websocket.CloseInternalServerErr, "Uncaught exception during session setup"))
	s.out.Flush()
	e.work.Go(func() {
		stop := context.AfterFunc(e.ctx, func() { _ = s.Close() })
		defer stop()
		_ = s.SetReadDeadline(time.Now().Add(slowLimit))
		ws.SetCloseHandler(func(int, string) error { return nil })
		for {
			if _, _, err := ws.NextReader(); err != nil {
				_ = s.Close()
				return
			}
		}
	})
}

// subprotocol picks the class's first one that the client offers.
func (e *Emulator) subprotocol(binding string, r *http.Request) string {
	g := e.current()
	if g == nil {
		return ""
	}
	offered := websocket.Subprotocols(r)
	for _, p := range g.classes[binding].Subprotocols {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}
