package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/envfile"
	"github.com/goparty/party/emulator/inspect"
)

// Config of a session.
type Config struct {
	Dir     string // of the package
	Scratch string // where builds are kept meanwhile
	Kind    Kind
	// EnvFile is what Server.Env reads; "": none. It need not exist where
	// EnvOptional is set.
	EnvFile     string
	EnvOptional bool
	// Plugin loads builds into this process where Go allows it.
	Plugin bool
	// Disconnect cuts connections at each reload, as a deploy does.
	Disconnect bool
	Emulator   *emulator.Emulator
}

// Session builds a package and runs it in an emulator: it starts it, and then
// lets newer builds take over, when it is asked to and when files change. Its
// methods may be used from any goroutine.
type Session struct {
	config  Config
	builder *Builder
	events  *inspect.Stream

	busy sync.Mutex // held while something is built and started

	// Of whoever holds busy.
	inputs  *inputs
	scanner *scanner
	tried   snapshot        // what was built last, also where that failed
	ended   bool            // that build was ended before it came to anything
	running snapshot        // what serves
	path    string          // its program
	warned  map[string]bool // methods that were said to be no hooks

	linkerMissing string // where a linker that reads ahead is to be; "": nowhere
	env           map[string]string
	kept          []keptBuild

	mu        sync.Mutex
	cancel    context.CancelFunc // ends the build that a change of files began; nil: there is none
	trying    snapshot           // as tried
	from      *inputs            // that it was taken of
	watcher   *watcher           // nil: nobody watches
	preparing context.CancelFunc
	prepared  sync.WaitGroup
}

// keptBuild is a program that was built, for when its content comes back.
type keptBuild struct {
	content snapshot
	path    string
}

// keptMost is how many of them there are.
const keptMost = 4

// NewSession prepares to build the package. Close ends what it began.
func NewSession(c Config) (*Session, error) {
	b, err := NewBuilder(c.Dir, c.Scratch, c.Kind)
	if err != nil {
		return nil, err
	}
	if c.EnvFile != "" {
		if c.EnvFile, err = filepath.Abs(c.EnvFile); err != nil {
			return nil, err
		}
	}
	return &Session{config: c, builder: b, events: c.Emulator.Events(), scanner: newScanner(), inputs: &inputs{}}, nil
}

// Environment reads the env file.
func (s *Session) environment() (map[string]string, error) {
	if _, err := os.Stat(s.config.EnvFile); s.config.EnvFile == "" || s.config.EnvOptional && errors.Is(err, os.ErrNotExist) {
		return map[string]string{}, nil
	}
	return envfile.Read(s.config.EnvFile)
}

// Start builds the package and runs it. Where that fails it may be called again.
func (s *Session) Start(ctx context.Context) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	env, err := s.environment()
	if err != nil {
		return err
	}
	if s.config.Plugin {
		if err := s.builder.comparable(ctx); err != nil {
			s.config.Plugin = false
			s.events.Publish(&inspect.Log{Level: "WARN", Text: "plugins cannot be loaded: " + err.Error() + ". The server runs as a process of its own instead"})
		}
	}
	path, content, err := s.build(ctx, true)
	if err != nil {
		return err
	}
	s.config.Emulator.SetEnv(env)
	if err := s.config.Emulator.Run(ctx, s.loader(path)); err != nil {
		return err
	}
	s.running, s.path, s.env = content, path, env
	s.prepare(false)
	s.warn()
	return nil
}

func (s *Session) loader(path string) emulator.Loader {
	if s.config.Plugin {
		return &PluginLoader{Path: path, Events: s.events, Otherwise: func(ctx context.Context) (emulator.Loader, error) {
			path, err := s.builder.Build(ctx)
			return s.process(path), err
		}}
	}
	return s.process(path)
}

func (s *Session) process(path string) emulator.Loader {
	return &Loader{Path: path, Events: s.events, Patient: s.config.Kind.Debug}
}

// Reload builds the package, whether its files have changed or not, and lets the
// result take over. It returns when new code serves, or with the reason why the
// old code goes on.
func (s *Session) Reload(ctx context.Context) error {
	since := time.Now()
	s.interrupt()
	s.busy.Lock()
	defer s.busy.Unlock()
	s.events.Publish(&inspect.FilesChanged{Why: "reload asked for"})
	err := s.reload(ctx, since, true)
	s.rewatch()
	return err
}

