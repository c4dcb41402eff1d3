//go:build !partyplugin && !js

package party

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/process"
)

// The conformance suite says what a room may rely on. Every row runs twice: with
// the code in this process, and with the code in a process of its own, which is
// this test binary again. Rows that only a process can keep say so.
//
// Nothing here sleeps. A row waits for messages, for events of the emulator's
// stream, or for what falls due when it moves the rooms' clock; patience bounds
// each wait, and is only ever used up by a row that fails.
const patience = 30 * time.Second

// The environment of this binary where it is not the test itself.
const (
	appVariable  = "PARTY_TEST_APP"  // of a guest: which of apps it runs
	roleVariable = "PARTY_TEST_ROLE" // "emulator": see emulatorMain
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(guest.SocketVariable) != "":
		guestMain(os.Getenv(appVariable))
	case os.Getenv(roleVariable) == "emulator":
		emulatorMain()
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(lingering); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// raceExit keeps a process that was built with -race from resting for a second
// before it exits.
const raceExit = "GORACE=atexit_sleep_ms=0"

// lingering is what net/http does for half a second with a connection that it
// closes on a client that still sends.
var lingering = goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")

// guestMain is the main function of a guest's process. It does not return.
func guestMain(app string) {
	if misbehave, ok := badGuests[app]; ok {
		misbehave()
		os.Exit(0)
	}
	remote, err := guest.Attach()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p, err := apps[app]().Program()
	if err != nil {
		remote.Refuse(err)
	}
	remote.Run(p)
}

// selfLoader starts this binary as a guest.
type selfLoader struct {
	app  string
	env  []string
	line func(string)
}

func (l selfLoader) Load(ctx context.Context, _ uint64) (emulator.Guest, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := process.Start(ctx, process.Command{
		Path: self, Env: append([]string{appVariable + "=" + l.app, raceExit}, l.env...),
		Line: func(_ bool, line string) { l.line(line) },
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// setup is what a row wants to be different.
type setup struct {
	app    string // "": lab
	config emulator.Config
	wall   bool     // the clock runs
	env    []string // of the guest's process
	slow   bool     // the row waits for real time
}

// harness is an emulator that serves an app, and what a row does with it.
type harness struct {
	*emulator.Emulator
	t       *testing.T
	process bool // the code runs in a process of its own
	loader  emulator.Loader
	addr    string
	client  *http.Client
	log     eventLog
	dials   map[string]int // of one id in one room
	ids     int

	mu     sync.Mutex
	output []string // of the guest's process
}

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// conform runs a row against both loaders.
func conform(t *testing.T, row func(t *testing.T, h *harness), change ...func(*setup)) {
	t.Helper()
	together(t, change)
	t.Run("in-process", func(t *testing.T) { row(t, newHarness(t, false, change)) })
	t.Run("process", func(t *testing.T) { row(t, newHarness(t, true, change)) })
}

// slow is for rows that wait for real time: they run together, behind all
// others. They may not wait at gates, which those in this process share.
func slow(s *setup) { s.slow = true }

func together(t *testing.T, change []func(*setup)) {
	var s setup
	for _, c := range change {
		c(&s)
	}
	if s.slow {
		t.Parallel()
	}
}

// needsProcess runs a row that only code in a process of its own can keep.
func needsProcess(t *testing.T, row func(t *testing.T, h *harness), change ...func(*setup)) {
	t.Helper()
	together(t, change)
	t.Run("in-process", func(t *testing.T) {
		t.Skip("in one process with the emulator a panic in a user's goroutine or an exit ends the program, and a hung hook leaks")
	})
	t.Run("process", func(t *testing.T) { row(t, newHarness(t, true, change)) })
}

func newHarness(t *testing.T, separate bool, change []func(*setup)) *harness {
	t.Helper()
	var s setup
	s.app = "lab"
	for _, c := range change {
		c(&s)
	}
	if s.slow {
		t.Parallel()
	}
	if !s.wall {
		s.config.Clock = clock.NewManual(epoch)
	}
	before := goleak.IgnoreCurrent()
	h := &harness{t: t, process: separate, dials: map[string]int{}, Emulator: emulator.New(s.config)}
	h.client = &http.Client{Timeout: 3 * patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h.log.grown = make(chan struct{})
	sub := h.Events().Subscribe(1 << 20)
	logged := make(chan struct{})
	go func() { defer close(logged); h.log.read(sub) }()

	var loader emulator.Loader
	if h.process {
		loader = selfLoader{s.app, s.env, h.line}
	} else {
		p, err := apps[s.app]().Program()
		if err != nil {
			t.Fatal(err)
		}
		loader = emulator.InProcess(p)
	}
	h.loader = loader
	if err := h.Run(t.Context(), loader); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- h.Serve(ln) }()
	t.Cleanup(func() {
		if !separate {
			world.openAll() // hooks that hang in this process end now
			defer world.reset()
		}
		h.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		h.client.CloseIdleConnections()
		sub.Close()
		<-logged
		if !s.slow { // otherwise TestMain looks
			if err := goleak.Find(before, lingering); err != nil {
				t.Error(err)
			}
		}
		if out := h.guestOutput(); strings.Contains(out, "DATA RACE") {
			t.Errorf("the guest's process wrote:\n%s", out)
		}
		if t.Failed() {
			t.Logf("events:\n%s", h.log.dump(60))
		}
	})
	return h
}

func (h *harness) line(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.output = append(h.output, s)
}

func (h *harness) guestOutput() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.output, "\n")
}

// advance moves the rooms' clock.
func (h *harness) advance(d time.Duration) { _ = h.AdvanceClock(d, nil) }

// at is how far the rooms' clock was from its start when something happened.
func at(e inspect.Event) time.Duration { return inspect.Of(e).Time.Sub(epoch) }

// eventLog is everything that happened.
type eventLog struct {
	sparse atomic.Bool // without messages and turns: there are too many

	mu    sync.Mutex
	all   []inspect.Event
	lost  uint64
	grown chan struct{} // closed with the next event
}

func (l *eventLog) read(sub *inspect.Subscription) {
	for {
		events, lost, err := sub.Next(context.Background())
		if err != nil {
			return
		}
		if l.sparse.Load() {
			events = slices.DeleteFunc(events, func(e inspect.Event) bool {
				switch e.(type) {
				case *inspect.MessageIn, *inspect.MessageOut, *inspect.Turn:
					return true
				}
				return false
			})
		}
		l.mu.Lock()
		l.all = append(l.all, events...)
		l.lost += lost
		close(l.grown)
		l.grown = make(chan struct{})
		l.mu.Unlock()
	}
}

func (l *eventLog) dump(most int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, e := range l.all[max(0, len(l.all)-most):] {
		line, err := inspect.Marshal(e)
		if err != nil {
			line = []byte(err.Error())
		}
		fmt.Fprintf(&b, "\t%.400s\n", line)
	}
	return b.String()
}

// events returns what happened of one type and matches (nil: all of it).
func events[E inspect.Event](h *harness, match func(E) bool) []E {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	var found []E
	for _, e := range h.log.all {
		if e, ok := e.(E); ok && (match == nil || match(e)) {
			found = append(found, e)
		}
	}
	return found
}

// awaitN waits until n events of one type match and returns the first n.
func awaitN[E inspect.Event](h *harness, n int, match func(E) bool) []E {
	h.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		h.log.mu.Lock()
		grown := h.log.grown
		h.log.mu.Unlock()
		if found := events(h, match); len(found) >= n {
			return found[:n]
		}
		select {
		case <-grown:
		case <-limit.C:
			h.t.Fatalf("waited in vain for %d %s (there are %d)", n, typeName[E](), len(events(h, match)))
		}
	}
}

func typeName[E inspect.Event]() string { var e E; return fmt.Sprintf("%T", e) }

// await waits for one event.
func await[E inspect.Event](h *harness, match func(E) bool) E {
	h.t.Helper()
	return awaitN(h, 1, match)[0]
}

// in matches the events of a room.
func in[E inspect.Event](room string) func(E) bool {
	return func(e E) bool { return inspect.Of(e).Room == room }
}

// logged waits until a room has logged a line n times.
func (h *harness) logged(room, text string, n int) {
	h.t.Helper()
	awaitN(h, n, func(e *inspect.Log) bool { return e.Room == room && e.Text == text })
}

// logs are the lines that a room has logged and that start with prefix.
func (h *harness) logs(room, prefix string) []string {
	var lines []string
	for _, e := range events(h, func(e *inspect.Log) bool { return e.Room == room && strings.HasPrefix(e.Text, prefix) }) {
		lines = append(lines, e.Text)
	}
	return lines
}

// turns waits until n turns of a kind have ended in a room.
func (h *harness) turns(room, kind string, n int) {
	h.t.Helper()
	awaitN(h, n, func(e *inspect.Turn) bool { return e.Room == room && e.Kind == kind })
}

// starts is how often a room has started.
func (h *harness) starts(room string) int { return len(events(h, in[*inspect.RoomStarted](room))) }

// response is a whole answer.
type response struct {
	status int
	header http.Header
	body   string
}

// do sends a request and reads its answer.
func (h *harness) do(r *http.Request) (response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*patience)
	defer cancel()
	resp, err := h.client.Do(r.WithContext(ctx))
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(b)}, err
}

