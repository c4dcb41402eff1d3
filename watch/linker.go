package watch

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// Go's linker begins with reading the symbols of all packages, which takes it
// nearly half of its time, and all but package main are known long before
// somebody saves a file. So it is built once more from its source, with a change
// that lets it read those and then wait for package main. Where its source is not
// what the change was made for, or is not there, nothing is lost but time.

// earlyVariable tells the changed linker to read ahead. Without it, it works as
// the one it was made of.
const earlyVariable = "PARTY_LINK_EARLY"

// changeable are the releases of Go whose linker the change has been tested with.
// A later one may hold the same lines and mean something else by them.
var changeable = regexp.MustCompile(`^go1\.26(\.\d+)?$`)

// edits are the change, by file below cmd/link/internal. Each text to be replaced
// must be there once.
var edits = map[string][][2]string{
	"ld/lib.go": {{
		`	// ctxt.Library grows during the loop, so not a range loop.
	i := 0
`, `	ctxt.loadEarly()

	// ctxt.Library grows during the loop, so not a range loop.
	i := 0
	if ctxt.loader.Early() {
		i = len(ctxt.Library)
	}
`}, {
		`func loadinternal(`, `// loadEarly loads all packages but main's, and then waits for a byte on standard
// input before it loads that one.
func (ctxt *Link) loadEarly() {
	if os.Getenv("` + earlyVariable + `") == "" || len(ctxt.Library) != 1 {
		return
	}
	main := ctxt.Library[0]
	ctxt.Library = nil
	var names []string
	for name, file := range ctxt.PackageFile {
		if file != main.File {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		loadinternal(ctxt, name)
	}
	for _, lib := range ctxt.Library {
		loadobjfile(ctxt, lib)
	}
	ctxt.loader.LoadEarly()
	if n, _ := os.Stdin.Read(make([]byte, 1)); n == 0 {
		Exitf("nobody needs this link")
	}
	ctxt.Library = append([]*sym.Library{main}, ctxt.Library...)
	loadobjfile(ctxt, main)
}

func loadinternal(`}},
	"loader/loader.go": {{
		`	npkgsyms    int // number of package symbols, for accounting
`, `	early     *loadState
	earlyObjs int

	npkgsyms    int // number of package symbols, for accounting
`}, {
		`	// Index 0 is invalid for symbols.
	l.objSyms = make([]objSym, 1, symSize)

	st := loadState{
		l:            l,
		hashed64Syms: make(map[uint64]symAndSize, hashed64Size),
		hashedSyms:   make(map[goobj.HashType]symAndSize, hashedSize),
	}

	for _, r := range l.objs[goObjStart:] {
		st.preloadSyms(r, pkgDef)
	}
	l.npkgsyms = l.NSym()
	for _, r := range l.objs[goObjStart:] {
		st.preloadSyms(r, hashed64Def)
`, `	var st loadState
	from := l.objs[goObjStart:]
	if l.early != nil {
		st, from = *l.early, l.objs[l.earlyObjs:]
	} else {
		// Index 0 is invalid for symbols.
		l.objSyms = make([]objSym, 1, symSize)

		st = loadState{
			l:            l,
			hashed64Syms: make(map[uint64]symAndSize, hashed64Size),
			hashedSyms:   make(map[goobj.HashType]symAndSize, hashedSize),
		}
	}

	for _, r := range from {
		st.preloadSyms(r, pkgDef)
	}
	l.npkgsyms = l.NSym()
	for _, r := range from {
		st.preloadSyms(r, hashed64Def)
`}, {
		`	for _, vr := range st.linknameVarRefs {
`, `	if arch == nil {
		l.early, l.earlyObjs = &st, len(l.objs)
		return
	}
	for _, vr := range st.linknameVarRefs {
`}, {
		`func loadObjRefs(`, `// LoadEarly loads the symbols of the objects that are there.
func (l *Loader) LoadEarly() { l.LoadSyms(nil) }

// Early reports whether LoadEarly was called.
func (l *Loader) Early() bool { return l.early != nil }

func loadObjRefs(`}},
}

// errNoLinker is why there is no linker that reads ahead.
var errNoLinker = errors.New("this version of Go's linker cannot be changed")

// findLinker returns the changed linker for the toolchain of the user's module,
// where it has been built; missing is the path where it would be.
func (b *Builder) findLinker(ctx context.Context) (path, missing string) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", ""
	}
	version, err := b.Env(ctx, "GOVERSION")
	if err != nil || !changeable.MatchString(version) {
		return "", ""
	}
	change, err := json.Marshal(edits)
	if err != nil {
		return "", ""
	}
	path = filepath.Join(cache, "party", fmt.Sprintf("link-%s-%s-%.6x", version, runtime.GOARCH, sha256.Sum256(change)))
	if filepath.Separator == '\\' {
		path += ".exe"
	}
	if info, err := os.Stat(path); err != nil {
		return "", path
	} else if info.Size() == 0 { // it could not be built
		return "", ""
	}
	return path, ""
}

// buildLinker builds the changed linker. Where that is not possible an empty file
// says so, so that it is not tried again.
func (b *Builder) buildLinker(ctx context.Context, path string) error {
	err := b.tryLinker(ctx, path)
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, os.WriteFile(path, nil, 0o644))
	}
	return err
}

func (b *Builder) tryLinker(ctx context.Context, path string) error {
	root, err := b.Env(ctx, "GOROOT")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.out, "linker")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	changed := map[string]string{}
	for file, changes := range edits {
		from := filepath.Join(root, "src", "cmd", "link", "internal", filepath.FromSlash(file))
		source, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		text := string(source)
		for _, c := range changes {
			if strings.Count(text, c[0]) != 1 {
				return errNoLinker
			}
			text = strings.Replace(text, c[0], c[1], 1)
		}
		changed[from] = text
	}
	flag, err := overlay(dir, changed)
	if err != nil {
		return err
	}
	built := filepath.Join(dir, "link")
	gentle := b.gently()
	cmd := gentle.command(ctx, "build", "-trimpath", flag, "-o", built, "cmd/link")
	cmd.Env = append(cmd.Env, "GOFLAGS=", "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	if err := gentle.run(ctx, cmd); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return move(built, path)
}

// move puts a file in its place at once, also from another file system.
func move(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(to), "link")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has moved
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Chmod(0o755), f.Close(), os.Rename(f.Name(), to))
}
