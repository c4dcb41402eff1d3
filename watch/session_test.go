package watch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/goparty/party/emulator/inspect"
)

func TestSessionFollowsEveryKindOfChange(t *testing.T) {
	dir := outside(t, map[string]string{"main.go": answering("", `"one"`), ".env": "WHO=nobody\n"})
	w := start(t, dir, func(c *Config) { c.EnvFile, c.EnvOptional = filepath.Join(dir, ".env"), true })
	if got := w.get(); got != "one" {
		t.Fatalf("got %q", got)
	}
	w.settled()
	direct := w.builder.direct != nil
	if done := w.answers("two", map[string]string{"main.go": answering("", `"two"`)}); direct == (done.How == "go build") {
		t.Errorf("built by %s", done.How)
	}

	// A failed build says where, and the next good save recovers.
	generation := w.config.Emulator.Generation()
	write(t, dir, map[string]string{"main.go": answering("", `missing`)})
	failed := await[*inspect.BuildFailed](w, nil)
	if len(failed.Errors) != 1 || failed.Errors[0].Line == 0 || failed.Errors[0].Column == 0 || !strings.HasSuffix(failed.Errors[0].File, "main.go") ||
		failed.Errors[0].Text != "undefined: missing" || failed.Generation != generation {
		t.Errorf("%+v", failed)
	}
	if got := w.get(); got != "two" {
		t.Errorf("got %q after a failed build", got)
	}
	write(t, dir, map[string]string{"main.go": answering("", `"two"`)}) // undone: nothing to build
	if e := await[*inspect.FilesChanged](w, nil); !e.Same {
		t.Errorf("%+v", e)
	}
	w.answers("three", map[string]string{"main.go": answering("", `"three"`)})
	if got := w.config.Emulator.Generation(); got != generation+1 {
		t.Errorf("generation %d after %d: a failed build took a number", got, generation)
	}
	if done := w.answers("two", map[string]string{"main.go": answering("", `"two"`)}); !strings.Contains(done.How, "earlier") {
		t.Errorf("the same content again was built by %s", done.How)
	}

	// Another import, another package, its removal, another name of a file.
	w.answers("ONE", map[string]string{"main.go": answering("strings", `strings.ToUpper("one")`)})
	w.answers("part", map[string]string{
		"part/part.go": "package part\n\nfunc Text() string { return \"part\" }\n",
		"main.go":      answering("example.com/outside/part", `part.Text()`),
	})
	w.settled()
	w.answers("other part", map[string]string{"part/part.go": "package part\n\nfunc Text() string { return \"other part\" }\n"})
	write(t, dir, map[string]string{"part": ""})
	if e := await[*inspect.BuildFailed](w, nil); !strings.Contains(e.Output, "example.com/outside/part") {
		t.Errorf("%+v", e)
	}
	w.answers("it is back", map[string]string{"part/part.go": "package part\n\nfunc Text() string { return \"it is back\" }\n"})
	w.answers("alone", map[string]string{"part": "", "main.go": answering("", `"alone"`)})
	if err := os.Rename(filepath.Join(dir, "main.go"), filepath.Join(dir, "server.go")); err != nil {
		t.Fatal(err)
	}
	await[*inspect.Swapped](w, nil)
	if got := w.get(); got != "alone" {
		t.Errorf("got %q", got)
	}
	// A directory that the code imports before it is there.
	write(t, dir, map[string]string{"server.go": answering("example.com/outside/late", `late.Text`)})
	await[*inspect.BuildFailed](w, nil)
	w.answers("late", map[string]string{"late/late.go": "package late\n\nconst Text = \"late\"\n"})

	// A dependency that a directory replaces.
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	w.answers("theirs", map[string]string{
		"their/go.mod": "module example.com/their\n\ngo 1.26.0\n", "their/their.go": "package their\n\nfunc Text() string { return \"theirs\" }\n",
		"go.mod":    string(mod) + "\nrequire example.com/their v0.0.0\n\nreplace example.com/their => ./their\n",
		"server.go": answering("example.com/their", `their.Text()`),
	})
	w.answers("theirs too", map[string]string{"their/their.go": "package their\n\nfunc Text() string { return \"theirs too\" }\n"})

	// What is embedded, and what the environment says.
	embedding := strings.Replace(answering("embed", `all()`), "type Echo", `//go:embed texts
var texts embed.FS

func all() (s string) {
	entries, _ := texts.ReadDir("texts")
	for _, e := range entries {
		b, _ := texts.ReadFile("texts/" + e.Name())
		s += string(b)
	}
	return s
}

type Echo`, 1)
	w.answers("a", map[string]string{"server.go": embedding, "texts/a": "a"})
	w.settled()
	w.answers("A", map[string]string{"texts/a": "A"})
	w.answers("AB", map[string]string{"texts/b": "B"})
	w.answers("nobody", map[string]string{"server.go": strings.Replace(answering("", `e.Env("WHO")`), "", "", 1)})
	write(t, dir, map[string]string{".env": "WHO=somebody\n"})
	await[*inspect.Swapped](w, nil)
	if got := w.get(); got != "somebody" {
		t.Errorf("got %q", got)
	}
	write(t, dir, map[string]string{".env": "no line of an environment\n"})
	if e := await[*inspect.ReloadFailed](w, nil); !strings.Contains(e.Reason, ".env") {
		t.Errorf("%+v", e)
	}
	w.answers("somebody", map[string]string{".env": "WHO=somebody\nMORE=1\n"})

	// Code that does not start.
	write(t, dir, map[string]string{"server.go": answering("", `"x"`) + "\nfunc init() { panic(\"no luck\") }\n"})
	if e := await[*inspect.ReloadFailed](w, nil); !strings.Contains(e.Reason, "no luck") {
		t.Errorf("%+v", e)
	}
	if got := w.get(); got != "somebody" {
		t.Errorf("got %q", got)
	}
	w.answers("last", map[string]string{"server.go": answering("", `"last"`)})
	if err := w.Reload(t.Context()); err != nil {
		t.Error(err)
	}
}