func (h *harness) request(method, path string, body io.Reader, header ...string) *http.Request {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.addr+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func (h *harness) get(path string, header ...string) response {
	h.t.Helper()
	resp, err := h.do(h.request(http.MethodGet, path, nil, header...))
	if err != nil {
		h.t.Fatalf("GET %s: %v", path, err)
	}
	return resp
}

// want asserts an answer.
func (r response) want(t *testing.T, status int, body string) {
	t.Helper()
	if r.status != status || strings.TrimSuffix(r.body, "\n") != body {
		t.Errorf("answer %d %.300q, want %d %q", r.status, r.body, status, body)
	}
}

// tcp connects to the gateway.
func (h *harness) tcp() net.Conn {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// verb asks room, as in lab/a, to do something by a plain request, and returns
// what it said.
func (h *harness) verb(room, verb string) string {
	h.t.Helper()
	resp := h.get("/parties/" + room + "/?do=" + url.QueryEscape(verb))
	if resp.status != http.StatusOK {
		h.t.Fatalf("%s of %s: %d %s", verb, room, resp.status, resp.body)
	}
	return resp.body
}

// open opens a gate that hooks wait at.
func (h *harness) open(gate string) {
	h.t.Helper()
	h.verb("awake/opener", "open "+gate)
}

// client is one WebSocket.
type client struct {
	h        *harness
	t        *testing.T
	room, id string
	ws       *websocket.Conn
	sent     int // messages that make turns

	in    chan string
	pongs chan string
	done  chan struct{} // closed when the reader has ended
	quit  chan struct{} // closed by cleanup
	err   error         // why, once done
}

// dialing is how a client connects.
type dialing struct {
	id     string
	query  url.Values
	header http.Header
	quiet  bool // leaves close frames unanswered
	deaf   bool // reads nothing
}

func id(id string) func(*dialing) { return func(d *dialing) { d.id = id } }

func query(key, value string) func(*dialing) {
	return func(d *dialing) { d.query.Add(key, value) }
}

func header(key, value string) func(*dialing) {
	return func(d *dialing) { d.header.Add(key, value) }
}

func quiet(d *dialing) { d.quiet = true }

func deaf(d *dialing) { d.deaf = true }

// connect opens a WebSocket to a room, as in lab/a.
func (h *harness) connect(room string, how ...func(*dialing)) (*client, *http.Response, error) {
	d := dialing{query: url.Values{}, header: http.Header{}}
	h.mu.Lock()
	h.ids++
	d.id = fmt.Sprintf("c%d", h.ids)
	h.mu.Unlock()
	for _, f := range how {
		f(&d)
	}
	if d.id != "" {
		d.query.Set("_pk", d.id)
	}
	return h.connectTo("/parties/"+room, room, d)
}

func (h *harness) connectTo(path, room string, d dialing) (*client, *http.Response, error) {
	dialer := websocket.Dialer{HandshakeTimeout: 2 * patience, ReadBufferSize: 4096}
	if p := d.header.Values("Sec-Websocket-Protocol"); p != nil {
		dialer.Subprotocols = p
		d.header.Del("Sec-Websocket-Protocol")
	}
	ws, resp, err := dialer.DialContext(h.t.Context(), "ws://"+h.addr+path+"?"+d.query.Encode(), d.header)
	if err != nil {
		return nil, resp, err
	}
	c := &client{
		h: h, t: h.t, room: room, id: d.id, ws: ws,
		in: make(chan string, 1<<14), pongs: make(chan string, 16), done: make(chan struct{}), quit: make(chan struct{}),
	}
	ws.SetPongHandler(func(s string) error { c.pongs <- s; return nil })
	ws.SetCloseHandler(func(code int, reason string) error {
		if !d.quiet { // as browsers do, and unlike gorilla, with the reason
			_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience))
		}
		return nil
	})
	if d.deaf {
		close(c.done)
	} else {
		go c.read()
	}
	h.t.Cleanup(func() { close(c.quit); _ = ws.Close(); <-c.done })
	return c, resp, nil
}

