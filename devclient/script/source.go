package script

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/watch"
)

// source is where the code of a script's server comes from.
type source interface {
	// load builds the code, or takes what was built of the same before; fresh
	// asks for what it is now. What it returns makes the loader for an emulator.
	load(ctx context.Context, fresh bool) (func(*inspect.Stream) emulator.Loader, error)
}

// sources finds a script's code and builds each only once.
type sources struct {
	dir     string // where party test runs
	scratch string // for what is built
	fixed   source // every script's; nil: what its start says

	mu      sync.Mutex
	module  string // directory of dir's module; "": not known yet
	built   map[string]*build
	bundles map[string]*bundled // for workerd
	links   int
	linked  string // directory of the links into the module
	slots   chan struct{}
}

// build is one program, built once.
type build struct {
	once sync.Once
	path string
	err  error
}

// buildsAtOnce is how many builds run at a time; each uses several processors.
const buildsAtOnce = 2

func newSources(dir, scratch string) *sources {
	return &sources{dir: dir, scratch: scratch, built: map[string]*build{}, bundles: map[string]*bundled{}, slots: make(chan struct{}, buildsAtOnce)}
}

// find says which code start means. work is the script's own directory.
func (s *sources) find(work, dir string, kind watch.Kind) (source, error) {
	if s.fixed != nil {
		if dir != "" {
			return nil, errors.New("the server is given by the Go test that runs this script: start it without a directory")
		}
		return s.fixed, nil
	}
	own := filepath.Join(work, dir)
	if hasGo(own) {
		if inModule(own, work) {
			// Its other packages count too.
			return &packageSource{of: s, kind: kind, dir: own, run: own, watched: work}, nil
		}
		module, err := s.moduleDir()
		if err != nil {
			return nil, err
		}
		return &packageSource{of: s, kind: kind, dir: own, run: own, watched: own, module: module}, nil
	}
	at := filepath.Join(s.dir, dir)
	if filepath.IsAbs(dir) {
		at = dir
	}
	if info, err := os.Stat(at); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("start %s: no such directory, neither in the script nor in %s", dir, s.dir)
	}
	return &packageSource{of: s, kind: kind, dir: at}, nil
}

func hasGo(dir string) bool {
	all, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	return len(all) > 0
}

// inModule reports whether a go.mod lies in dir or above it, up to top.
func inModule(dir, top string) bool {
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return true
		}
		if dir == top || len(dir) <= len(top) {
			return false
		}
		dir = filepath.Dir(dir)
	}
}

// moduleDir is the root of the module that party test runs in.
func (s *sources) moduleDir() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.module != "" {
		return s.module, nil
	}
	cmd := exec.Command("go", "env", "GOMOD")
	cmd.Dir = s.dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("the go command does not run: %w; install Go and put it on PATH", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("the script's own .go files need a module, and %s is in none: run party test inside a module, or give the script a go.mod", s.dir)
	}
	s.module = filepath.Dir(mod)
	return s.module, nil
}

// close removes everything that was built.
func (s *sources) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.linked != "" {
		_ = os.RemoveAll(s.linked)
	}
}

// link makes dir a package of a module for as long as the run lasts.
func (s *sources) link(module, dir string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.linked == "" {
		scratch := filepath.Join(module, ".party")
		if err := os.MkdirAll(scratch, 0o755); err != nil {
			return "", err
		}
		ignore := filepath.Join(scratch, ".gitignore")
		if _, err := os.Stat(ignore); err != nil {
			if err := os.WriteFile(ignore, []byte("*\n"), 0o644); err != nil {
				return "", err
			}
		}
		removeStale(scratch)
		linked, err := os.MkdirTemp(scratch, fmt.Sprintf("%s%d-", linkPrefix, os.Getpid()))
		if err != nil {
			return "", err
		}
		s.linked = linked
	}
	s.links++
	to := filepath.Join(s.linked, fmt.Sprintf("script%d", s.links))
	return to, os.Symlink(dir, to)
}

const linkPrefix = "test-"

// removeStale removes the links of runs that were killed.
func removeStale(scratch string) {
	all, _ := filepath.Glob(filepath.Join(scratch, linkPrefix+"*"))
	for _, dir := range all {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), linkPrefix), "-")
		pid, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Signal(syscall.Signal(0))
		}
		if errors.Is(err, os.ErrProcessDone) {
			_ = os.RemoveAll(dir)
		}
	}
}

// packageSource is a package on disk.
type packageSource struct {
	of      *sources
	kind    watch.Kind
	dir     string
	module  string // that it is made a package of; "": it lies in one
	run     string // where its process runs; "": where we do
	watched string // its content decides whether it was built; "": only once
	linked  string

	builder *watch.Builder
}

func (p *packageSource) load(ctx context.Context, fresh bool) (func(*inspect.Stream) emulator.Loader, error) {
	key := fmt.Sprint(p.kind, p.dir)
	if p.watched != "" {
		sum, err := contentOf(p.watched)
		if err != nil {
			return nil, err
		}
		rel, _ := filepath.Rel(p.watched, p.dir)
		key = fmt.Sprint(p.kind) + p.module + "\x00" + rel + "\x00" + sum
	}
	var path string
	var err error
	if fresh && p.watched == "" {
		path, err = p.build(ctx)
	} else {
		p.of.mu.Lock()
		b := p.of.built[key]
		if b == nil {
			b = &build{}
			p.of.built[key] = b
		}
		p.of.mu.Unlock()
		b.once.Do(func() { b.path, b.err = p.build(ctx) })
		path, err = b.path, b.err
	}
	if err != nil {
		return nil, compiled(err)
	}
	return func(events *inspect.Stream) emulator.Loader {
		return &watch.Loader{Path: path, Dir: p.run, Events: events}
	}, nil
}

// compiled says of a compiler's error what it is.
func compiled(err error) error {
	var compiler *watch.BuildError
	if errors.As(err, &compiler) {
		return fmt.Errorf("it does not compile:\n%w", err)
	}
	return err
}

func (p *packageSource) build(ctx context.Context) (string, error) {
	select {
	case p.of.slots <- struct{}{}:
		defer func() { <-p.of.slots }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if p.builder == nil {
		dir := p.dir
		if p.module != "" {
			if p.linked == "" {
				linked, err := p.of.link(p.module, p.dir)
				if err != nil {
					return "", err
				}
				p.linked = linked
			}
			dir = p.linked
		}
		scratch, err := os.MkdirTemp(p.of.scratch, "build-")
		if err != nil {
			return "", err
		}
		if p.builder, err = watch.NewBuilder(dir, scratch, p.kind); err != nil {
			return "", err
		}
	}
	return p.builder.Build(ctx)
}

// contentOf is a sum over all files in dir that a build may depend on.
func contentOf(dir string) (string, error) {
	files := map[string][]byte{}
	embeds := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		files[rel] = data
		embeds = embeds || filepath.Ext(rel) == ".go" && bytes.Contains(data, []byte("//go:embed"))
		return nil
	})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, rel := range slices.Sorted(maps.Keys(files)) {
		// What a script compares its output with is nothing to the compiler.
		if embeds || isSource(rel) {
			fmt.Fprintf(h, "%s\x00%d\x00", rel, len(files[rel]))
			_, _ = h.Write(files[rel])
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// isSource reports whether the go command reads a file of that name.
func isSource(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".go", ".mod", ".sum", ".work", ".s", ".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".m", ".f", ".for", ".f90", ".syso":
		return true
	}
	return strings.HasPrefix(filepath.ToSlash(name), "vendor/")
}