// Builds that are fast know by name which methods rooms can call.
func TestRoomsCallNewMethods(t *testing.T) {
	calling := func(method, declared, answer string) string {
		return fmt.Sprintf(`package main

import (
	"context"
	"net/http"

	"github.com/goparty/party"
)

type Echo struct{ party.Server }

func (e *Echo) OnRequest(w http.ResponseWriter, r *http.Request) {
	s, err := party.ServerByName(r.Context(), "Echo", "other")
	if err != nil {
		panic(err)
	}
	text, err := party.Call[string](r.Context(), s, %q)
	if err != nil {
		text = err.Error()
	}
	_, _ = w.Write([]byte(text))
}

func (e *Echo) %s(context.Context) (string, error) { return %q, nil }

func main() {
	party.Main(party.App{Servers: party.Servers{"Echo": party.ClassOf[Echo](party.Options{Hibernate: true})}})
}
`, method, declared, answer)
	}
	dir := outside(t, map[string]string{"main.go": calling("First", "First", "one")})
	w := start(t, dir)
	if got := w.get(); got != "one" {
		t.Errorf("got %q", got)
	}
	w.settled()
	if done := w.answers("two", map[string]string{"main.go": calling("First", "First", "two")}); done.How == "go build" {
		t.Error("the way that is to be tested was not gone")
	}
	w.answers("three", map[string]string{"main.go": calling("Second", "Second", "three")})
	w.settled()
	w.answers("four", map[string]string{"main.go": calling("Second", "Second", "four")})
	write(t, dir, map[string]string{"main.go": calling("Third", "Second", "five")})
	await[*inspect.Swapped](w, nil)
	if got := w.get(); !strings.Contains(got, "no method Third") {
		t.Errorf("got %q", got)
	}
}

func TestCodeThatNeedsC(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("there is no gcc")
	}
	const c = "package c\n\n// static int add(int a, int b) { return a + b; }\nimport \"C\"\n\nfunc Add(a, b int) int { return int(C.add(C.int(a), C.int(b))) }\n"
	dir := outside(t, map[string]string{"main.go": answering("", `"without"`)})
	w := start(t, dir)
	w.answers("5", map[string]string{"c/c.go": c, "main.go": answering("strconv example.com/outside/c", `strconv.Itoa(c.Add(2, 3))`)})
	w.settled()
	w.answers("7", map[string]string{"main.go": answering("strconv example.com/outside/c", `strconv.Itoa(c.Add(3, 4))`)})
	w.answers("-1", map[string]string{"c/c.go": strings.Replace(c, "a + b", "a - b", 1)})
}

