// Package watch turns a user's package into running code: it builds the package
// with its own module and toolchain and loads the result into an emulator.
package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Tag is the build constraint that makes a program a plugin.
const Tag = "partyplugin"

const modulePath = "github.com/goparty/party"

// Builder builds one package, again and again.
type Builder struct {
	dir   string // of the package, absolute
	out   string // directory of what is built, removed by Close
	tags  string // the user's own
	flags []string
	count int
}

// NewBuilder prepares to build the package in dir. What it builds goes to a
// directory of its own below scratch. The error of a directory that holds no
// server says what it holds.
func NewBuilder(dir, scratch string) (*Builder, error) {
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
	goflags, err := exec.Command("go", "env", "GOFLAGS").Output()
	if err != nil {
		return nil, fmt.Errorf("the go command does not run: %w; install Go and put it on PATH", err)
	}
	b.setFlags(splitFlags(string(goflags)))
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
func (b *Builder) setFlags(goflags []string) {
	linkerFlags := false
	for _, f := range goflags {
		name, value, _ := strings.Cut(strings.TrimLeft(f, "-"), "=")
		switch name {
		case "tags":
			b.tags = strings.Join(strings.Fields(value), ",") // they may be split by spaces
		case "ldflags":
			linkerFlags = true
		}
	}
	tags := Tag
	if b.tags != "" {
		tags = b.tags + "," + Tag
	}
	b.flags = []string{"-tags", tags, "-buildvcs=false"}
	if !linkerFlags {
		b.flags = append(b.flags, "-ldflags=-w") // no debugger needs it; linking is most of a build
	}
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
	ctx.BuildTags = append(strings.Split(b.tags, ","), Tag)
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

// Build builds the package and returns the program's path. The earlier ones
// stay until Close.
func (b *Builder) Build(ctx context.Context) (string, error) {
	b.count++
	path := filepath.Join(b.out, "generation"+strconv.Itoa(b.count))
	if filepath.Separator == '\\' {
		path += ".exe"
	}
	args := append([]string{"build", "-o", path}, b.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = b.dir
	kill := apart(cmd)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		kill()
		return "", ctx.Err()
	}
	if err == nil {
		return path, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "", fmt.Errorf("running the go command: %w", err)
	}
	return "", &BuildError{b.readable(out.String())}
}

// position finds a file at the start of a compiler's line.
var position = regexp.MustCompile(`(?m)^((?:\.{0,2}/)?[^\s:#][^\s:]*\.go)(:\d+)`)

// readable makes the compiler's file names relative to where the person is, so
// that terminals can open them.
func (b *Builder) readable(out string) string {
	wd, err := os.Getwd()
	if err != nil {
		return strings.TrimSpace(out)
	}
	out = position.ReplaceAllStringFunc(out, func(s string) string {
		m := position.FindStringSubmatch(s)
		file := m[1]
		if !filepath.IsAbs(file) {
			file = filepath.Join(b.dir, file)
		}
		if rel, err := filepath.Rel(wd, file); err == nil && len(rel) < len(file) {
			file = rel
		}
		return file + m[2]
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