// interrupt ends the build that a change of files began.
func (s *Session) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// reload builds and swaps. The caller holds busy.
func (s *Session) reload(ctx context.Context, since time.Time, asked bool) (err error) {
	defer func() { s.ended = err != nil && ctx.Err() != nil }()
	env, err := s.environment()
	if err != nil {
		s.events.Publish(&inspect.ReloadFailed{Header: s.serving(), Reason: err.Error()})
		return err
	}
	began := time.Now()
	path, content, err := s.build(ctx, asked)
	var failed *BuildError
	switch {
	case ctx.Err() != nil:
		s.events.Publish(&inspect.BuildCanceled{Took: time.Since(began)})
		return ctx.Err()
	case errors.As(err, &failed):
		s.events.Publish(&inspect.BuildFailed{Header: s.serving(), Errors: failed.Errors(), Output: failed.Output, Took: time.Since(began)})
		return err
	case err != nil:
		s.events.Publish(&inspect.BuildFailed{Header: s.serving(), Output: err.Error(), Took: time.Since(began)})
		return err
	}
	o := emulator.ReloadOptions{Disconnect: s.config.Disconnect, Since: since, Env: env}
	if s.config.Kind.Debug {
		o.Limit = -1 // somebody may have stopped it in a debugger
	}
	if err := s.config.Emulator.Reload(ctx, s.loader(path), o); err != nil {
		return err
	}
	s.running, s.path, s.env = content, path, env
	if d := s.builder.direct; d != nil {
		d.readAhead(s.builder)
	}
	s.prepare(true)
	s.warn()
	return nil
}

// serving names the generation that goes on.
func (s *Session) serving() inspect.Header {
	return inspect.Header{Generation: s.config.Emulator.Generation()}
}

// build returns a program made of what the files hold now.
func (s *Session) build(ctx context.Context, asked bool) (path string, content snapshot, err error) {
	s.unprepare()
	if gone, err := s.builder.restore(); err != nil {
		return "", nil, err
	} else if gone {
		s.kept = nil
	}
	if len(s.inputs.packages) == 0 {
		return s.buildFirst(ctx)
	}
	if asked {
		s.scanner = newScanner() // nothing is taken on trust
	}
	content = s.scanner.scan(s.inputs)
	s.try(content)
	for i, k := range s.kept {
		if k.content.equal(content) && !s.config.Plugin { // a plugin's variables would be as they were left
			s.kept = append(slices.Delete(s.kept, i, i+1), k)
			s.events.Publish(&inspect.BuildDone{How: "an earlier build of the same files"})
			return k.path, content, nil
		}
	}
	began := time.Now()
	s.events.Publish(&inspect.BuildStarted{Package: s.config.Dir})
	done := func(path, how string) {
		s.events.Publish(&inspect.BuildDone{How: how, Took: time.Since(began)})
		s.keep(path, content)
	}
	if d := s.builder.direct; d != nil {
		path = s.builder.next()
		err := d.build(ctx, s.builder, content.diff(d.built), path)
		switch {
		case err == nil:
			d.built = content
			done(path, "the compiler and the linker")
			return path, content, nil
		case ctx.Err() != nil:
			return "", nil, ctx.Err()
		case !errors.Is(err, errIndirect):
			return "", nil, err
		}
	}
	path, err = s.compile(ctx)
	if ctx.Err() != nil {
		return "", nil, ctx.Err()
	}
	if s.relist(ctx) {
		path, err = s.compile(ctx)
	}
	if err != nil {
		return "", nil, err
	}
	s.builder.direct.drop()
	s.builder.direct = nil                              // it is to be prepared anew
	content = s.scanner.built(s.inputs, content, began) // of what it imports now
	s.try(content)
	done(path, "go build")
	return path, content, nil
}

// compile builds with the go command.
func (s *Session) compile(ctx context.Context) (string, error) {
	if s.config.Plugin {
		return s.builder.buildPlugin(ctx)
	}
	return s.builder.Build(ctx)
}

// try notes what is built.
func (s *Session) try(content snapshot) {
	s.tried = content
	s.mu.Lock()
	s.trying, s.from = content, s.inputs
	s.mu.Unlock()
}