func TestWorkspaces(t *testing.T) {
	dir := outside(t, map[string]string{"main.go": answering("example.com/beside", `beside.Text`)})
	beside, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, beside, map[string]string{"go.mod": "module example.com/beside\n\ngo 1.26.0\n", "beside.go": "package beside\n\nconst Text = \"one\"\n"})
	write(t, dir, map[string]string{"go.work": "go 1.26.0\n\nuse .\nuse " + strconv.Quote(beside) + "\n"})
	w := start(t, dir)
	if got := w.get(); got != "one" {
		t.Errorf("got %q", got)
	}
	w.settled()
	write(t, beside, map[string]string{"beside.go": "package beside\n\nconst Text = \"two\"\n"})
	await[*inspect.Swapped](w, nil)
	if got := w.get(); got != "two" {
		t.Errorf("got %q", got)
	}
}

func TestSessionBuildsNothingWhereNothingChanged(t *testing.T) {
	dir := outside(t, map[string]string{"main.go": answering("", `"one"`)})
	w := start(t, dir)
	builds := count[*inspect.BuildStarted](w)
	main := filepath.Join(dir, "main.go")
	same, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		"main.go": string(same), "main_test.go": "package main\n", "notes.txt": "x", ".#main.go": "broken", "main.go~": "broken",
		"testdata/x.go": "broken", ".party/y.go": "broken", "_later.go": "broken", ".main.go.swp": "broken",
	})
	if err := os.Chmod(main, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(main, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	// As editors save: a new file takes the place of the old one.
	write(t, dir, map[string]string{"main.go.new": answering("", `"two"`)})
	if err := os.Rename(main, main+"~"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(main+".new", main); err != nil {
		t.Fatal(err)
	}
	await[*inspect.Swapped](w, nil)
	if got := w.get(); got != "two" {
		t.Errorf("got %q", got)
	}
	if n := count[*inspect.BuildDone](w) + count[*inspect.BuildFailed](w) - builds; n != 1 {
		t.Errorf("%d builds", n)
	}
}

func TestAChangeDuringABuildEndsIt(t *testing.T) {
	dir := outside(t, map[string]string{"main.go": answering("", `"one"`)})
	w := start(t, dir)
	w.settled()
	write(t, dir, map[string]string{"main.go": answering("", `"two"`)})
	await[*inspect.BuildStarted](w, nil)
	write(t, dir, map[string]string{"main.go": answering("", `"three"`)})
	await[*inspect.BuildCanceled](w, nil)
	await[*inspect.Swapped](w, nil)
	if got := w.get(); got != "three" || w.config.Emulator.Generation() != 2 {
		t.Errorf("got %q, generation %d", got, w.config.Emulator.Generation())
	}
}

// A build that ends early for files that turn out to be as they were has still to
// be made.
func TestABuildThatWasEndedBeginsAgain(t *testing.T) {
	w := start(t, outside(t, map[string]string{"main.go": answering("", `"one"`)}))
	write(t, w.dir, map[string]string{"main.go": answering("strings", `strings.ToLower("TWO")`)})
	await[*inspect.BuildStarted](w, nil)
	w.interrupt()
	await[*inspect.BuildCanceled](w, nil)
	w.Session.mu.Lock()
	watcher := w.watcher
	w.Session.mu.Unlock()
	watcher.look()
	await[*inspect.Swapped](w, nil)
	if got := w.get(); got != "two" {
		t.Errorf("got %q", got)
	}
}

// Whoever saves while the go command is asked what a build was made of has saved
// behind what was compiled.
func TestAChangeBehindTheCompilerIsBuilt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("puts a shell script in the place of the go command")
	}
	dir := outside(t, map[string]string{"server.go": answering("", `"one"`)})
	w := start(t, dir)
	w.settled()

	command, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	bin, late := t.TempDir(), filepath.Join(t.TempDir(), "late")
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = list ] && [ -e '%s' ]; then mv '%s' '%s'; fi\nexec '%s' \"$@\"\n",
		late, late, filepath.Join(dir, "server.go"), command)
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if err := os.WriteFile(late, []byte(answering("strings", `strings.ToLower("LATE")`)), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"server.go": answering("strings", `strings.ToUpper("two")`)})
	for {
		await[*inspect.Swapped](w, nil)
		if w.get() == "late" {
			return
		}
	}
}

