// Package script is the language of party's test scripts: .txtar files whose
// commands start a server, connect clients, force what the platform does to
// rooms, and move the clock. It is built on testscript, whose own commands
// (exec, cmp, stdout, !, conditions) remain.
package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/watch/bundle"
)

// Options of a run.
type Options struct {
	// Files are scripts, or directories that are searched for them.
	Files []string
	// Dir is where servers without files in the script are found, and whose
	// module the script's own files become part of. "": here.
	Dir string
	// Match chooses scripts by name; nil: all.
	Match *regexp.Regexp
	// Update writes what cmp found into the scripts.
	Update bool
	// Timeout of one script, of machine time; 0: none.
	Timeout time.Duration
	// On is what they run on: the emulator ("" or "emulator"), or "workerd",
	// Cloudflare's engine, which npm must have installed; scripts that ask for
	// more than that can do are skipped.
	On string
	// Transcript asks for what each client and request saw.
	Transcript bool
	// Loader replaces building: every script's server is this program.
	Loader func() emulator.Loader
}

// Find lists the scripts that o chooses. Files that are named are taken as they
// are; directories are searched, without those that begin with a dot.
func (o Options) Find() ([]string, error) {
	var all []string
	for _, f := range o.Files {
		info, err := os.Stat(f)
		if err != nil {
			return nil, fmt.Errorf("%s: no such file or directory", f)
		}
		if !info.IsDir() {
			all = append(all, f)
			continue
		}
		err = filepath.WalkDir(f, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && path != f && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata"):
				return filepath.SkipDir
			case !d.IsDir() && filepath.Ext(path) == ".txtar":
				all = append(all, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no .txtar script in %s", strings.Join(o.Files, ", "))
	}
	if o.Match == nil {
		return all, nil
	}
	var chosen []string
	for _, f := range all {
		if o.Match.MatchString(NameOf(f)) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no script's name matches %q, of %d", o.Match, len(all))
	}
	return chosen, nil
}

// NameOf is a script's name: its file's, without the extension.
func NameOf(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".txtar"), ".txt")
}

// runner is what the scripts of a run share.
type runner struct {
	ctx     context.Context
	dir     string // where servers are found
	scratch string // for everything that the run makes
	sources *sources
	engine  string                  // path of workerd; "": they run on the emulator
	saw     func(transcript string) // gets a script's transcript; nil: nobody
}

// newRunner prepares a run. Everything that it makes is gone after end.
func newRunner(ctx context.Context, o Options) (r *runner, end func(), err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, nil, err
	}
	engine := ""
	switch o.On {
	case "", OnEmulator:
	case OnWorkerd:
		if engine, err = bundle.FindEngine(dir, "."); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("scripts run on emulator or workerd, not on %q", o.On)
	}
	scratch, err := os.MkdirTemp("", "party-test-")
	if err != nil {
		return nil, nil, err
	}
	r = &runner{ctx: ctx, dir: dir, scratch: scratch, sources: newSources(dir, scratch), engine: engine}
	if o.Loader != nil {
		r.sources.fixed = fixedSource{o.Loader}
	}
	return r, sync.OnceFunc(func() {
		r.sources.close()
		_ = os.RemoveAll(scratch)
	}), nil
}

// Run runs the scripts as subtests of t, in parallel. The function that it
// returns must be called when they have ended; ctx ends them early.
func Run(ctx context.Context, t testscript.T, o Options) (end func(), err error) {
	files, err := o.Find()
	if err != nil {
		return nil, err
	}
	r, end, err := newRunner(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := r.script(t, f, o); err != nil {
			end()
			return nil, err
		}
	}
	return end, nil
}

// script runs one script as a subtest of t.
func (r *runner) script(t testscript.T, file string, o Options) error {
	work, err := os.MkdirTemp(r.scratch, "work-")
	if err != nil {
		return err
	}
	reason := ""
	if r.engine != "" {
		if reason, err = unable(file); err != nil {
			return err
		}
	}
	p := testscript.Params{
		Files: []string{file}, WorkdirRoot: work, UpdateScripts: o.Update,
		Setup: func(env *testscript.Env) error {
			if reason != "" {
				env.T().Skip(reason)
			}
			return r.setup(env, o.Timeout)
		},
		Condition: r.condition,
		Cmds:      bind(),
	}
	if o.Timeout > 0 {
		p.Deadline = time.Now().Add(o.Timeout)
	}
	testscript.RunT(t, p)
	return nil
}

// setup prepares one script.
func (r *runner) setup(env *testscript.Env, timeout time.Duration) error {
	own := r
	if timeout > 0 {
		ctx, cancel := context.WithTimeoutCause(r.ctx, timeout, errors.New("the script took longer than --timeout"))
		env.Defer(cancel)
		own = &runner{ctx: ctx, dir: r.dir, scratch: r.scratch, sources: r.sources, engine: r.engine, saw: r.saw}
	}
	newSession(own, env)
	return nil
}

// condition answers what scripts may ask: [emulator] is whether this is one.
func (r *runner) condition(cond string) (bool, error) {
	switch cond {
	case OnEmulator:
		return r.engine == "", nil
	case OnWorkerd:
		return r.engine != "", nil
	}
	return false, fmt.Errorf("unknown condition %q; there are emulator, workerd, and testscript's own", cond)
}

// fixedSource is a program that need not be built.
type fixedSource struct{ loader func() emulator.Loader }

func (f fixedSource) load(context.Context, bool) (func(*inspect.Stream) emulator.Loader, error) {
	return func(*inspect.Stream) emulator.Loader { return f.loader() }, nil
}

// RunTest runs the scripts as parallel subtests of t, and cleans up behind them.
func RunTest(t *testing.T, o Options) {
	t.Helper()
	end, err := Run(t.Context(), shim{t}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
}

// shim makes a testing.T a testscript.T.
type shim struct{ *testing.T }

func (t shim) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(shim{t}) })
}

func (shim) Verbose() bool { return testing.Verbose() }
