package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// direct builds by calling the compiler and the linker itself, with the very
// commands that the go command would use: that saves finding out, each time,
// that nothing else has changed. It knows the packages as they were when it was
// prepared. Whatever is not the same kind of change as before, such as another
// import, is errIndirect: then the go command builds.
type direct struct {
	built    snapshot // what the archives were made of
	out      string
	env      []string
	units    []*unit // local packages, dependencies first
	archives map[string]string
	linkTail []string // lines of the linker's importcfg that name no archive
	link     []string // its command
	linkDir  string
	methods  map[string]bool // those that are linked by name
	count    int
	next     *ahead // the linker that waits for the next build; nil: none does
}

// mainPath is the path of package main.
func (d *direct) mainPath() string { return d.units[len(d.units)-1].path }

// unit is one local package.
type unit struct {
	path, dir string
	compile   []string          // its command; nil: it must be built by the go command
	cwd       string            // where that runs
	embedcfg  string            // content; "": none
	heads     map[string]string // by file: all of it that more than its own code depends on
	files     []string          // names in dir
	imports   []string          // of local packages
	foreign   bool              // a package that is not local depends on it
}

var errIndirect = errors.New("this change needs the go command")

// mostUnits is how many packages are compiled here, one after the other. More is
// work for the go command, which runs several compilers at once.
const mostUnits = 6

// prepare finds out how the package is built. It is to be called after a build
// that succeeded and returns nil where the package is not to be built this way.
func (b *Builder) prepare(ctx context.Context) (*direct, error) {
	if !b.plain {
		return nil, nil
	}
	b = b.gently()
	all, err := b.list(ctx, false)
	if err != nil {
		return nil, err
	}
	names, ok := methods(all)
	if ok {
		flag, err := writeMethods(b.out, all, names)
		if err != nil {
			return nil, err
		}
		if flag != "" {
			b.flags = append(slices.Clone(b.flags), flag)
		}
	}
	if all, err = b.list(ctx, true); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd := b.command(ctx, append(append([]string{"build", "-n", "-a", "-o", filepath.Join(b.out, "x")}, b.flags...), ".")...)
	cmd.Stderr = &out
	kill := apart(cmd)
	if err := cmd.Run(); err != nil {
		kill()
		return nil, err
	}
	d := &direct{out: b.out, env: cmd.Env, archives: map[string]string{}, methods: names}
	byPath := map[string]*unit{}
	for _, p := range all {
		if p.Export == "" && p.ImportPath != "unsafe" {
			return nil, fmt.Errorf("go list names no archive of %s", p.ImportPath)
		}
		d.archives[p.ImportPath] = p.Export
		if p.local() {
			u := &unit{path: p.ImportPath, dir: p.Dir, heads: map[string]string{}, files: slices.Clone(p.GoFiles)}
			for _, f := range p.GoFiles {
				if u.heads[f], err = head(filepath.Join(p.Dir, f)); err != nil {
					return nil, err
				}
			}
			for _, path := range p.Imports {
				if byPath[path] != nil {
					u.imports = append(u.imports, path)
				}
			}
			byPath[p.ImportPath] = u
			d.units = append(d.units, u)
			continue
		}
		for _, path := range p.Imports {
			if u := byPath[path]; u != nil {
				u.foreign = true
			}
		}
	}
	if len(d.units) == 0 || all[len(all)-1].Name != "main" {
		return nil, errIndirect
	}
	for _, p := range all {
		if u := byPath[p.ImportPath]; u != nil && len(p.CgoFiles)+len(p.SFiles)+len(p.SysoFiles) > 0 {
			u.foreign = true
		}
	}
	if err := d.read(out.String(), byPath, all[len(all)-1].ImportPath); err != nil {
		return nil, err
	}
	return d, nil
}

