package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// short is a directory whose paths are short enough for sockets.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func dials(path string) bool {
	c, err := Dial(path)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func TestOnlyTheOwnerMayOpenTheSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes here")
	}
	dir := short(t)
	deep := filepath.Join(dir, strings.Repeat("d", 60), strings.Repeat("e", 60))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"short": filepath.Join(dir, "s"), "long": filepath.Join(deep, "dev.sock")} {
		t.Run(name, func(t *testing.T) {
			ln := listen(t, path)
			real, err := resolve(path)
			if err != nil {
				t.Fatal(err)
			}
			if (real == path) != (name == "short") || len(real) > maxPath {
				t.Errorf("%s is %s", path, real)
			}
			for _, file := range []string{path, real} {
				info, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				if mode := info.Mode().Perm(); mode != 0o600 {
					t.Errorf("%s has mode %o", file, mode)
				}
			}
			if !dials(path) {
				t.Error("nobody answers")
			}
			if err := ln.Close(); err != nil {
				t.Error(err)
			}
			for _, file := range []string{path, real, path + suffix} {
				if _, err := os.Lstat(file); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", file, err)
				}
			}
			if name == "long" {
				if _, err := os.Stat(filepath.Dir(real)); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", filepath.Dir(real), err)
				}
			}
		})
	}
}

func TestAStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	dir := short(t)
	deep := filepath.Join(dir, strings.Repeat("d", 120))
	if err := os.Mkdir(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"short": filepath.Join(dir, "s"), "long": filepath.Join(deep, "s")} {
		t.Run(name, func(t *testing.T) {
			first := listen(t, path)
			if _, err := Listen(path); !errors.Is(err, ErrLive) || !strings.Contains(err.Error(), path) {
				t.Errorf("a second one: %v", err)
			}
			if !dials(path) {
				t.Error("the first one is gone")
			}
			// As a process leaves it that is killed: the file stays.
			_ = first.(*listener).Listener.Close()
			if dials(path) {
				t.Error("somebody answers")
			}
			second := listen(t, path)
			if !dials(path) {
				t.Error("nobody answers")
			}
			// The first one's end does not take the second one's file.
			_ = first.Close()
			if !dials(path) {
				t.Error("the second one is gone")
			}
			_ = second.Close()
		})
	}
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	dir := short(t)
	path := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(path, []byte("dear diary"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "dear diary" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Listen(dir); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("%v", err)
	}
	for _, path := range []string{path, filepath.Join(dir, "missing")} {
		if _, err := Dial(path); err == nil {
			t.Errorf("%s was reached", path)
		}
	}
}

func TestFindWalksUp(t *testing.T) {
	root := short(t)
	deep := filepath.Join(root, "a", "b", "c")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(deep); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "party dev") {
		t.Errorf("%v", err)
	}
	make := func(dir string) string {
		t.Helper()
		path := filepath.Join(dir, Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		listen(t, path)
		return path
	}
	upper := make(root)
	if got, err := Find(deep); err != nil || got != upper {
		t.Errorf("%s, %v", got, err)
	}
	lower := make(filepath.Join(root, "a", "b"))
	if got, err := Find(deep); err != nil || got != lower {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := Find(filepath.Join(root, "a")); err != nil || got != upper {
		t.Errorf("%s, %v", got, err)
	}
}
