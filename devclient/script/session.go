package script

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

// Epoch is where a script's clock stands until it is moved.
var Epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// limit is how long a command waits for what should come, of real time.
const limit = emulator.QuietLimit

// softLimit is how long a command that acts waits for the one before to have
// had its whole effect, so that runs are alike, also on a busy machine. What
// takes longer, such as a hook that hangs, goes on beside it, and until it has
// ended nobody waits so long again. It is less than what a slow turn may take
// before it is logged.
const (
	softLimit = 800 * time.Millisecond
	softAgain = 20 * time.Millisecond
)

// session is one script as it runs. One goroutine uses it.
type session struct {
	ts      *testscript.TestScript
	runner  *runner
	command *Command
	work    string // the script's own directory

	server     *server // nil: none runs
	last       *server // that ran last, for restart
	now        time.Time
	generation uint64
	past       map[string]emulator.Past // rooms of servers that ran before

	clients  map[string]peer
	named    []string // clients and streams, as they came
	awaited  *stream  // the last request, where its answer may still be to come
	involved []string // rooms that the script named, the last one at the end
	seen     []inspect.Event
	lost     uint64
	logged   []string // by servers on workerd that ran before
	answer   *answer
	saw      *witness // nil: nobody wants it
	busy     bool     // soft has waited in vain, and nothing was done about it since
}

// peer is somebody at the other end: a WebSocket or an open request.
type peer interface {
	// where is the room or path, for people.
	where() string
	// address is the peer's own, as the server sees it.
	address() string
	// next takes off what came next; it fails where that is not wanted.
	next(ctx context.Context, w want) error
	// none fails where something lies unread.
	none() error
	ended(ctx context.Context, code int, reason *string) error
	drop()
	// flushed waits until all that was sent either way has come.
	flushed(ctx context.Context)
}

type sessionKey struct{}

func sessionOf(ts *testscript.TestScript) *session {
	s := ts.Value(sessionKey{}).(*session)
	s.ts = ts
	return s
}

func newSession(r *runner, env *testscript.Env) *session {
	s := &session{
		runner: r, work: env.WorkDir, now: Epoch,
		past: map[string]emulator.Past{}, clients: map[string]peer{},
	}
	if r.saw != nil {
		s.saw = &witness{}
	}
	env.Values[sessionKey{}] = s
	env.Defer(s.end)
	return s
}

// end stops everything that the script left running.
func (s *session) end() {
	if s.saw != nil {
		_ = s.quiet() // what was sent has come
		defer s.runner.saw(s.saw.String())
	}
	for _, name := range s.named {
		s.clients[name].drop()
	}
	if s.server != nil {
		_ = s.stop()
	}
}

// running is the server, or the error that there is none.
func (s *session) running() (*server, error) {
	switch {
	case s.server != nil:
		return s.server, nil
	case s.last != nil:
		return nil, errors.New("no server runs any more: say start again")
	}
	return nil, misuse{errors.New("no server runs here: say start first")}
}

// involve remembers a room for what is shown when the script fails.
func (s *session) involve(room string) {
	for i, have := range s.involved {
		if have == room {
			s.involved = append(s.involved[:i], s.involved[i+1:]...)
			break
		}
	}
	s.involved = append(s.involved, room)
}

// quiet waits until nothing moves, and all that was sent has come.
func (s *session) quiet() error {
	if s.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	err := s.settle(ctx)
	if err := s.runner.ctx.Err(); err != nil {
		if errors.Is(err, context.Canceled) {
			return misuse{errors.New("interrupted")}
		}
		return context.Cause(s.runner.ctx)
	}
	if err != nil {
		return fmt.Errorf("not quiet within %s: %w", limit, err)
	}
	return nil
}

// soft lets what was done before have its effect, for a moment.
func (s *session) soft() {
	if s.server == nil {
		return
	}
	patience := softLimit
	if s.busy {
		patience = softAgain
	}
	ctx, cancel := context.WithTimeout(s.runner.ctx, patience)
	defer cancel()
	s.busy = s.settle(ctx) != nil
}

func (s *session) settle(ctx context.Context) error {
	if e := s.server.engine; e != nil {
		return s.settleOn(ctx, e)
	}
	s.flush(ctx) // what clients sent has been read
	if err := s.server.em.Quiet(ctx); err != nil {
		return err
	}
	s.flush(ctx) // what rooms sent has come
	return nil
}

func (s *session) flush(ctx context.Context) {
	for _, name := range s.named {
		s.clients[name].flushed(ctx)
	}
}

// departed waits until the server has noticed that a peer went away.
func (s *session) departed(p peer) {
	if s.server == nil || s.server.em == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	s.server.em.AwaitDeparture(ctx, p.address())
}

// peer is the client or open request of a name.
func (s *session) peer(name string) (peer, error) {
	p := s.clients[name]
	if p == nil {
		if len(s.named) == 0 {
			return nil, misuse{fmt.Errorf("no client is called %s: connect one first", name)}
		}
		return nil, misuse{fmt.Errorf("no client is called %s; there are %s%s", name, strings.Join(s.named, ", "), didYouMean(name, s.named))}
	}
	s.involve(p.where())
	return p, nil
}

// add gives a peer its name; an earlier one of that name must have ended.
func (s *session) add(name string, p peer) {
	if s.clients[name] == nil {
		s.named = append(s.named, name)
	}
	s.clients[name] = p
}

// collect takes in the events that have happened.
func (s *session) collect() {
	if s.server == nil || s.server.em == nil {
		return
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		events, lost, err := s.server.feed.Next(done)
		if err != nil {
			return
		}
		s.seen = append(s.seen, events...)
		s.lost += lost
	}
}

// shownEvents is how many events a failure shows.
const shownEvents = 12

// explain is an error with what happened last in the rooms that it may be about.
func (s *session) explain(err error) string {
	text := ownNames(narrow(err.Error(), 2000))
	if isMisuse(err) {
		return text
	}
	s.soft() // what explains it may still be on its way
	s.collect()
	about := map[string]bool{}
	for i := len(s.involved) - 1; i >= 0 && len(about) < 2; i-- {
		about[s.involved[i]] = true
	}
	var lines []string
	for i := len(s.seen) - 1; i >= 0 && len(lines) < shownEvents; i-- {
		e := s.seen[i]
		h := inspect.Of(e)
		if h.Room != "" && !about[h.Room] && len(about) > 0 {
			continue
		}
		line := h.Time.UTC().Format("15:04:05.000") + " "
		if h.Room != "" {
			line += narrow(h.Room, 100) + " "
		}
		line += strings.ReplaceAll(strings.TrimRight(inspect.Text(e), "\n"), "\n", "\n      ")
		lines = append(lines, "  "+ownNames(narrow(line, 300)))
	}
	if len(lines) == 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(text + "\nwhat happened last:")
	for i := len(lines) - 1; i >= 0; i-- {
		b.WriteString("\n" + lines[i])
	}
	return b.String()
}

// narrow cuts lines that have more than most bytes.
func narrow(text string, most int) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if len(l) > most {
			lines[i] = fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(l[:most], ""), len(l))
		}
	}
	return strings.Join(lines, "\n")
}

// links is where link makes a script's directory a package.
var links = regexp.MustCompile(`[^\s"']*\.party[/\\]test-[0-9-]+[/\\]script[0-9]+\b[/\\]?`)

// ownNames calls a script's files by the names that they have in it.
func ownNames(text string) string {
	return links.ReplaceAllStringFunc(text, func(path string) string {
		if strings.HasSuffix(path, "/") || strings.HasSuffix(path, `\`) {
			return ""
		}
		return "the server's directory"
	})
}