// read takes the commands out of what `go build -n -a` prints.
func (d *direct) read(script string, units map[string]*unit, mainPath string) error {
	dir := ""
	files := map[string]string{} // what the script writes
	lines := strings.Split(script, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "cd "):
			dir = unquote(strings.TrimPrefix(line, "cd "))
		case strings.HasPrefix(line, "cat >") && strings.Contains(line, "<< 'EOF'"):
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "cat >"), " ")
			var text strings.Builder
			for i++; i < len(lines) && !strings.HasSuffix(lines[i], "EOF"); i++ {
				text.WriteString(lines[i] + "\n")
			}
			if i < len(lines) {
				text.WriteString(strings.TrimSuffix(lines[i], "EOF"))
			}
			files[name] = text.String()
		default:
			args, ok := fields(line)
			if !ok {
				continue
			}
			var env []string
			for len(args) > 0 && isAssignment(args[0]) {
				env, args = append(env, args[0]), args[1:]
			}
			if len(args) == 0 {
				continue
			}
			switch strings.TrimSuffix(filepath.Base(args[0]), ".exe") {
			case "compile":
				path := argument(args, "-p")
				if path == "main" {
					path = mainPath
				}
				u := units[path]
				if u == nil {
					continue
				}
				u.cwd, u.embedcfg = dir, files[argument(args, "-embedcfg")]
				u.compile = args
			case "link":
				d.link, d.linkDir = args, dir
				d.env = append(d.env, env...)
				for line := range strings.Lines(files[argument(args, "-importcfg")]) {
					if !strings.HasPrefix(line, "packagefile ") {
						d.linkTail = append(d.linkTail, line)
					}
				}
			}
		}
	}
	if d.link == nil || argument(d.link, "-o") == "" {
		return errors.New("the go command does not say how it links")
	}
	for _, u := range units {
		if u.compile == nil || argument(u.compile, "-o") == "" {
			return errors.New("the go command does not say how it compiles " + u.path)
		}
	}
	return nil
}

// fields splits a line of shell as the go command prints it. It reports false
// for what it does not understand.
func fields(line string) (args []string, ok bool) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		var arg strings.Builder
		for line != "" && line[0] != ' ' {
			switch c := line[0]; c {
			case '\'', '"':
				end := strings.IndexByte(line[1:], c)
				if end < 0 {
					return nil, false
				}
				arg.WriteString(line[1 : 1+end])
				line = line[end+2:]
			case '\\', '|', '<', '>', '&', ';', '`':
				return nil, false
			default:
				arg.WriteByte(c)
				line = line[1:]
			}
		}
		args = append(args, arg.String())
	}
	return args, true
}

func unquote(s string) string {
	if args, ok := fields(s); ok && len(args) > 0 {
		return args[0]
	}
	return s
}

func isAssignment(arg string) bool {
	name, _, ok := strings.Cut(arg, "=")
	return ok && name != "" && !strings.ContainsAny(name, "/.-")
}

// argument is what follows a flag.
func argument(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// with returns args where what follows a flag is another value.
func with(args []string, flag, value string) []string {
	args = slices.Clone(args)
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		args[i+1] = value
	}
	return args
}

// head is the part of a file's content that decides how it is built: its package,
// its imports and what it says to the go command.
func head(path string) (string, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(f.Name.Name + "\n")
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return "", err
		}
		b.WriteString(path + "\n")
	}
	for line := range bytes.Lines(src) {
		line = bytes.TrimSpace(line)
		for _, prefix := range []string{"//go:build", "// +build", "//go:embed", "//go:debug", "//go:linkname", "//go:cgo", "#cgo", "// #cgo"} {
			if bytes.HasPrefix(line, []byte(prefix)) {
				b.Write(line)
				b.WriteByte('\n')
			}
		}
	}
	return b.String(), nil
}

// build builds what changed, and links it to path.
func (d *direct) build(ctx context.Context, b *Builder, changed []string, path string) error {
	affected := map[string]bool{}
	for _, file := range changed {
		u, err := d.affects(file)
		if err != nil {
			return err
		}
		affected[u.path] = true
	}
	n := 0
	for _, u := range d.units {
		for _, path := range u.imports {
			affected[u.path] = affected[u.path] || affected[path]
		}
		if affected[u.path] {
			if n++; u.foreign || n > mostUnits {
				return errIndirect
			}
		}
	}
	if n == 1 && affected[d.mainPath()] && d.next != nil {
		if done, err := d.linkAhead(ctx, b, path); done {
			return err
		}
	}
	d.stopAhead() // it has read packages as they were
	d.count++
	built := map[string]string{}
	drop := func() {
		for _, archive := range built {
			_ = os.Remove(archive)
		}
	}
	for i, u := range d.units {
		if !affected[u.path] {
			continue
		}
		archive := filepath.Join(d.out, fmt.Sprintf("package%d-%d.a", i, d.count))
		built[u.path] = archive
		if err := d.compile(ctx, b, u, archive, built); err != nil {
			drop()
			return err
		}
	}
	if err := d.linkTo(ctx, b, path, built); err != nil {
		drop()
		return err
	}
	d.take(built)
	return nil
}

