package watch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// directly prepares a program that prints a word to be built directly.
func directly(t *testing.T) (*Builder, *direct, string) {
	t.Helper()
	dir := outside(t, map[string]string{"main.go": printing("one")})
	b, err := NewBuilder(dir, filepath.Join(dir, ".party"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	d, err := b.prepare(t.Context())
	if err != nil || d == nil {
		t.Fatalf("%v, %v", d, err)
	}
	t.Cleanup(d.drop)
	return b, d, dir
}

func printing(word string) string {
	return "package main\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n\n\t\"github.com/goparty/party\"\n)\n\nvar _ = party.Main\nvar _ http.Handler\n\nfunc main() { fmt.Print(\"" + word + "\") }\n"
}

// says builds a program directly and asserts what it prints.
func says(t *testing.T, b *Builder, d *direct, dir, word string) {
	t.Helper()
	write(t, dir, map[string]string{"main.go": printing(word)})
	path := b.next()
	if err := d.build(t.Context(), b, []string{filepath.Join(dir, "main.go")}, path); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path).Output()
	if err != nil || string(out) != word {
		t.Errorf("it says %q, %v, want %q", out, err, word)
	}
}

func TestLinkingAhead(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a linker")
	}
	if v := runtime.Version(); !changeable.MatchString(v) {
		t.Skipf("nobody has looked at the linker of %s yet: see changeable", v)
	}
	b, d, dir := directly(t)
	linker := filepath.Join(t.TempDir(), "link")
	if err := b.buildLinker(t.Context(), linker); err != nil {
		t.Skipf("this toolchain's linker cannot be changed: %v", err)
	}
	b.linker = linker
	says(t, b, d, dir, "two")
	for _, word := range []string{"three", "four"} {
		d.readAhead(b)
		if d.next == nil {
			t.Fatal("no linker waits")
		}
		write(t, dir, map[string]string{"main.go": strings.Replace(printing("x"), `"x"`, "missing", 1)})
		var failed *BuildError
		if err := d.build(t.Context(), b, []string{filepath.Join(dir, "main.go")}, b.next()); !errors.As(err, &failed) || len(failed.Errors()) != 1 {
			t.Errorf("%v", err)
		}
		if d.next == nil {
			t.Fatal("the linker does not wait on after code that does not compile")
		}
		says(t, b, d, dir, word)
		if d.next != nil || b.linker == "" {
			t.Error("the linker that waited was not used")
		}
	}
	// What becomes of one that nobody needs, or that was killed.
	d.readAhead(b)
	if err := d.next.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	says(t, b, d, dir, "five")
	b.linker = linker
	d.readAhead(b)
	d.drop()
	if left, _ := filepath.Glob(filepath.Join(b.out, "[am]*")); len(left) > 2 { // methods.go, overlay.json is another letter
		t.Errorf("%v is left", left)
	}
}

func TestLinkersThatCannotBeUsed(t *testing.T) {
	b, d, dir := directly(t)
	for name, path := range map[string]string{"none": filepath.Join(dir, "nothing"), "broken": "/bin/false"} {
		t.Run(name, func(t *testing.T) {
			b.linker = path
			d.readAhead(b)
			says(t, b, d, dir, name)
		})
	}
	if _, missing := b.findLinker(t.Context()); missing != "" {
		if _, err := os.Stat(missing); err == nil {
			t.Errorf("%s is there and said to be missing", missing)
		}
	}
}
