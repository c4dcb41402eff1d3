package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// listed is what the go command says of a package.
type listed struct {
	ImportPath, Name, Dir, Export, DefaultGODEBUG string
	Standard, Incomplete                          bool
	Module                                        *module
	GoFiles, CgoFiles, Imports                    []string
	SFiles, SysoFiles                             []string
	EmbedPatterns                                 []string
	Deps                                          []string
	Error                                         *struct{ Err string }
}

type module struct {
	Path, Dir, GoMod, Version string
	Main                      bool
	Replace                   *module
}

// local reports whether a person edits the package: it belongs to the main
// module, to one of the workspace, or to one that a directory replaces.
func (p *listed) local() bool {
	m := p.Module
	return !p.Standard && m != nil && (m.Main || m.Replace != nil && m.Replace.Version == "") && p.Dir != ""
}

// listFields are those of listed that are always asked for.
const listFields = "ImportPath,Name,Dir,Standard,Incomplete,Module,GoFiles,CgoFiles,Imports,SFiles,SysoFiles,EmbedPatterns,Error"

// list lists the package and all that it depends on, dependencies first.
func (b *Builder) list(ctx context.Context, export bool) ([]*listed, error) {
	args := []string{"list", "-e", "-deps", "-json=" + listFields}
	if export {
		args = []string{"list", "-export", "-deps", "-json=" + listFields + ",Export"}
	}
	cmd := b.command(ctx, append(append(args, b.flags...), ".")...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	kill := apart(cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			kill()
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("go list: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	var all []*listed
	for d := json.NewDecoder(&out); ; {
		p := &listed{}
		switch err := d.Decode(p); {
		case err == nil:
			all = append(all, p)
		case errors.Is(err, io.EOF):
			return all, nil
		default:
			return nil, fmt.Errorf("reading what go list says: %w", err)
		}
	}
}

// lister is the builder for asking what there is with C, which tells whether it
// is needed.
func (b *Builder) lister() *Builder {
	l := *b
	l.env = slices.DeleteFunc(slices.Clone(l.env), func(v string) bool { return v == withoutC })
	return &l
}

// needsC reports whether anything outside the standard library uses cgo.
func needsC(all []*listed) bool {
	return slices.ContainsFunc(all, func(p *listed) bool { return !p.Standard && len(p.CgoFiles) > 0 })
}

// inputs says which files the server is built from.
type inputs struct {
	packages []*listed // local ones, dependencies first
	single   []string  // such as go.mod
	embeds   []embed
	missing  []string // directories that packages are missing from
}

// embed is one pattern of //go:embed.
type embed struct {
	dir, pattern string
	hidden       bool // files that begin with . or _ count below it
}

func newInputs(all []*listed, work string) *inputs {
	in := &inputs{}
	roots := map[string]string{} // module path to directory
	mod := func(path string) {
		if path != "" && !slices.Contains(in.single, path) {
			in.single = append(in.single, path, strings.TrimSuffix(path, ".mod")+".sum")
		}
	}
	for _, p := range all {
		if !p.local() {
			continue
		}
		in.packages = append(in.packages, p)
		mod(p.Module.GoMod)
		if p.Module.Replace != nil {
			mod(p.Module.Replace.GoMod)
		}
		roots[p.Module.Path] = p.Module.Dir
		if p.Module.Main {
			if vendor := filepath.Join(p.Module.Dir, "vendor", "modules.txt"); !slices.Contains(in.single, vendor) {
				in.single = append(in.single, vendor)
			}
		}
		for _, pattern := range p.EmbedPatterns {
			rest, hidden := strings.CutPrefix(pattern, "all:")
			in.embeds = append(in.embeds, embed{p.Dir, filepath.FromSlash(rest), hidden})
		}
	}
	if work != "" && work != "off" {
		in.single = append(in.single, work, work+".sum")
	}
	for _, p := range all {
		if p.Standard || p.Error == nil || p.local() {
			continue
		}
		for path, dir := range roots {
			if rest, ok := strings.CutPrefix(p.ImportPath, path+"/"); ok {
				in.missing = append(in.missing, filepath.Join(dir, filepath.FromSlash(rest)))
			}
		}
	}
	return in
}

// directories are those to watch: of packages, of embedded and of single files,
// and those in which one of them would appear again.
func (in *inputs) directories() []string {
	set := map[string]bool{}
	add := func(dir string) {
		for !set[dir] {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				set[dir] = true
				return
			}
			parent := filepath.Dir(dir) // the nearest one that is there
			if parent == dir {
				return
			}
			dir = parent
		}
	}
	for _, p := range in.packages {
		add(p.Dir)
		for dir := p.Dir; inside(dir, p.Module.Dir) && dir != p.Module.Dir; {
			dir = filepath.Dir(dir)
			add(dir)
		}
	}
	for _, file := range in.single {
		if filepath.Base(filepath.Dir(file)) != "vendor" {
			add(filepath.Dir(file))
		}
	}
	for _, dir := range in.missing {
		add(dir)
	}
	for _, e := range in.embeds {
		add(e.base())
		e.walk(func(path string, isDir bool) {
			if isDir {
				add(path)
			} else {
				add(filepath.Dir(path))
			}
		})
	}
	all := make([]string, 0, len(set))
	for dir := range set {
		all = append(all, dir)
	}
	slices.Sort(all)
	return all
}

// inside reports whether path is dir or below it.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// base is the directory that holds everything that the pattern can match.
func (e embed) base() string {
	dir := filepath.Join(e.dir, e.pattern)
	if i := strings.IndexAny(e.pattern, `*?[`); i >= 0 {
		dir = filepath.Join(e.dir, filepath.Dir(e.pattern[:i]+"x"))
	} else if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	return dir
}

// walk names the files and directories that are embedded now.
func (e embed) walk(f func(path string, isDir bool)) {
	matches, _ := filepath.Glob(filepath.Join(e.dir, e.pattern))
	for _, m := range matches {
		_ = filepath.WalkDir(m, func(path string, d os.DirEntry, err error) error {
			name := filepath.Base(path)
			switch {
			case err != nil:
				return nil //nolint:nilerr // it has just gone
			case path != m && !e.hidden && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")):
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			f(path, d.IsDir())
			return nil
		})
	}
}