// buildFirst builds before anything is known of the package. The go command is
// asked meanwhile what it consists of.
func (s *Session) buildFirst(ctx context.Context) (path string, content snapshot, err error) {
	began := time.Now()
	s.events.Publish(&inspect.BuildStarted{Package: s.config.Dir})
	type answer struct {
		all []*listed
		err error
	}
	lists := make(chan answer, 1)
	lister := s.builder.lister()
	go func() {
		all, err := lister.list(ctx, false)
		lists <- answer{all, err}
	}()
	path, err = s.compile(ctx)
	l := <-lists
	if ctx.Err() != nil {
		return "", nil, ctx.Err()
	}
	if l.err == nil && needsC(l.all) && s.builder.useC() {
		path, err = s.compile(ctx)
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
	}
	if err != nil {
		return "", nil, err
	}
	if l.err == nil {
		s.inputs = newInputs(l.all, s.builder.work)
	}
	content = s.scanner.built(s.inputs, nil, began)
	s.try(content)
	s.events.Publish(&inspect.BuildDone{How: "go build", Took: time.Since(began)})
	s.keep(path, content)
	return path, content, nil
}

// relist finds out again what the server is built from, and reports whether it
// turns out that it needs to be built with C.
func (s *Session) relist(ctx context.Context) (withC bool) {
	lister := s.builder.lister()
	all, err := lister.list(ctx, false)
	if err != nil {
		return false // what was known still holds as far as it goes
	}
	in := newInputs(all, s.builder.work)
	if len(in.packages) == 0 {
		return false
	}
	// Packages that are broken now are still to be watched.
	for _, p := range s.inputs.packages {
		if !slices.ContainsFunc(in.packages, func(q *listed) bool { return q.Dir == p.Dir }) && hasErrors(all) {
			in.packages = append(in.packages, p)
		}
	}
	s.inputs = in
	return needsC(all) && s.builder.useC()
}

func hasErrors(all []*listed) bool {
	return slices.ContainsFunc(all, func(p *listed) bool { return p.Error != nil || p.Incomplete })
}

// keep remembers a build, and removes the oldest ones.
func (s *Session) keep(path string, content snapshot) {
	s.kept = append(s.kept, keptBuild{content, path})
	for i := 0; len(s.kept) > keptMost && i < len(s.kept)-1; {
		if s.kept[i].path == s.path { // it may have to be started again
			i++
			continue
		}
		_ = os.Remove(s.kept[i].path)
		s.kept = slices.Delete(s.kept, i, i+1)
	}
}

// prepare lets later builds be fast, in the background. Somebody who has edited
// once will do so again: that is worth compiling everything for it.
func (s *Session) prepare(edited bool) {
	warm := edited && (!s.builder.quick || s.linkerMissing != "")
	if s.builder.direct != nil && !warm || !s.builder.plain || s.config.Plugin {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watcher == nil {
		return // one build is all that may ever come
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.preparing = cancel
	content := maps.Clone(s.running)
	s.prepared.Go(func() {
		defer cancel()
		if warm && s.warm(ctx) != nil {
			return
		}
		d, err := s.builder.prepare(ctx)
		if err != nil || d == nil {
			return
		}
		if !newScanner().scan(s.inputs).equal(content) {
			return
		}
		d.built = content
		s.builder.direct.drop()
		s.builder.direct = d
		if edited {
			d.readAhead(s.builder)
		}
	})
}

// warm builds what makes later builds fast.
func (s *Session) warm(ctx context.Context) error {
	if !s.builder.quick {
		if err := s.builder.warm(ctx); err != nil {
			return err
		}
		s.builder.quicken()
	}
	if s.linkerMissing != "" {
		if err := s.builder.buildLinker(ctx, s.linkerMissing); err != nil {
			if ctx.Err() != nil {
				return err
			}
		} else {
			s.builder.linker = s.linkerMissing
		}
		s.linkerMissing = ""
	}
	return nil
}

// unprepare ends it where it has not come to its end.
func (s *Session) unprepare() {
	s.mu.Lock()
	cancel := s.preparing
	s.preparing = nil
	s.mu.Unlock()
	if cancel != nil {
		cancel()
		s.prepared.Wait()
	}
}

// rewatch tells the watcher what there is to watch now.
func (s *Session) rewatch() {
	s.mu.Lock()
	w := s.watcher
	s.mu.Unlock()
	if w != nil {
		w.watch(s.directories())
	}
}

func (s *Session) directories() []string {
	dirs := s.inputs.directories()
	if s.config.EnvFile != "" {
		dirs = append(dirs, filepath.Dir(s.config.EnvFile))
	}
	return dirs
}

// Close ends what the session began, and removes what it built. The emulator is
// its owner's.
func (s *Session) Close() error {
	s.interrupt()
	s.busy.Lock()
	defer s.busy.Unlock()
	s.unprepare()
	s.builder.direct.drop()
	if err := s.builder.Close(); err != nil {
		return fmt.Errorf("removing what was built: %w", err)
	}
	return nil
}