// dial opens a WebSocket and waits until the room has it.
func (h *harness) dial(room string, how ...func(*dialing)) *client {
	h.t.Helper()
	c, resp, err := h.connect(room, how...)
	if err != nil {
		text := ""
		if resp != nil {
			b, _ := io.ReadAll(resp.Body)
			text = fmt.Sprintf(" (%s: %s)", resp.Status, b)
		}
		h.t.Fatalf("dial %s: %v%s", room, err, text)
	}
	h.dials[room+" "+c.id]++
	awaitN(h, h.dials[room+" "+c.id], func(e *inspect.ConnectionOpened) bool {
		return strings.HasSuffix(e.Room, room) && (c.id == "" || e.Connection == c.id)
	})
	return c
}

// listen makes a deaf client read.
func (c *client) listen() {
	c.done = make(chan struct{})
	go c.read()
}

func (c *client) read() {
	defer close(c.done)
	for {
		opcode, b, err := c.ws.ReadMessage()
		if err != nil {
			c.err = err
			return
		}
		s := string(b)
		if opcode == websocket.BinaryMessage {
			s = "binary:" + s
		}
		select {
		case c.in <- s:
		case <-c.quit:
			c.err = io.ErrClosedPipe
			return
		}
	}
}

// send sends one text message.
func (c *client) send(text string) {
	c.t.Helper()
	c.sent++
	c.write(websocket.TextMessage, []byte(text))
}

