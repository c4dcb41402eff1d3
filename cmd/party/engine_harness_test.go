//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/goparty/party/watch/bundle"
)

// The tests that run bundles on Cloudflare's engine, workerd. It is installed by
// npm, as testdata/workers/package.json says; where it is missing they are
// skipped, unless PARTY_TEST_CLIENTS=required is set.

const workersDir = "testdata/workers"

// engine is a server that runs on workerd.
type engine struct {
	*bundle.Engine
	t       testing.TB
	options bundle.EngineOptions
	out     *output
}

var bundles sync.Map // by directory: func() (string, bundle.Bundle, error)

// bundled builds the bundle of a server, once.
func bundled(t testing.TB, dir string) string {
	t.Helper()
	party := partyBinary(t)
	build, _ := bundles.LoadOrStore(dir, sync.OnceValues(func() (string, error) {
		out := filepath.Join(scratchDir, "bundle-"+filepath.Base(dir))
		text, err := exec.Command(party, "build", "--target=workers", "--out", out, dir).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%w\n%s", err, text)
		}
		return out, nil
	}))
	out, err := build.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// onEngine runs the server in dir.
func onEngine(t testing.TB, dir string, vars map[string]string, classes ...string) *engine {
	t.Helper()
	path, err := bundle.FindEngine(workersDir)
	if err != nil {
		missing(t, err.Error()+" ("+workersDir+")")
	}
	e := &engine{t: t, options: bundle.EngineOptions{
		Path: path, Bundle: bundled(t, dir), Classes: classes, State: t.TempDir(), Vars: vars,
	}}
	e.start()
	t.Cleanup(func() {
		_ = e.Close()
		if t.Failed() {
			t.Logf("the engine wrote:\n%s", e.out)
		}
	})
	return e
}

func (e *engine) start() {
	e.t.Helper()
	out := newOutput()
	e.out = out
	e.options.Line = out.add
	var err error
	if e.Engine, err = bundle.StartEngine(e.t.Context(), e.options); err != nil {
		e.t.Fatal(err)
	}
}

// restart kills the engine and starts it again at the same port.
func (e *engine) restart() {
	e.t.Helper()
	_ = e.Close()
	e.options.Address = strings.TrimPrefix(e.URL, "http://")
	e.start()
}

// in is the same engine for another test.
func (e *engine) in(t testing.TB) *engine {
	other := *e
	other.t = t
	return &other
}

func (e *engine) get(path string) (int, string) {
	e.t.Helper()
	resp, err := http.Get(e.URL + path)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (e *engine) connect(path string) client {
	e.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(e.URL, "http", "ws", 1)+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return client{e.t, ws}
}

func (c client) wants(text string) {
	c.t.Helper()
	if got := c.recv(); got != text {
		c.t.Fatalf("got %q, not %q", got, text)
	}
}

// gone waits for the end of the connection.
func (c client) gone(code int) {
	c.t.Helper()
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, code) {
				c.t.Fatalf("the connection ended with %v, not %d", err, code)
			}
			return
		}
	}
}

func engineServer(t testing.TB) string {
	return filepath.Join(repo(t), "cmd", "party", "testdata", "engine")
}
