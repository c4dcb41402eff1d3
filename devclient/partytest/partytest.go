// Package partytest runs a party.App inside a Go test, with the same runtime as
// `party dev` and a clock that the test moves: as test scripts ([Run]) or from
// Go ([Start]). The app runs in the test's own process, so that coverage, the
// race detector and a debugger see its rooms.
//
//	func TestScripts(t *testing.T) { partytest.Run(t, App, "testdata") }
//
//	func TestEcho(t *testing.T) {
//		s := partytest.Start(t, App)
//		ann := s.Connect("chat/lobby")
//		ann.Send("hello")
//		ann.Want("hello")
//	}
//
// A panic in a goroutine that the app starts ends the test binary, as it would
// end the server. What only a process of its own can show, such as a crash, is
// for `party test`.
package partytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party"
	"github.com/goparty/party/devclient"
	"github.com/goparty/party/devclient/script"
	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/inspect"
)

// Run runs the scripts in dir, or a single script, against app, as parallel
// subtests. Their start takes no directory, and crash is refused.
func Run(t *testing.T, app party.App, dir string) {
	t.Helper()
	p := program(t, app)
	script.RunTest(t, script.Options{
		Files:  []string{dir},
		Loader: func() emulator.Loader { return emulator.InProcess(p) },
	})
}

func program(t testing.TB, app party.App) guest.Program {
	t.Helper()
	p, err := app.Program()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Options of a server. The zero value is usable.
type Options struct {
	HibernateAfter time.Duration     // 0: 10 s
	EvictAfter     time.Duration     // 0: 70 s
	Env            map[string]string // what Server.Env reads
	State          string            // directory of the rooms' storage; "": one for this test
	Now            time.Time         // where the clock stands at first; zero: 2030-01-01T00:00:00Z
}

// Server is an app as it runs. Its methods are for the goroutine of the test:
// where something is not as it should be they end the test.
type Server struct {
	t    testing.TB
	app  guest.Program
	opts Options

	em      *emulator.Emulator
	url     string
	serving chan error
	clients []*Client
}

// Start runs app until the test ends.
func Start(t testing.TB, app party.App, opts ...Options) *Server {
	t.Helper()
	s := &Server{t: t, app: program(t, app)}
	if len(opts) > 1 {
		t.Fatal("partytest.Start takes one Options at most")
	}
	if len(opts) == 1 {
		s.opts = opts[0]
	}
	if s.opts.State == "" {
		s.opts.State = t.TempDir()
	}
	if s.opts.Now.IsZero() {
		s.opts.Now = script.Epoch
	}
	s.run()
	t.Cleanup(func() {
		for _, c := range s.clients {
			c.c.Drop()
		}
		s.stop()
	})
	return s
}

func (s *Server) run() {
	s.t.Helper()
	s.em = emulator.New(emulator.Config{
		HibernateAfter: s.opts.HibernateAfter, EvictAfter: s.opts.EvictAfter, Env: s.opts.Env, Debug: true,
		Clock: clock.NewManual(s.opts.Now), State: s.opts.State, Seed: 1,
	})
	if err := s.em.Run(s.t.Context(), emulator.InProcess(s.app)); err != nil {
		_ = s.em.Close(context.Background())
		s.em = nil
		s.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = s.em.Close(context.Background())
		s.em = nil
		s.t.Fatal(err)
	}
	s.url = "http://" + ln.Addr().String()
	s.serving = make(chan error, 1)
	go func() { s.serving <- s.em.Serve(ln) }()
}

func (s *Server) stop() {
	s.t.Helper()
	if s.em == nil {
		return
	}
	s.opts.Now = s.em.Clock().Now()
	err := s.em.Close(context.Background())
	if serr := <-s.serving; err == nil {
		err = serr
	}
	s.em = nil
	if err != nil {
		s.t.Error(err)
	}
}

// Restart stops the server in order and starts it again with its state. The
// clock goes on where it stood; connections are cut.
func (s *Server) Restart() {
	s.t.Helper()
	s.Idle()
	s.stop()
	s.run()
	s.Idle()
}

// URL is where the server listens, such as http://127.0.0.1:1234.
func (s *Server) URL() string { return s.url }

// Emulator is all that can be seen of the server and done to it.
func (s *Server) Emulator() *emulator.Emulator { return s.em }

// Now is the rooms' time.
func (s *Server) Now() time.Time { return s.em.Clock().Now() }

// Idle waits until all is quiet: what clients sent has been read, no turn runs
// or waits, nothing is due, and what rooms sent has come.
func (s *Server) Idle() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), emulator.QuietLimit)
	defer cancel()
	s.flush(ctx)
	if err := s.em.Quiet(ctx); err != nil {
		s.t.Fatalf("not quiet within %s: %v", emulator.QuietLimit, err)
	}
	s.flush(ctx)
}

func (s *Server) flush(ctx context.Context) {
	for _, c := range s.clients {
		_ = c.c.Ping(ctx)
	}
}

// Advance moves the clock and runs what falls due, in order, each thing with its
// own time as now. It returns when all is quiet.
func (s *Server) Advance(d time.Duration) {
	s.t.Helper()
	s.Idle()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := s.em.Advance(ctx, d); err != nil {
		s.t.Fatal(err)
	}
	s.Idle()
}

// Hibernate drops a room's memory and keeps its connections. A room that could
// not hibernate by itself ends the test, with the reasons.
func (s *Server) Hibernate(room string) {
	s.t.Helper()
	s.Idle()
	s.must(s.em.Hibernate(s.t.Context(), room, false))
}

