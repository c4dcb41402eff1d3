// Package watch turns a user's package into running code: it builds the package
// with its own module and toolchain and loads the result into an emulator.
package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/goparty/party/emulator/inspect"
)

// pluginTag is the build constraint that makes a program a plugin.
const pluginTag = "partyplugin"

const modulePath = "github.com/goparty/party"

// Builder builds one package, again and again. It is not safe for use by several
// goroutines at once.
type Builder struct {
	dir   string // of the package, absolute
	out   string // directory of what is built, removed by Close
	tags  string // the user's own
	flags []string
	env   []string // added to the environment of the go command
	work  string   // go.work; "": none
	kind  Kind
	plain bool // nothing keeps us from calling the compiler ourselves
	count int

	goflags []string // the user's own
	c       bool     // C may be used, and nobody insists on it
	quick   bool     // build what links fastest
	gentle  bool     // give way to whatever else runs
	marker  string   // a file that says that everything was built so once; "": there is none
	linker  string   // one that reads ahead; "": none does

	direct *direct // nil: not prepared
}

// Kind is how code is built.
type Kind struct {
	Debug bool // without optimization, so that a debugger shows what is in the source
	Race  bool // with the race detector
}

// NewBuilder prepares to build the package in dir. What it builds goes to a
// directory of its own below scratch. The error of a directory that holds no
// server says what it holds.
func NewBuilder(dir, scratch string, kind ...Kind) (*Builder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(abs); err != nil {
		return nil, fmt.Errorf("%s: no such directory; give the directory of a Go program that calls party.Main", dir)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file; give the directory that it lies in", dir)
	}
	b := &Builder{dir: abs}
	for _, k := range kind {
		b.kind = k
	}
	ask := exec.Command("go", "env", "-json", "GOFLAGS", "GOWORK", "CGO_ENABLED", "GOVERSION", "GOARCH")
	ask.Dir = abs
	answer, err := ask.Output()
	if err != nil {
		return nil, fmt.Errorf("the go command does not run: %w; install Go and put it on PATH", err)
	}
	var env struct{ GOFLAGS, GOWORK, CGO_ENABLED, GOVERSION, GOARCH string } //nolint:revive // their names
	if err := json.Unmarshal(answer, &env); err != nil {
		return nil, fmt.Errorf("reading what go env says: %w", err)
	}
	b.work = env.GOWORK
	b.goflags = splitFlags(env.GOFLAGS)
	_, asked := os.LookupEnv("CGO_ENABLED")
	b.c = env.CGO_ENABLED == "1" && !asked
	b.setFlags()
	if cache, err := os.UserCacheDir(); err == nil && b.plain {
		b.marker = filepath.Join(cache, "party", "quick-"+env.GOVERSION+"-"+env.GOARCH)
		if _, err := os.Stat(b.marker); err == nil {
			b.quicken()
		}
	}
	if err := b.check(dir); err != nil {
		return nil, err
	}
	if scratch, err = filepath.Abs(scratch); err != nil {
		return nil, err
	}
	if err := removeStale(scratch); err != nil {
		return nil, err
	}
	b.out = filepath.Join(scratch, fmt.Sprintf("%s%d", buildPrefix, os.Getpid()))
	return b, os.MkdirAll(b.out, 0o755)
}

// setFlags adds our flags to the user's: a flag on the command line replaces
// the same one in GOFLAGS, so theirs must be repeated.
func (b *Builder) setFlags() {
	linker := false
	b.plain = true
	for _, f := range b.goflags {
		name, value, _ := strings.Cut(strings.TrimLeft(f, "-"), "=")
		switch name {
		case "tags":
			b.tags = strings.Join(strings.Fields(value), ",") // they may be split by spaces
		case "ldflags":
			linker = true
		case "race":
			b.kind.Race = true
		case "mod", "modfile", "buildvcs", "trimpath", "p", "modcacherw":
		default:
			b.plain = false
		}
	}
	b.plain = b.plain && b.kind == Kind{}
	tags := pluginTag
	if b.tags != "" {
		tags = b.tags + "," + pluginTag
	}
	b.flags = []string{"-tags", tags, "-buildvcs=false"}
	b.env = nil
	for name, value := range map[string]string{"GOGC": "off", "GOMEMLIMIT": "1GiB"} {
		if os.Getenv(name) == "" { // tools that run for a moment need not collect their garbage
			b.env = append(b.env, name+"="+value)
		}
	}
	if b.kind.Race {
		b.flags = append(b.flags, "-race")
	}
	if b.kind.Debug {
		b.flags = append(b.flags, "-gcflags=all=-N -l", "-gcflags=std=") // the last that fits a package counts
		return
	}
	if !linker {
		b.flags = append(b.flags, "-ldflags=-s -w") // no debugger needs it; linking is most of a build
	}
	if b.quick {
		b.flags = append(b.flags, "-gcflags=all=-dwarf=false")
		if b.c {
			b.env = append(b.env, withoutC)
		}
	}
}

const withoutC = "CGO_ENABLED=0"

// quicken builds what links fastest from now on: without what only debuggers
// read, and without C where nothing needs it. The standard library has to be
// compiled for that once.
func (b *Builder) quicken() {
	b.quick = true
	b.setFlags()
}

// warm builds everything so that quick builds find it, and makes a note of it.
func (b *Builder) warm(ctx context.Context) error {
	w := b.gently()
	w.quicken()
	path := filepath.Join(b.out, "warm")
	defer os.Remove(path)
	if err := w.run(ctx, w.command(ctx, append(append([]string{"build", "-o", path}, w.flags...), ".")...)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.marker), 0o755); err != nil {
		return err
	}
	return os.WriteFile(b.marker, nil, 0o644)
}