func (c *client) write(opcode int, b []byte) {
	c.t.Helper()
	_ = c.ws.SetWriteDeadline(time.Now().Add(2 * patience))
	if err := c.ws.WriteMessage(opcode, b); err != nil {
		c.t.Fatalf("client %s of %s: %v", c.id, c.room, err)
	}
}

// next returns the next message, or why there is none.
func (c *client) next() (string, error) {
	select {
	case s := <-c.in:
		return s, nil
	default:
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case s := <-c.in:
		return s, nil
	case <-c.done:
		select {
		case s := <-c.in:
			return s, nil
		default:
			return "", c.err
		}
	case <-t.C:
		return "", errors.New("no message came")
	}
}

func (c *client) recv() string {
	c.t.Helper()
	s, err := c.next()
	if err != nil {
		c.t.Fatalf("client %s of %s: %v", c.id, c.room, err)
	}
	return s
}

// want asserts the next messages.
func (c *client) want(texts ...string) {
	c.t.Helper()
	for _, want := range texts {
		if got := c.recv(); got != want {
			c.t.Fatalf("client %s of %s got %.200q, want %.200q", c.id, c.room, got, want)
		}
	}
}

// ask sends a message, waits until its turn has ended, and returns the first
// message that came.
func (c *client) ask(text string) string {
	c.t.Helper()
	c.send(text)
	s := c.recv()
	c.settle()
	return s
}

