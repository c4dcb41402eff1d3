//go:build !partyplugin && !js

package party

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// apps are the programs that rows run, by name.
var apps = map[string]func() App{"lab": labApp, "routed": routedApp}

func labApp() App {
	return App{Servers: Servers{
		"Lab":   ClassOf[Lab](Options{Hibernate: true, Subprotocols: []string{"v2", "v1"}}),
		"Awake": ClassOf[Lab](),
		"Bare":  ClassOf[Bare](Options{Hibernate: true}),
	}}
}

// world is what the rooms of one guest share.
var world = &shared{gates: map[string]chan struct{}{}, parties: map[string]int{}, plans: map[string]*plan{}, started: map[string]int{}}

type shared struct {
	lives atomic.Int64

	mu      sync.Mutex
	gates   map[string]chan struct{}
	parties map[string]int
	plans   map[string]*plan
	started map[string]int
	told    string
	over    bool // the row has ended: no gate holds anybody
}

// plan is what the next OnStarts of a room do.
type plan struct {
	times int
	verb  string
}

func (w *shared) gate(name string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gates[name] == nil {
		w.gates[name] = make(chan struct{})
		if w.over {
			close(w.gates[name])
		}
	}
	return w.gates[name]
}

func (w *shared) open(name string) {
	g := w.gate(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-g:
	default:
		close(g)
	}
}

func (w *shared) openAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for _, g := range w.gates {
		select {
		case <-g:
		default:
			close(g)
		}
	}
}

func (w *shared) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = false
	clear(w.gates)
	clear(w.parties)
	clear(w.plans)
	clear(w.started)
}

// meet waits until n callers are at a gate.
func (w *shared) meet(name string, n int) {
	w.mu.Lock()
	w.parties[name]++
	all := w.parties[name] >= n
	w.mu.Unlock()
	if all {
		w.open(name)
	}
	<-w.gate(name)
}

// Bare has no hooks.
type Bare struct{ Server }

// Lab does what it is told: by messages, by the parameters tags, connect and
// onclose of the URL that a client connects with, by the parameter do of a
// request, and by the plan for its OnStart. What hooks other than OnMessage see
// is in its log.
type Lab struct {
	Server
	life  int64
	seen  int
	timer *Timer
}

func (l *Lab) OnStart(ctx context.Context) error {
	l.life = world.lives.Add(1)
	runtime.AddCleanup(l, func(name string) { world.open("gone " + name) }, l.Class()+"/"+l.Name())
	world.mu.Lock()
	world.started[l.Name()]++
	p := world.plans[l.Name()]
	verb := ""
	if p != nil && p.times > 0 {
		p.times--
		verb = p.verb
	}
	world.mu.Unlock()
	return l.run(ctx, &cmd{say: func(s string) { l.note("OnStart %s", s) }}, verb)
}

func (l *Lab) ConnectionTags(ctx context.Context, conn *Connection, r *http.Request) ([]string, error) {
	q := r.URL.Query()
	if v := q.Get("intags"); v != "" {
		if err := l.run(ctx, &cmd{conn: conn, say: func(s string) { l.note("ConnectionTags %s", s) }}, v); err != nil {
			return nil, err
		}
	}
	return q["tag"], nil
}

func (l *Lab) OnConnect(ctx context.Context, conn *Connection, r *http.Request) error {
	return l.run(ctx, &cmd{conn: conn, r: r, say: l.sayTo(conn)}, r.URL.Query().Get("connect"))
}

func (l *Lab) OnMessage(ctx context.Context, conn *Connection, msg Message) error {
	l.seen++
	if !msg.IsText() {
		return conn.Send(msg)
	}
	return l.run(ctx, &cmd{conn: conn, say: l.sayTo(conn)}, msg.String())
}

func (l *Lab) OnClose(ctx context.Context, conn *Connection, code int, reason string, clean bool) error {
	l.note("OnClose %s %d %q %t ready=%d", conn.ID, code, reason, clean, conn.ReadyState())
	_, q, _ := strings.Cut(conn.URI, "?")
	verb := parameter(q, "onclose")
	return l.run(ctx, &cmd{conn: conn, say: func(s string) { l.note("OnClose %s: %s", conn.ID, s) }}, verb)
}

func (l *Lab) OnError(_ context.Context, conn *Connection, err error) {
	l.note("OnError %s ready=%d %v", conn.ID, conn.ReadyState(), err)
}

func (l *Lab) OnException(_ context.Context, err error) { l.note("OnException %.1000v", err) }

func (l *Lab) OnRequest(w http.ResponseWriter, r *http.Request) {
	say := func(s string) { _, _ = io.WriteString(w, s) }
	if err := l.run(r.Context(), &cmd{w: w, r: r, say: say}, r.URL.Query().Get("do")); err != nil {
		panic(err)
	}
}

func (l *Lab) note(format string, args ...any) { l.Log().Info(fmt.Sprintf(format, args...)) }

func (l *Lab) sayTo(conn *Connection) func(string) {
	return func(s string) { _ = conn.Send(Text(s)) }
}

// Methods for other rooms.

func (l *Lab) Add(_ context.Context, a, b int) (int, error) { return a + b, nil }

func (l *Lab) Refuse(_ context.Context, text string) error { return errors.New(text) }

func (l *Lab) Run(ctx context.Context, verb string) (string, error) {
	var said []string
	err := l.run(ctx, &cmd{say: func(s string) { said = append(said, s) }}, verb)
	return strings.Join(said, ","), err
}

func (l *Lab) Odd(int) int { return 0 }