// How long a burst must be over is asserted where the clock is the test's
// (TestWatcherWaitsUntilFilesAreQuiet); here files are not looked at before it is.
func TestManyFilesAreOneBuild(t *testing.T) {
	dir := outside(t, map[string]string{"main.go": answering("", `"one"`)})
	w := start(t, dir)
	files := map[string]string{"main.go": answering("strconv", `strconv.Itoa(c199)`)}
	for i := range 200 {
		files[fmt.Sprintf("f%d.go", i)] = fmt.Sprintf("package main\n\nconst c%d = %d\n", i, i)
	}
	w.busy.Lock()
	write(t, dir, files)
	w.busy.Unlock()
	await[*inspect.Swapped](w, nil)
	if got := w.get(); got != "199" {
		t.Errorf("got %q", got)
	}
	if e := w.find(func(e *inspect.FilesChanged) bool { return true }); len(e) != 1 || e[0].Count != len(files) {
		t.Errorf("the changes are %+v, want one of %d files", e, len(files))
	}
	if n := count[*inspect.Swapped](w); n != 1 {
		t.Errorf("%d swaps", n)
	}
}

func TestFilesAreLookedAtWhereTheyCannotBeWatched(t *testing.T) {
	for name, open := range map[string]func() (*fsnotify.Watcher, error){
		"no watcher": func() (*fsnotify.Watcher, error) { return nil, os.NewSyscallError("inotify_init1", syscall.EMFILE) },
	} {
		t.Run(name, func(t *testing.T) {
			openNotifier = open
			defer func() { openNotifier = fsnotify.NewWatcher }()
			dir := outside(t, map[string]string{"main.go": answering("", `"one"`)})
			w := start(t, dir)
			if e := await(w, func(e *inspect.Log) bool { return e.Level == "WARN" }); !strings.Contains(e.Text, "limit") || !strings.Contains(e.Text, "every") {
				t.Errorf("%+v", e)
			}
			w.answers("two", map[string]string{"main.go": answering("", `"two"`)})
		})
	}
}

func TestDirectoriesToWatch(t *testing.T) {
	dir := outside(t, map[string]string{
		"cmd/server/main.go":      strings.Replace(answering("embed example.com/outside/lib/a", `a.Text`), "type Echo", "//go:embed static/*.css all:whole\nvar f embed.FS\n\nvar _ = f\n\ntype Echo", 1),
		"cmd/server/static/x.css": "x", "cmd/server/static/x.txt": "x", "cmd/server/whole/.hidden/y": "y",
		"lib/a/a.go": "package a\n\nconst Text = \"a\"\n", "lib/b/b.go": "package b\n", "other/other.go": "package other\n",
	})
	b, err := NewBuilder(filepath.Join(dir, "cmd", "server"), filepath.Join(dir, ".party"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	all, err := b.list(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	in := newInputs(all, "")
	var got []string
	for _, d := range in.directories() {
		if rel, err := filepath.Rel(dir, d); err == nil && !strings.HasPrefix(rel, "..") {
			got = append(got, filepath.ToSlash(rel))
		}
	}
	want := []string{".", "cmd", "cmd/server", "cmd/server/static", "cmd/server/whole", "cmd/server/whole/.hidden", "lib", "lib/a"}
	if !slices.Equal(got, want) {
		t.Errorf("watched: %q\nwant %q", got, want)
	}
	snap := newScanner().scan(in)
	var files []string
	for path := range snap {
		if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
			files = append(files, filepath.ToSlash(rel))
		}
	}
	slices.Sort(files)
	wantFiles := []string{"cmd/server/main.go", "cmd/server/static/x.css", "cmd/server/whole/.hidden/y", "go.mod", "lib/a/a.go"}
	if !slices.Equal(files, wantFiles) {
		t.Errorf("built from: %q\nwant %q", files, wantFiles)
	}
}

func TestBuildsGoOnWhereTheirDirectoryIsRemoved(t *testing.T) {
	dir := outside(t, map[string]string{"main.go": answering("", `"one"`)})
	w := start(t, dir)
	for _, word := range []string{"two", "three"} {
		w.settled()
		if err := os.RemoveAll(filepath.Join(dir, ".party")); err != nil {
			t.Fatal(err)
		}
		w.answers(word, map[string]string{"main.go": answering("", strconv.Quote(word))})
	}
}