// do sends a message and waits until its turn has ended.
func (c *client) do(text string) {
	c.t.Helper()
	c.send(text)
	c.settle()
}

// settle waits until the turns of all that was sent have ended.
func (c *client) settle() {
	c.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		c.h.log.mu.Lock()
		grown := c.h.log.grown
		c.h.log.mu.Unlock()
		ended := len(events(c.h, func(e *inspect.Turn) bool { return e.Connection == c.id && e.Kind == "message" })) +
			len(events(c.h, func(e *inspect.TurnLost) bool { return e.Connection == c.id && e.Kind == "message" }))
		if ended >= c.sent {
			return
		}
		select {
		case <-grown:
		case <-limit.C:
			c.t.Fatalf("client %s of %s: %d of %d messages had their turn", c.id, c.room, ended, c.sent)
		}
	}
}

// barrier returns when the room has seen everything that was sent, without
// waking it, and its earlier output is here.
func (c *client) barrier() {
	c.t.Helper()
	for range 2 { // the second is answered after all that the first set off
		if err := c.ws.WriteControl(websocket.PingMessage, []byte("barrier"), time.Now().Add(patience)); err != nil {
			c.t.Fatal(err)
		}
		t := time.NewTimer(patience)
		select {
		case <-c.pongs:
		case <-c.done:
			c.t.Fatalf("client %s of %s: %v", c.id, c.room, c.err)
		case <-t.C:
			c.t.Fatalf("client %s of %s: no pong", c.id, c.room)
		}
		t.Stop()
	}
}

// none asserts that nothing is on its way to the client.
func (c *client) none() {
	c.t.Helper()
	c.barrier()
	select {
	case s := <-c.in:
		c.t.Fatalf("client %s of %s got %.200q, want nothing", c.id, c.room, s)
	default:
	}
}

// close sends a close frame; code 0 sends none in it.
func (c *client) close(code int, reason string) {
	c.t.Helper()
	var b []byte
	if code != 0 {
		b = websocket.FormatCloseMessage(code, reason)
	}
	if err := c.ws.WriteControl(websocket.CloseMessage, b, time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

// drop ends the connection without a close frame.
func (c *client) drop() {
	_ = c.ws.NetConn().Close()
}

// closed asserts how the connection ends, with nothing left to read.
func (c *client) closed(code int, reason string) {
	c.t.Helper()
	t := time.NewTimer(2 * patience)
	defer t.Stop()
	select {
	case <-c.done:
	case <-t.C:
		c.t.Fatalf("client %s of %s is still open", c.id, c.room)
	}
	select {
	case s := <-c.in:
		c.t.Errorf("client %s of %s got %.200q before the end", c.id, c.room, s)
	default:
	}
	gotCode, gotReason := websocket.CloseAbnormalClosure, ""
	var e *websocket.CloseError
	if errors.As(c.err, &e) && e.Code != websocket.CloseAbnormalClosure {
		gotCode, gotReason = e.Code, e.Text
	}
	if gotCode != code || gotReason != reason {
		c.t.Errorf("client %s of %s saw close %d %q (%v), want %d %q", c.id, c.room, gotCode, gotReason, c.err, code, reason)
	}
}

// parallel runs f n times at once and reports the first error of each.
func parallel(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// contains asserts that s has every part.
func contains(t *testing.T, s string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(s, p) {
			t.Errorf("%.500q does not contain %q", s, p)
		}
	}
}

func repeat(n int) []byte { return bytes.Repeat([]byte("x"), n) }
