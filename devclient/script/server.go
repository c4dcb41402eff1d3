package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/envfile"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/watch"
)

// server is a running emulator of a script.
type server struct {
	em     *emulator.Emulator // nil: it is the engine
	engine *engine
	url    string
	feed   *inspect.Subscription
	spec   spec
	serve  chan error
}

// spec is what start was asked for.
type spec struct {
	source source
	flags  flags
}

// flags are those of `party dev` that make sense without a person before it.
type flags struct {
	hibernateAfter, evictAfter time.Duration
	envFile                    string
	onReload                   string
	state, host                string
	port                       int
	kind                       watch.Kind
}

// eventsKept bounds how many events may happen between two looks.
const eventsKept = 1 << 20

func (s *session) start(neg bool, args []string) error {
	if s.server != nil {
		return misuse{errors.New("a server runs already: shutdown first, or use reload or restart")}
	}
	f := flags{}
	set := pflag.NewFlagSet("start", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.DurationVar(&f.hibernateAfter, "hibernate-after", emulator.DefaultHibernateAfter, "")
	set.DurationVar(&f.evictAfter, "evict-after", emulator.DefaultEvictAfter, "")
	set.StringVar(&f.envFile, "env-file", "", "")
	set.StringVar(&f.onReload, "on-reload", "keep", "")
	set.StringVar(&f.state, "state", filepath.Join(".party", "state"), "")
	set.StringVar(&f.host, "host", "127.0.0.1", "")
	set.IntVar(&f.port, "port", 0, "")
	set.BoolVar(&f.kind.Race, "race", false, "")
	set.BoolVar(&f.kind.Debug, "debug", false, "")
	loader := set.String("loader", "process", "")
	if err := set.Parse(args); err != nil {
		return s.misuse("%v", err)
	}
	if *loader != "process" {
		return fmt.Errorf("--loader %s: a script's server runs in a process of its own, which can crash; use process, or leave it out", *loader)
	}
	if f.onReload != "keep" && f.onReload != "disconnect" {
		return fmt.Errorf("--on-reload %s: use keep or disconnect", f.onReload)
	}
	if f.hibernateAfter <= 0 || f.evictAfter <= 0 {
		return errors.New("--hibernate-after and --evict-after must be more than 0, such as 10s")
	}
	if err := s.count(set.Args(), 0, 1); err != nil {
		return err
	}
	dir := ""
	if set.NArg() == 1 {
		dir = set.Arg(0)
	}
	if f.port < 0 || f.port > 65535 {
		return fmt.Errorf("--port %d: use 1 to 65535, or 0 for a free one", f.port)
	}
	if !filepath.IsAbs(f.state) {
		f.state = filepath.Join(s.work, f.state)
	}
	src, err := s.runner.sources.find(s.work, dir, f.kind)
	if err != nil {
		return err
	}
	return s.run(spec{src, f})
}

// run starts a server, with a build that another script may have made.
func (s *session) run(sp spec) error {
	if s.runner.engine != "" {
		return s.runEngine(sp)
	}
	loader, err := sp.source.load(s.runner.ctx, false)
	if err != nil {
		return err
	}
	env, err := sp.environment(s.work, s.runner.dir)
	if err != nil {
		return misuse{err}
	}
	em := emulator.New(emulator.Config{
		HibernateAfter: sp.flags.hibernateAfter, EvictAfter: sp.flags.evictAfter, Env: env, Debug: true,
		Clock: clock.NewManual(s.now), State: sp.flags.state, Seed: 1, Generation: s.generation,
	})
	sv := &server{em: em, feed: em.Events().Subscribe(eventsKept), spec: sp, serve: make(chan error, 1)}
	s.server = sv
	ln, err := net.Listen("tcp", net.JoinHostPort(sp.flags.host, strconv.Itoa(sp.flags.port)))
	if err == nil {
		sv.url = "http://" + ln.Addr().String()
		if err = em.Run(s.runner.ctx, loader(em.Events())); err != nil {
			_ = ln.Close()
		}
	}
	if err != nil {
		sv.serve <- nil
		_ = s.stop()
		return err
	}
	go func() { sv.serve <- em.Serve(ln) }()
	s.generation = em.Generation()
	s.last = sv
	return s.quiet() // overdue alarms have run
}

// environment reads the env file: the one asked for, or .env where there is one.
func (sp *spec) environment(work, dir string) (map[string]string, error) {
	file := sp.flags.envFile
	for _, base := range []string{work, dir} {
		name := file
		if name == "" {
			name = ".env"
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(base, name)
		}
		if _, err := os.Stat(name); err == nil {
			return envfile.Read(name)
		}
	}
	if file != "" {
		return nil, fmt.Errorf("--env-file %s: no such file in the script or in %s", file, dir)
	}
	return nil, nil
}

// stop ends the server and keeps what a later one goes on with.
func (s *session) stop() error {
	sv := s.server
	if sv.engine != nil {
		return s.stopEngine()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.collect()
	s.now = sv.em.Clock().Now()
	err := sv.em.Close(ctx)
	s.collect()
	sv.feed.Close()
	if serr := <-sv.serve; err == nil {
		err = serr
	}
	for name, p := range sv.em.Past() {
		before := s.past[name]
		p.Starts += before.Starts
		s.past[name] = p
	}
	s.server = nil
	return err
}

func (s *session) shutdown(_ bool, args []string) error {
	if err := s.count(args, 0, 0); err != nil {
		return err
	}
	if _, err := s.running(); err != nil {
		return err
	}
	s.soft()
	return s.stop()
}

func (s *session) restart(_ bool, args []string) error {
	if err := s.count(args, 0, 0); err != nil {
		return err
	}
	if s.server == nil && s.last != nil { // it was shut down
		return s.run(s.last.spec)
	}
	if _, err := s.running(); err != nil {
		return err
	}
	s.soft()
	sp := s.server.spec
	if err := s.stop(); err != nil {
		return err
	}
	return s.run(sp)
}

func (s *session) reload(_ bool, args []string) error {
	a, err := s.parse(args, map[string]bool{"-now": false})
	if err != nil {
		return err
	}
	if err := s.count(a.rest, 0, 0); err != nil {
		return err
	}
	sv, err := s.running()
	if err != nil {
		return err
	}
	if !a.has("-now") {
		if err := s.quiet(); err != nil {
			return misuse{err}
		}
	}
	loader, err := sv.spec.source.load(s.runner.ctx, true)
	if err != nil {
		return err
	}
	env, err := sv.spec.environment(s.work, s.runner.dir)
	if err != nil {
		return misuse{err}
	}
	o := emulator.ReloadOptions{Disconnect: sv.spec.flags.onReload == "disconnect", Env: env}
	if err := sv.em.Reload(s.runner.ctx, loader(sv.em.Events()), o); err != nil {
		return err
	}
	s.generation = sv.em.Generation()
	if a.has("-now") {
		return nil
	}
	return s.quiet()
}

func (s *session) crash(_ bool, args []string) error {
	if err := s.count(args, 0, 0); err != nil {
		return err
	}
	sv, err := s.running()
	if err != nil {
		return err
	}
	s.busy = false
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	if err := sv.em.Serving(ctx); err != nil { // after another crash it is being started
		return err
	}
	return sv.em.Crash(s.runner.ctx)
}

// output waits until what the server wrote has come.
func (sv *server) output(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	sv.em.Output(ctx)
}

// clock is the script's time.
func (s *session) clock() time.Time {
	if s.server != nil && s.server.em != nil {
		return s.server.em.Clock().Now()
	}
	return s.now
}