// gently is a copy of the builder whose commands give way to whatever else runs.
func (b *Builder) gently() *Builder {
	g := *b
	g.gentle = true
	return &g
}

// useC gives C to code that needs it, and reports whether that is a change.
func (b *Builder) useC() bool {
	if !b.c {
		return false
	}
	b.c = false
	b.setFlags()
	return b.quick
}

// command is a go command about the package.
func (b *Builder) command(ctx context.Context, args ...string) *exec.Cmd {
	name := "go"
	if nice, err := exec.LookPath("nice"); err == nil && b.gentle {
		name, args = nice, append([]string{"-n", "10", "go"}, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.dir
	cmd.Env = append(cmd.Environ(), b.env...)
	return cmd
}

// in is a directory as the go command names it to one that runs in the package's.
func (b *Builder) in(dir string) string {
	if dir == "." {
		return b.dir
	}
	return dir
}

// splitFlags splits GOFLAGS as the go command does: a field that begins with a
// quote goes on to the next one of its kind.
func splitFlags(s string) (fields []string) {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		if s == "" {
			return fields
		}
		end, rest := strings.IndexAny(s, " \t\r\n"), 0
		if q := s[0]; q == '\'' || q == '"' {
			s = s[1:]
			end, rest = strings.IndexByte(s, q), 1
		}
		if end < 0 {
			return append(fields, s)
		}
		fields, s = append(fields, s[:end]), s[end+rest:]
	}
}

// check looks at the package without building it.
func (b *Builder) check(shown string) error {
	ctx := build.Default
	ctx.BuildTags = append(strings.Split(b.tags, ","), pluginTag)
	p, err := ctx.ImportDir(b.dir, 0)
	var none *build.NoGoError
	switch {
	case errors.As(err, &none):
		return fmt.Errorf("%s holds no Go files; give the directory of a Go program that calls party.Main", shown)
	case err != nil:
		return nil // the compiler says it better
	case p.Name != "main":
		return fmt.Errorf("%s is package %s, which is no program; make it package main with a main function that calls party.Main(App)", shown, p.Name)
	}
	for _, path := range p.Imports {
		if path == modulePath || strings.HasPrefix(path, modulePath+"/") {
			return nil
		}
	}
	for _, path := range p.Imports {
		if strings.Contains(path, ".") || strings.Contains(path, "/") {
			return nil // it may reach party.Main through another package
		}
	}
	return fmt.Errorf("%s does not use %s, so it cannot call party.Main; add the import and end main with party.Main(App)", shown, modulePath)
}

// BuildError is a build that failed, in the compiler's words.
type BuildError struct{ Output string }

func (e *BuildError) Error() string { return e.Output }

// Errors are the parts of it that name a position.
func (e *BuildError) Errors() (all []inspect.BuildError) {
	for line := range strings.Lines(e.Output) {
		m := located.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		row, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		all = append(all, inspect.BuildError{File: m[1], Line: row, Column: column, Text: m[4]})
	}
	return all
}

var located = regexp.MustCompile(`^([^\s:][^:]*\.\w+):(\d+):(?:(\d+):)? (.*)$`)

// next names the program that is built next.
func (b *Builder) next() string {
	b.count++
	path := filepath.Join(b.out, "generation"+strconv.Itoa(b.count))
	if filepath.Separator == '\\' {
		path += ".exe"
	}
	return path
}

// restore makes the directory for what is built where somebody has removed it,
// and reports whether that was so: all that was kept there is gone.
func (b *Builder) restore() (bool, error) {
	if _, err := os.Stat(b.out); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	b.direct.drop()
	b.direct = nil
	b.setFlags()
	return true, os.MkdirAll(b.out, 0o755)
}

// Build builds the package and returns the program's path. The earlier ones
// stay until Close.
func (b *Builder) Build(ctx context.Context) (string, error) {
	path := b.next()
	cmd := b.command(ctx, append(append([]string{"build", "-o", path}, b.flags...), ".")...)
	return path, b.run(ctx, cmd)
}

// run runs a command whose output is for people who mend their code.
func (b *Builder) run(ctx context.Context, cmd *exec.Cmd) error {
	kill := apart(cmd)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err == nil {
		if !b.gentle {
			prefer(cmd)
		}
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		kill()
		return ctx.Err()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fmt.Errorf("running the go command: %w", err)
	}
	return &BuildError{readable(out.String(), cmd.Dir)}
}

// position finds a file at the start of a compiler's line.
var position = regexp.MustCompile(`(?m)^((?:\.{0,2}/)?[^\s:#][^\s:]*\.go)(:\d+)`)

// readable makes the names of files in what a compiler said in dir relative to
// where the person is, so that terminals can open them.
func readable(out, dir string) string {
	out = position.ReplaceAllStringFunc(out, func(s string) string {
		m := position.FindStringSubmatch(s)
		file := m[1]
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		return near(file) + m[2]
	})
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "# ") { // the package's name says nothing new
			lines = append(lines, line)
		}
	}
	return strings.TrimSpace(strings.Join(lines, ""))
}

// Close removes everything that was built.
func (b *Builder) Close() error { return os.RemoveAll(b.out) }

const buildPrefix = "build-"

// removeStale removes what tools that were killed left behind.
func removeStale(scratch string) error {
	entries, err := os.ReadDir(scratch)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(strings.TrimPrefix(e.Name(), buildPrefix))
		if err == nil && strings.HasPrefix(e.Name(), buildPrefix) && !alive(pid) {
			if err := os.RemoveAll(filepath.Join(scratch, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// near is a path as seen from where the person is, if that is shorter.
func near(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) {
			return rel
		}
	}
	return path
}
