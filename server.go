package party

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/goparty/party/emulator/guest"
)

// Server is embedded in a class's type and gives its value the room. Hooks are
// optional methods of that type:
//
//	OnStart(ctx context.Context) error
//	ConnectionTags(ctx context.Context, conn *party.Connection, r *http.Request) ([]string, error)
//	OnConnect(ctx context.Context, conn *party.Connection, r *http.Request) error
//	OnMessage(ctx context.Context, conn *party.Connection, msg party.Message) error
//	OnClose(ctx context.Context, conn *party.Connection, code int, reason string, wasClean bool) error
//	OnError(ctx context.Context, conn *party.Connection, err error)
//	OnRequest(w http.ResponseWriter, r *http.Request)
//	OnAlarm(ctx context.Context, alarm party.AlarmInfo) error
//	OnException(ctx context.Context, err error)
//
// Each call of a hook is a turn, and a room runs one turn at a time, in the
// order in which its events arrived. A hook that takes long holds up its own
// room and no other.
//
// A hook's error or panic is logged with its stack and given to OnException;
// the room and its connections live on. Two hooks decide more: a client whose
// ConnectionTags or OnConnect fails gets the error as a message and close code
// 1011, and while OnStart fails every event fails, and the next tries again.
//
// The methods may be called from any goroutine, but not before OnStart: the
// zero value has no room. An instance that has left memory is fenced: its
// methods have no effect, and those that return an error return [ErrClosed].
type Server struct {
	in *guest.Instance
}

func (s *Server) server() *Server { return s }

// instance is not inlined, and neither are other methods that bring much along:
// that would be compiled again with every user's package, and a reload waits for
// it.
//
//go:noinline
func (s *Server) instance() *guest.Instance {
	if s.in == nil {
		panic("party.Server used outside of a room: its methods work from OnStart on, in the value that party makes of your class")
	}
	return s.in
}

// Name is the room's name, the last part of its URL as it stands there.
func (s *Server) Name() string { return s.instance().Address.Name }

// ID is the room's id, 64 hex digits derived from class and name.
func (s *Server) ID() string { return s.instance().ID }

// Class is the binding, as written in Servers.
func (s *Server) Class() string { return s.instance().Binding() }

// Env returns a variable of the server's environment (--env-file), or "".
func (s *Server) Env(key string) string { return s.instance().Env(key) }

// Props decodes into v, a pointer, the props that the room was last given by
// [RouteRequest] or [ServerByName]; it leaves v alone where there were none.
func (s *Server) Props(v any) error {
	p := s.instance().Props()
	if p == nil {
		return nil
	}
	if err := json.Unmarshal(p, v); err != nil {
		return fmt.Errorf("props of %s: %w", s.in.Address, err)
	}
	return nil
}

// Now is the room's clock. Use it instead of time.Now, so that tests and the
// dev tool can move it.
func (s *Server) Now() time.Time { return s.instance().Now() }

// Sleep waits for d on the room's clock, or until ctx ends. In a turn it holds
// up the room.
func (s *Server) Sleep(ctx context.Context, d time.Duration) error {
	return s.instance().Sleep(ctx, d)
}

// Context is cancelled when this instance leaves memory. Goroutines that the
// server starts should end with it.
func (s *Server) Context() context.Context { return s.instance().Context() }

// Log writes to the room's log.
//
//go:noinline
func (s *Server) Log() *slog.Logger { return slog.New(&logHandler{log: s.instance().Log}) }

// Broadcast sends msg to every open connection except those with the ids given.
// It does not keep msg.Data. A message over 32 MiB is logged and not sent.
func (s *Server) Broadcast(msg Message, without ...string) {
	if err := s.instance().Broadcast(!msg.IsText(), msg.Data, without); err != nil && !isClosed(err) {
		s.Log().Error("Broadcast: " + err.Error())
	}
}

// Connection returns the open connection with an id, the newest where two have
// the same.
func (s *Server) Connection(id string) (*Connection, bool) {
	c, ok := s.instance().Connection(id)
	if !ok {
		return nil, false
	}
	return connection(c), true
}

// Connections yields the open connections that carry every tag given, in the
// order in which they connected.
//
//go:noinline
func (s *Server) Connections(tags ...string) iter.Seq[*Connection] {
	all := s.instance().Connections(tags)
	return func(yield func(*Connection) bool) {
		for c := range all {
			if !yield(connection(c)) {
				return
			}
		}
	}
}

// WaitUntil runs f on a goroutine of its own, outside of any turn, and keeps
// the room awake until it returns. Its ctx ends when the instance leaves
// memory, or is to leave because new code takes over: then f has 5 s, in which Do
// works with context.WithoutCancel(ctx). Use [Server.Do] in f to reach the
// server's fields safely. An error or panic is logged.
func (s *Server) WaitUntil(f func(ctx context.Context) error) { s.instance().WaitUntil(f) }

// Do runs f as a turn of the room, from background work, and returns f's error
// once the turn has committed. From within a turn it fails with [ErrInTurn];
// where ctx ends before the turn begins, with ctx's error and without f having
// run.
func (s *Server) Do(ctx context.Context, f func(ctx context.Context) error) error {
	return s.instance().Do(ctx, f)
}

// Timer is the handle of an AfterFunc.
type Timer struct{ t *guest.Timer }

// Stop keeps the function from running, and reports whether it did.
func (t *Timer) Stop() bool { return t.t.Stop() }

// AfterFunc runs f as a turn of the room once d has passed on its clock, and
// keeps the room awake until then. It does not survive the instance: use
// an alarm for what must happen.
func (s *Server) AfterFunc(d time.Duration, f func(ctx context.Context)) *Timer {
	return &Timer{s.instance().AfterFunc(d, f)}
}

// Stream lets f go on writing the answer to a request after the turn of
// OnRequest has ended, so that a long answer (server-sent events, a large
// download) does not hold up the room. It is called in OnRequest, at most once,
// and f starts when OnRequest returns; a status or header set before still
// counts. The open answer keeps the room awake. ctx ends when the client goes
// away, or as that of [Server.WaitUntil] does. Use [Server.Do] in f to reach the
// server's fields safely.
//
// It panics where w is not the writer of this OnRequest (or one that unwraps to
// it).
func (s *Server) Stream(w http.ResponseWriter, f func(ctx context.Context, w http.ResponseWriter) error) {
	if err := s.instance().Stream(w, f); err != nil {
		panic(err)
	}
}

// Storage is the room's durable storage. It works during turns only.
func (s *Server) Storage() *Storage { return &Storage{s.instance().Storage()} }

// AutoRespond makes the emulator answer every text message that equals request
// with response, without waking the room; ("", "") turns it off. It lasts until
// changed, also while the room sleeps. Either side has at most 2048 bytes; it
// panics on more.
func (s *Server) AutoRespond(request, response string) {
	if err := s.instance().AutoRespond(request, response); err != nil && !isClosed(err) {
		panic(err)
	}
}

// Abort resets the room: what this turn has not committed is lost, and every
// connection is cut without a close frame (clients see 1006). It does not
// return: it ends the calling goroutine, as runtime.Goexit does, so that no
// recover can stop it.
func (s *Server) Abort(reason string) { s.instance().Abort(reason) }
