package watch

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

// write makes files below dir; an empty text removes one.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if text == "" {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// outside makes a module that uses this one.
func outside(t testing.TB, files map[string]string) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		"go.mod": "module example.com/outside\n\ngo 1.26.0\n\nrequire github.com/goparty/party v0.0.0\n\nreplace github.com/goparty/party => " + strconv.Quote(root) + "\n",
	})
	write(t, dir, files)
	return dir
}

// answering is a server that answers with an expression.
func answering(imports, expression string) string {
	lines := ""
	for _, path := range strings.Fields(imports) {
		lines += strconv.Quote(path) + "\n"
	}
	return fmt.Sprintf(`package main

import (
	"net/http"

	"github.com/goparty/party"
	%s)

type Echo struct{ party.Server }

func (e *Echo) OnRequest(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(%s)) }

var App = party.App{Servers: party.Servers{"Echo": party.ClassOf[Echo](party.Options{Hibernate: true})}}

func main() { party.Main(App) }
`, lines, expression)
}

// world is a session with its emulator and all that happened.
type world struct {
	*Session
	t    *testing.T
	dir  string
	addr string

	mu    sync.Mutex
	all   []inspect.Event
	seen  int // of all, by await
	grown chan struct{}
}

func start(t *testing.T, dir string, change ...func(*Config)) *world {
	t.Helper()
	e := emulator.New(emulator.Config{})
	w := &world{t: t, dir: dir, grown: make(chan struct{})}
	sub := e.Events().Subscribe(1 << 16)
	logged := make(chan struct{})
	go func() { defer close(logged); w.read(sub) }()
	c := Config{Dir: dir, Scratch: filepath.Join(dir, ".party"), Emulator: e}
	for _, f := range change {
		f(&c)
	}
	var err error
	if w.Session, err = NewSession(c); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- e.Serve(ln) }()
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	close(watched)
	t.Cleanup(func() {
		cancel()
		<-watched
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(c.Scratch, "build-*")); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
		sub.Close()
		<-logged
		if t.Failed() {
			t.Log(w.dump())
		}
	})
	if err := w.Start(ctx); err != nil {
		t.Fatal(err)
	}
	await[*inspect.GenerationStarted](w, nil)
	watched = make(chan struct{})
	go func() { defer close(watched); w.Watch(ctx) }()
	w.watches()
	return w
}

// watches waits until changes are noticed.
func (w *world) watches() {
	for {
		w.Session.mu.Lock()
		there := w.Session.watcher != nil
		w.Session.mu.Unlock()
		if there {
			w.busy.Lock() // Watch holds it until it does
			w.busy.Unlock()
			return
		}
		time.Sleep(time.Millisecond) //nolint // nothing tells
	}
}

func (w *world) read(sub *inspect.Subscription) {
	for {
		events, _, err := sub.Next(context.Background())
		if err != nil {
			return
		}
		w.mu.Lock()
		w.all = append(w.all, events...)
		close(w.grown)
		w.grown = make(chan struct{})
		w.mu.Unlock()
	}
}

func (w *world) dump() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, e := range w.all {
		fmt.Fprintf(&b, "%s\n", inspect.Text(e))
	}
	return b.String()
}

// await waits for the next event of one type behind those that were awaited.
func await[E inspect.Event](w *world, match func(E) bool) E {
	w.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		w.mu.Lock()
		grown := w.grown
		for ; w.seen < len(w.all); w.seen++ {
			if e, ok := w.all[w.seen].(E); ok && (match == nil || match(e)) {
				w.seen++
				w.mu.Unlock()
				return e
			}
		}
		w.mu.Unlock()
		select {
		case <-grown:
		case <-limit.C:
			var e E
			w.t.Fatalf("waited in vain for %T", e)
		}
	}
}

// count says how many events of one type there were.
func count[E inspect.Event](w *world) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

func (w *world) get() string {
	w.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get("http://" + w.addr + "/parties/echo/room")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// answers saves files and asserts what the code that is made of them answers.
func (w *world) answers(want string, files map[string]string) *inspect.BuildDone {
	w.t.Helper()
	write(w.t, w.dir, files)
	done := await[*inspect.BuildDone](w, nil)
	await[*inspect.Swapped](w, nil)
	if got := w.get(); got != want {
		w.t.Errorf("got %q, want %q", got, want)
	}
	return done
}

// settled waits until later builds can be fast.
func (w *world) settled() {
	w.busy.Lock()
	defer w.busy.Unlock()
	w.prepared.Wait()
}

// find returns the events that match.
func (w *world) find(match func(*inspect.FilesChanged) bool) (found []*inspect.FilesChanged) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		if e, ok := e.(*inspect.FilesChanged); ok && match(e) {
			found = append(found, e)
		}
	}
	return found
}
