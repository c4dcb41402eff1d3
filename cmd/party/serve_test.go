//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/control"
)

// works runs a command to its end, which must be good.
func (r setup) works(t testing.TB, args ...string) string {
	t.Helper()
	p := r.start(t, args...)
	if code := p.wait(); code != 0 {
		t.Fatalf("party %s: exit status %d, %s", strings.Join(args, " "), code, p.err)
	}
	return p.out.String()
}

func TestDevServesItsSocket(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"short": "", "too long for a socket": strings.Repeat("d", 120)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top, err := os.MkdirTemp("", "party")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(top) })
			at := setup{dir: filepath.Join(top, dir)}
			below := setup{dir: filepath.Join(at.dir, "below")}
			if err := os.MkdirAll(below.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(at.dir, control.Name)
			p := at.dev(t, testServer(t))
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 || info.Mode().IsRegular() != (dir != "") {
				t.Errorf("%v, %v", info, err)
			}
			p.connect("test/lobby", "_pk=ada")
			if out := below.works(t, "rooms"); !strings.Contains(out, "test/lobby") {
				t.Errorf("rooms: %s", out)
			}

			// A second one in the same place leaves it to the first.
			q := at.dev(t, "--state", "another", testServer(t))
			q.out.line(t, "another party dev serves")
			if out := at.works(t, "rooms", "--json"); !strings.Contains(out, `"room":"test/lobby"`) {
				t.Errorf("rooms: %s", out)
			}
			q.interrupt()
			q.wait()
			at.works(t, "rooms")

			// What one that was killed has left is no obstacle, and no emulator.
			_ = p.cmd.Process.Kill()
			p.wait()
			if said := at.fails(t, exitFailed, "rooms"); !strings.Contains(said, "no emulator here: nobody serves") {
				t.Errorf("it says %q", said)
			}
			r := at.dev(t, testServer(t))
			at.works(t, "rooms")
			r.interrupt()
			r.wait()
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("%s is left", path)
			}
		})
	}
}

func TestDevEndsWhileSomebodyFollows(t *testing.T) {
	t.Parallel()
	p := setup{dir: t.TempDir()}.dev(t, "--socket", "s", testServer(t))
	f := setup{dir: p.dir}.start(t, "events", "-f", "--socket", "s")
	f.out.line(t, "serving")
	p.interrupt()
	if code := p.wait(); code != 0 {
		t.Errorf("dev: exit status %d", code)
	}
	if code := f.wait(); code != exitFailed || !strings.Contains(f.err.String(), "the emulator has ended") {
		t.Errorf("events: exit status %d, %s", code, f.err)
	}
}