// Evict drops a room's memory, whatever runs in it.
func (s *Server) Evict(room string) {
	s.t.Helper()
	s.must(s.em.Evict(s.t.Context(), room))
}

// Abort resets a room: connections are cut, what is not committed is lost.
func (s *Server) Abort(room string) {
	s.t.Helper()
	s.must(s.em.Abort(s.t.Context(), room))
}

// Fire runs the handler of a room's alarm now.
func (s *Server) Fire(room string) {
	s.t.Helper()
	s.Idle()
	s.must(s.em.Fire(s.t.Context(), room))
	s.Idle()
}

// Room is what a room is now; one that does not exist is cold.
func (s *Server) Room(room string) *inspect.RoomDetail {
	s.t.Helper()
	s.Idle()
	d, err := s.em.Room(s.t.Context(), room)
	if err != nil && !errors.Is(err, inspect.ErrNoRoom) {
		s.t.Fatal(err)
	}
	return d
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// path is where a room answers; what begins with a slash is a path already.
func path(room string) string {
	if strings.HasPrefix(room, "/") {
		return room
	}
	return "/parties/" + room
}

// Get requests a path, or a room such as chat/lobby, and returns the answer's
// status and body.
func (s *Server) Get(to string) (status int, body string) {
	s.t.Helper()
	return s.Do(http.MethodGet, to, "")
}

// Do makes a request with a body.
func (s *Server) Do(method, to, body string) (status int, answer string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), emulator.QuietLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path(to), strings.NewReader(body))
	s.must(err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	s.must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	s.must(err)
	return resp.StatusCode, string(b)
}

// Client is one connection to a room.
type Client struct {
	s *Server
	c *devclient.Client
}

// Connect opens a connection to a room such as chat/lobby, or to a path.
func (s *Server) Connect(room string, opts ...devclient.Options) *Client {
	s.t.Helper()
	c, err := s.Dial(room, opts...)
	s.must(err)
	return c
}

// Dial is Connect where the server may refuse: the error is a
// *devclient.RefusedError then.
func (s *Server) Dial(room string, opts ...devclient.Options) (*Client, error) {
	s.t.Helper()
	var o devclient.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), emulator.QuietLimit)
	defer cancel()
	c, err := devclient.Dial(ctx, s.url+path(room), o)
	if err != nil {
		return nil, err
	}
	client := &Client{s, c}
	s.clients = append(s.clients, client)
	_ = c.Ping(ctx) // the server has it now
	return client, nil
}

// Send sends a text message.
func (c *Client) Send(text string) {
	c.s.t.Helper()
	c.SendMessage(party.Text(text))
}

// SendMessage sends a message. The server has read it when SendMessage returns.
func (c *Client) SendMessage(m party.Message) {
	c.s.t.Helper()
	c.s.must(c.c.Send(devclient.Message{Binary: !m.IsText(), Data: m.Data}))
	ctx, cancel := context.WithTimeout(c.s.t.Context(), emulator.QuietLimit)
	defer cancel()
	_ = c.c.Ping(ctx)
}

// next is what came next; want is for people.
func (c *Client) next(want string) devclient.Event {
	c.s.t.Helper()
	ctx, cancel := context.WithTimeout(c.s.t.Context(), emulator.QuietLimit)
	defer cancel()
	e, err := c.c.Next(ctx)
	if err != nil {
		c.s.t.Fatalf("want %s, and nothing came: %v", want, err)
	}
	return e
}

// Receive returns the next message, waiting for it up to 5 s.
func (c *Client) Receive() party.Message {
	c.s.t.Helper()
	e := c.next("a message")
	if e.Closed != nil {
		c.s.t.Fatalf("want a message, got %s", e.Closed)
	}
	if e.Binary {
		return party.Binary(e.Data)
	}
	return party.Text(string(e.Data))
}

// Want ends the test unless the next message is this text.
func (c *Client) Want(text string) {
	c.s.t.Helper()
	e := c.next(fmt.Sprintf("%q", text))
	if e.Closed != nil || e.Binary || string(e.Data) != text {
		c.s.t.Fatalf("want %q, got %s", text, e)
	}
}

// WantNone ends the test if anything is unread when all is quiet.
func (c *Client) WantNone() {
	c.s.t.Helper()
	c.s.Idle()
	if all := c.c.Unread(); len(all) > 0 {
		c.s.t.Fatalf("want nothing, got %s", all[0])
	}
}

// WantClosed waits for the connection's end, which must come next, and returns
// its code and reason. 1006: it was cut without a close frame.
func (c *Client) WantClosed() (code int, reason string) {
	c.s.t.Helper()
	e := c.next("the connection's end")
	if e.Closed == nil {
		c.s.t.Fatalf("want the connection's end, got %s", e)
	}
	return e.Closed.Code, e.Closed.Reason
}

// Close sends a close frame; code 0 sends one without a code.
func (c *Client) Close(code int, reason string) {
	c.s.t.Helper()
	c.s.must(c.c.Close(code, reason))
	c.departed()
}

// Drop ends the connection without a close frame, as a network that fails does.
func (c *Client) Drop() {
	c.s.t.Helper()
	c.c.Drop()
	c.departed()
}

// departed waits until the server has noticed.
func (c *Client) departed() {
	ctx, cancel := context.WithTimeout(c.s.t.Context(), emulator.QuietLimit)
	defer cancel()
	c.s.em.AwaitDeparture(ctx, c.c.Local().String())
}
