package watch

import (
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// snapshot is what the files are that the server is built from. Two builds of
// equal snapshots are equal.
type snapshot map[string]uint64 // path to a hash of the content

var seed = maphash.MakeSeed()

// stamp is what a file looked like when it was last read.
type stamp struct {
	size int64
	mod  time.Time
	hash uint64
}

// settled is how old a file must be for its size and time to say that it has not
// changed: file systems keep times no finer than this.
const settled = 2 * time.Second

// scanner takes snapshots. It reads again what looks changed.
type scanner struct{ stamps map[string]stamp }

func newScanner() *scanner { return &scanner{stamps: map[string]stamp{}} }

// scan takes a snapshot of in.
func (s *scanner) scan(in *inputs) snapshot {
	snap := snapshot{}
	add := func(path string) {
		if _, done := snap[path]; done {
			return
		}
		if h, ok := s.hash(path); ok {
			snap[path] = h
		}
	}
	for _, p := range in.packages {
		entries, _ := os.ReadDir(p.Dir)
		for _, e := range entries {
			if !e.IsDir() && isSource(e.Name()) {
				add(filepath.Join(p.Dir, e.Name()))
			}
		}
	}
	for _, dir := range in.missing {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !e.IsDir() && isSource(e.Name()) {
				add(filepath.Join(dir, e.Name()))
			}
		}
	}
	for _, path := range in.single {
		add(path)
	}
	for _, e := range in.embeds {
		e.walk(func(path string, isDir bool) {
			if !isDir {
				add(path)
			}
		})
	}
	for path := range s.stamps {
		if _, still := snap[path]; !still {
			delete(s.stamps, path)
		}
	}
	return snap
}

// built takes the snapshot of in that a build was made of which began at a time,
// when before had been looked at. Files may have changed behind the compiler's
// back: those in before count as they were then, and of the others those that
// are younger than the build are left out, so that they are built again.
func (s *scanner) built(in *inputs, before snapshot, began time.Time) snapshot {
	snap := s.scan(in)
	for path := range snap {
		if h, known := before[path]; known {
			snap[path] = h
		} else if s.stamps[path].mod.After(began) {
			delete(snap, path)
		}
	}
	return snap
}

func (s *scanner) hash(path string) (uint64, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	old, known := s.stamps[path]
	if known && old.size == info.Size() && old.mod.Equal(info.ModTime()) && time.Since(old.mod) > settled {
		return old.hash, true
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	h := maphash.Bytes(seed, b)
	s.stamps[path] = stamp{size: info.Size(), mod: info.ModTime(), hash: h}
	return h, true
}

// sources are the endings of what the go command builds.
var sources = []string{".go", ".s", ".S", ".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx", ".m", ".f", ".F", ".for", ".f90", ".sx", ".swig", ".swigcxx", ".syso"}

// isSource reports whether a file of this name in a package's directory may be a
// part of it. Editors' copies are not, and neither are tests.
func isSource(name string) bool {
	return !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "_") && !strings.HasPrefix(name, "#") &&
		!strings.HasSuffix(name, "_test.go") && slices.Contains(sources, filepath.Ext(name))
}

// diff names the files in which two snapshots differ, sorted.
func (s snapshot) diff(other snapshot) []string {
	var paths []string
	for path, h := range s {
		if have, ok := other[path]; !ok || have != h {
			paths = append(paths, path)
		}
	}
	for path := range other {
		if _, ok := s[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func (s snapshot) equal(other snapshot) bool {
	if len(s) != len(other) {
		return false
	}
	for path, h := range s {
		if have, ok := other[path]; !ok || have != h {
			return false
		}
	}
	return true
}