func parameter(query, name string) string {
	r, err := http.NewRequest(http.MethodGet, "/?"+query, nil)
	if err != nil {
		return ""
	}
	return r.URL.Query().Get(name)
}

// cmd is one order and where it came from.
type cmd struct {
	conn *Connection // nil: not from a connection
	w    http.ResponseWriter
	r    *http.Request
	say  func(string)
}

func (l *Lab) run(ctx context.Context, c *cmd, text string) error {
	verb, arg, _ := strings.Cut(text, " ")
	if verb == "" {
		return nil
	}
	f := verbs[verb]
	if f == nil {
		return fmt.Errorf("no verb %q", verb)
	}
	return f(l, ctx, c, arg)
}

// verb is something that a test asks a room to do.
type verb func(l *Lab, ctx context.Context, c *cmd, arg string) error

// verbs is filled by init because verbs run verbs.
var verbs = map[string]verb{}

// report says ok or what went wrong, with the errors that it wraps.
func (c *cmd) report(err error) error {
	c.say(outcome(err))
	return nil
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	var kinds []string
	for name, target := range map[string]error{
		"cycle": ErrCycle, "closed": ErrClosed, "too large": ErrTooLarge, "in turn": ErrInTurn, "cancelled": context.Canceled,
	} {
		if errors.Is(err, target) {
			kinds = append(kinds, name)
		}
	}
	if isRetryable(err) {
		kinds = append(kinds, "retryable")
	}
	slices.Sort(kinds)
	return fmt.Sprintf("error [%s]: %v", strings.Join(kinds, " "), err)
}

// two splits off the first word.
func two(s string) (first, rest string) {
	first, rest, _ = strings.Cut(s, " ")
	return first, rest
}

func init() {
	maps.Copy(verbs, map[string]verb{
		"echo":  func(_ *Lab, _ context.Context, c *cmd, arg string) error { c.say(arg); return nil },
		"seen":  func(l *Lab, _ context.Context, c *cmd, _ string) error { c.say(strconv.Itoa(l.seen)); return nil },
		"life":  func(l *Lab, _ context.Context, c *cmd, _ string) error { c.say(fmt.Sprint(l.life)); return nil },
		"print": func(_ *Lab, _ context.Context, _ *cmd, arg string) error { fmt.Println(arg); return nil },
		"nop":   func(*Lab, context.Context, *cmd, string) error { return nil },
		"log":   func(l *Lab, _ context.Context, _ *cmd, arg string) error { l.note("%s", arg); return nil },
		"log-richly": func(l *Lab, _ context.Context, _ *cmd, _ string) error {
			log := l.Log()
			log.Debug("plain")
			log.With("a", 1).WithGroup("g").Warn("with", "b", "two words")
			log.Error("text", "count", 3)
			return nil
		},
		"now": func(l *Lab, _ context.Context, c *cmd, _ string) error {
			c.say(l.Now().Sub(epoch).String())
			return nil
		},
		"env": func(l *Lab, _ context.Context, c *cmd, arg string) error { c.say(l.Env(arg)); return nil },
		"room": func(l *Lab, _ context.Context, c *cmd, _ string) error {
			c.say(l.Class() + " " + l.Name() + " " + l.ID())
			return nil
		},
		"props": func(l *Lab, _ context.Context, c *cmd, _ string) error {
			var v any = "none"
			if err := l.Props(&v); err != nil {
				return err
			}
			c.say(fmt.Sprint(v))
			return nil
		},

		// Waiting.
		"wait": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			c.say("waiting")
			<-world.gate(arg)
			return nil
		},
		"open": func(_ *Lab, _ context.Context, _ *cmd, arg string) error { world.open(arg); return nil },
		"meet": func(l *Lab, ctx context.Context, c *cmd, arg string) error {
			gate, verb := two(arg)
			world.meet(gate, 2)
			return l.run(ctx, c, verb)
		},
		"until-gone": func(l *Lab, ctx context.Context, c *cmd, _ string) error {
			c.say("waiting")
			<-ctx.Done()
			world.open("cancelled " + l.Name())
			return c.report(context.Cause(ctx))
		},
		"then": func(l *Lab, ctx context.Context, c *cmd, arg string) error { // then GATE VERB
			gate, verb := two(arg)
			c.say("waiting")
			<-world.gate(gate)
			return l.run(ctx, c, verb)
		},
		"both": func(l *Lab, ctx context.Context, c *cmd, arg string) error { // both VERB; VERB
			first, second, _ := strings.Cut(arg, "; ")
			if err := l.run(ctx, c, first); err != nil {
				return err
			}
			return l.run(ctx, c, second)
		},
		"gone": func(_ *Lab, _ context.Context, c *cmd, arg string) error { // is the value of Class/name collected?
			for range 200 {
				runtime.GC()
				t := time.NewTimer(10 * time.Millisecond)
				select {
				case <-world.gate("gone " + arg):
					t.Stop()
					c.say("gone")
					return nil
				case <-t.C:
				}
			}
			c.say("still in memory")
			return nil
		},
		"plan": func(_ *Lab, _ context.Context, _ *cmd, arg string) error { // plan ROOM TIMES VERB
			room, rest := two(arg)
			times, verb := two(rest)
			n, err := strconv.Atoi(times)
			if err != nil {
				return err
			}
			world.mu.Lock()
			defer world.mu.Unlock()
			world.plans[room] = &plan{n, verb}
			return nil
		},
		"started": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			world.mu.Lock()
			defer world.mu.Unlock()
			c.say(strconv.Itoa(world.started[arg]))
			return nil
		},
	})
}