// linkAhead builds package main with the linker that waits for it. It reports
// false where that linker failed.
func (d *direct) linkAhead(ctx context.Context, b *Builder, path string) (done bool, err error) {
	a, u := d.next, d.units[len(d.units)-1]
	if err := d.compile(ctx, b, u, a.main, nil); err != nil {
		_ = os.Remove(a.main)
		return true, err // it goes on waiting
	}
	d.next = nil
	err = a.finish(ctx)
	if err == nil {
		err = os.Rename(a.path, path)
	}
	if err != nil {
		_ = os.Remove(a.main)
		if ctx.Err() == nil {
			b.linker = "" // it is not to be relied on
		}
		return ctx.Err() != nil, ctx.Err()
	}
	d.take(map[string]string{u.path: a.main})
	return true, nil
}

// take makes archives the ones that later builds use.
func (d *direct) take(built map[string]string) {
	for pkg, archive := range built {
		if old := d.archives[pkg]; filepath.Dir(old) == d.out {
			_ = os.Remove(old)
		}
		d.archives[pkg] = archive
	}
}

// affects finds the package that a file belongs to.
func (d *direct) affects(file string) (*unit, error) {
	for _, u := range d.units {
		name := filepath.Base(file)
		switch {
		case filepath.Dir(file) == u.dir && slices.Contains(u.files, name):
			if h, err := head(file); err != nil || h != u.heads[name] || !d.knows(file) {
				return nil, errIndirect
			}
			return u, nil
		case u.embedcfg != "" && strings.Contains(u.embedcfg, strconv.Quote(file)):
			if _, err := os.Stat(file); err != nil {
				return nil, errIndirect
			}
			return u, nil
		}
	}
	return nil, errIndirect
}

// knows reports whether a file declares no method that is new.
func (d *direct) knows(file string) bool {
	source, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	names := map[string]bool{}
	collect(names, source)
	for name := range names {
		if !d.methods[name] {
			return false
		}
	}
	return true
}

func (d *direct) compile(ctx context.Context, b *Builder, u *unit, archive string, built map[string]string) error {
	cfg := archive + ".cfg"
	if err := os.WriteFile(cfg, d.importcfg(built, nil), 0o644); err != nil {
		return err
	}
	defer os.Remove(cfg)
	args := with(with(u.compile, "-o", archive), "-importcfg", cfg)
	if u.embedcfg != "" {
		embed := archive + ".embed"
		if err := os.WriteFile(embed, []byte(u.embedcfg), 0o644); err != nil {
			return err
		}
		defer os.Remove(embed)
		args = with(args, "-embedcfg", embed)
	}
	return d.run(ctx, b, u.cwd, args)
}

// linking is the linker's command that makes a program of the archives as built
// replaces them. What it reads them from, cfg, is to be removed afterwards.
func (d *direct) linking(path string, built map[string]string) (args []string, cfg string, err error) {
	cfg = path + ".cfg"
	args = with(with(d.link, "-o", path), "-importcfg", cfg)
	args[len(args)-1] = d.archives[d.mainPath()]
	if archive, ok := built[d.mainPath()]; ok {
		args[len(args)-1] = archive
	}
	return args, cfg, os.WriteFile(cfg, d.importcfg(built, d.linkTail), 0o644)
}

func (d *direct) linkTo(ctx context.Context, b *Builder, path string, built map[string]string) error {
	args, cfg, err := d.linking(path, built)
	if err != nil {
		return err
	}
	defer os.Remove(cfg)
	err = d.run(ctx, b, d.linkDir, args)
	var failed *BuildError
	if errors.As(err, &failed) {
		return errIndirect // the go command says it better, if it fails there too
	}
	return err
}

func (d *direct) importcfg(built map[string]string, tail []string) []byte {
	var cfg bytes.Buffer
	for path, archive := range d.archives {
		if a, ok := built[path]; ok {
			archive = a
		}
		if archive != "" {
			fmt.Fprintf(&cfg, "packagefile %s=%s\n", path, archive)
		}
	}
	for _, line := range tail {
		cfg.WriteString(line)
	}
	return cfg.Bytes()
}

func (d *direct) run(ctx context.Context, b *Builder, dir string, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = b.in(dir), d.env
	err := b.run(ctx, cmd)
	var failed *BuildError
	if errors.As(err, &failed) && len(failed.Errors()) == 0 || errors.As(err, &failed) && strings.Contains(failed.Output, "could not import") {
		return errIndirect
	}
	return err
}
