//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests with clients that others wrote: partysocket and ws in Node, and
// Chromium. What they need is listed in testdata/clients/package.json. Where it
// is missing they are skipped, unless PARTY_TEST_CLIENTS=required is set.

// missing skips a test, or fails it where its clients must be there.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("PARTY_TEST_CLIENTS") == "required" {
		t.Fatal(what + " (and PARTY_TEST_CLIENTS=required)")
	}
	t.Skip(what)
}

const clientsDir = "testdata/clients"

// node finds Node and makes sure of the packages that package.json pins.
func node(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "there is no node on PATH: install Node.js 20 or later to test with partysocket")
	}
	const hint = ": run `npm install --no-package-lock --no-audit --no-fund` in cmd/party/" + clientsDir
	for name, version := range dependencies(t, filepath.Join(clientsDir, "package.json")) {
		installed, err := os.ReadFile(filepath.Join(clientsDir, "node_modules", name, "package.json"))
		if err != nil {
			missing(t, "the npm package "+name+" is not installed"+hint)
		}
		var is struct{ Version string }
		if err := json.Unmarshal(installed, &is); err != nil {
			t.Fatal(err)
		}
		if is.Version != version {
			missing(t, "the npm package "+name+" is installed as "+is.Version+", and "+version+" is wanted"+hint)
		}
	}
	return path
}

func dependencies(t testing.TB, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Dependencies map[string]string }
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Dependencies) == 0 {
		t.Fatalf("%s lists no dependencies", file)
	}
	return p.Dependencies
}

// browser finds Chromium.
func browser(t testing.TB) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	if path := os.Getenv("PARTY_TEST_CHROMIUM"); path != "" {
		names = []string{path}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "there is no "+strings.Join(names, ", no ")+" on PATH: install Chromium, or name one with PARTY_TEST_CHROMIUM")
	return ""
}

// runScript runs a script of testdata/clients against p and returns what it
// printed. do has what the script asks for with sync.
func runScript(t testing.TB, p *tool, do map[string]func(), args ...string) []string {
	t.Helper()
	return nodeScript(t, p.ready().URL, do, args...)
}

// nodeScript is runScript against any server.
func nodeScript(t testing.TB, url string, do map[string]func(), args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	args = append([]string{args[0], url}, args[1:]...)
	cmd := exec.CommandContext(ctx, node(t), args...)
	cmd.Dir = clientsDir
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cancel() // where a sync fails
	var printed []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		what, asked := strings.CutPrefix(lines.Text(), "sync ")
		if !asked {
			printed = append(printed, lines.Text())
			continue
		}
		if do[what] == nil {
			t.Errorf("%s asks for an unknown sync %q", args[0], what)
			break
		}
		do[what]()
		if _, err := io.WriteString(stdin, what+"\n"); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("node %s: %v\n%s%s", strings.Join(args, " "), err, strings.Join(printed, "\n"), stderr.String())
	}
	return printed
}

// printed finds the word behind another in what a script printed.
func printed(t testing.TB, lines []string, word string) string {
	t.Helper()
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, word+" "); ok {
			return rest
		}
	}
	t.Errorf("the script did not print %q but %q", word, lines)
	return ""
}

func TestPartySocket(t *testing.T) {
	t.Parallel()
	node(t)
	shared := setup{}.dev(t, testServer(t))
	for name, check := range map[string]func(t *testing.T, p *tool, room string, printed []string){
		"id is kept over a reconnect": func(t *testing.T, p *tool, room string, lines []string) {
			p.opened(room, printed(t, lines, "id"), 3)
		},
		"abort and the queue": func(t *testing.T, p *tool, room string, lines []string) {
			p.opened(room, printed(t, lines, "id"), 2)
			if e := p.event("room.aborted", 1, is("room.aborted", room)); e.Reason != "reset" || e.Cut != 1 {
				t.Errorf("%+v", e)
			}
			if e := p.event("connection.closed", 1, is("connection.closed", room)); e.Code != 1006 || e.Clean {
				t.Errorf("%+v", e)
			}
		},
		"OnConnect fails": func(t *testing.T, p *tool, room string, _ []string) {
			if e := p.event("connection.refused", 1, is("connection.refused", room)); !strings.Contains(e.Reason, "not today") {
				t.Errorf("%+v", e)
			}
		},
		"close codes of the client": func(t *testing.T, p *tool, room string, _ []string) {
			p.event("sixth connection.closed", 6, is("connection.closed", room))
			var codes []int
			for _, e := range p.events(is("connection.closed", room)) {
				if codes = append(codes, e.Code); e.Clean != (e.Code != 1006) {
					t.Errorf("%+v", e)
				}
			}
			if !slices.Equal(codes[:6], []int{4001, 1000, 1005, 3999, 1006, 1000}) {
				t.Errorf("codes in events: %v", codes)
			}
		},
		"text and binary both ways":               nil,
		"broadcast reaches the others":            nil,
		"query parameters":                        nil,
		"PartySocket.fetch":                       nil,
		"close codes of the server":               nil,
		"headers of a stream":                     nil,
		"sent before it is open":                  nil,
		"subprotocols":                            nil,
		"a hook that fails costs nobody anything": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := shared.in(t)
			lines := runScript(t, p, nil, "partysocket.mjs", name)
			if check != nil && !t.Failed() {
				check(t, p, "test/"+url.PathEscape(name), lines)
			}
		})
	}
}

// opened waits until a client has connected to a room n times.
func (p *tool) opened(room, id string, n int) {
	p.t.Helper()
	p.event("connection.opened of "+id, n, func(e event) bool {
		return e.Type == "connection.opened" && e.Room == room && e.Connection == id
	})
}

func TestPartySocketHibernation(t *testing.T) {
	t.Parallel()
	node(t)
	p := setup{}.dev(t, "--hibernate-after", "100ms", testServer(t))
	slept := 0
	runScript(t, p, map[string]func(){"hibernated": func() {
		slept++
		p.asleep("test/hibernation", slept, 1)
	}}, "partysocket.mjs", "hibernation")
	if n := len(p.events(is("connection.opened", "test/hibernation"))); slept != 3 || n != 1 {
		t.Errorf("it slept %d times, and %d connections were opened", slept, n)
	}
}

// asleep waits until a room hibernates that has had so many messages and still
// has so many connections.
func (p *tool) asleep(room string, messages, connections int) {
	p.t.Helper()
	p.out.until(p.t, room+" hibernating", func() bool {
		had, asleep := 0, false
		for _, e := range p.out.events {
			if e.Room == room {
				if e.Type == "message.in" {
					had++
				}
				asleep = e.Type == "room.hibernated" && e.Connections == connections
			}
		}
		return asleep && had == messages
	})
}

func TestPartySocketCrash(t *testing.T) {
	t.Parallel()
	node(t)
	p := setup{}.dev(t, testServer(t))
	runScript(t, p, nil, "partysocket.mjs", "crash")
	if e := p.event("crash", 1, func(e event) bool { return e.Type == "crash" }); e.Cut != 1 {
		t.Errorf("%+v", e)
	}
	if n := len(p.events(is("connection.opened", "test/crash"))); n != 1 {
		t.Errorf("the class that hibernates had %d connections opened", n)
	}
}

func TestPartySocketRestart(t *testing.T) {
	t.Parallel()
	node(t)
	p := setup{}.dev(t, testServer(t))
	next := p
	runScript(t, p, map[string]func(){
		"stop":  func() { p.interrupt(); p.wait() },
		"start": func() { next = p.again(testServer(t)) },
	}, "partysocket.mjs", "restart")
	if e := next.event("connection.opened", 1, is("connection.opened", "test/restart")); e.Connection != p.events(is("connection.opened", "test/restart"))[0].Connection {
		t.Errorf("another client: %+v", e)
	}
}

// again starts party once more, at the same port and on the same state.
func (p *tool) again(dir string) *tool {
	p.t.Helper()
	at, err := url.Parse(p.ready().URL)
	if err != nil {
		p.t.Fatal(err)
	}
	next := setup{dir: p.dir}.start(p.t, "dev", "--ui", "json", "--port", at.Port(), dir)
	next.ready()
	return next
}

func TestPartySocketBehindAHandler(t *testing.T) {
	t.Parallel()
	node(t)
	shared := setup{}.dev(t, filepath.Join(repo(t), "cmd", "party", "testdata", "routed"))
	for _, name := range []string{"a prefix of one's own", "a stream", "props in OnStart"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runScript(t, shared.in(t), nil, "routed.mjs", name)
		})
	}
}

func TestFixturesWithPartySocket(t *testing.T) {
	t.Parallel()
	node(t)
	for _, name := range []string{"chat", "cursors", "counter", "lobby"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := setup{}.dev(t, filepath.Join(repo(t), "fixtures", name))
			runScript(t, p, nil, "fixtures.mjs", name)
			for _, e := range p.events(func(e event) bool {
				return e.Type == "exception" || e.Type == "crash" || e.Type == "log" && e.Level != "INFO"
			}) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestTodoSurvivesAKill(t *testing.T) {
	t.Parallel()
	node(t)
	dir := filepath.Join(repo(t), "fixtures", "todo")
	p := setup{}.dev(t, dir)
	runScript(t, p, map[string]func(){
		"kill":  func() { _ = p.cmd.Process.Kill(); p.wait() },
		"start": func() { p.again(dir) },
	}, "fixtures.mjs", "todo")
}

func TestReminderWithPartySocket(t *testing.T) {
	t.Parallel()
	node(t)
	p := setup{}.dev(t, "--hibernate-after", "100ms", filepath.Join(repo(t), "fixtures", "reminder"))
	runScript(t, p, map[string]func(){"hibernated": func() { p.asleep("reminder/ada", 0, 1) }}, "fixtures.mjs", "reminder")
}

func TestChatInABrowser(t *testing.T) {
	t.Parallel()
	node(t)
	chromium := browser(t)
	p := setup{}.dev(t, "--hibernate-after", "200ms", filepath.Join(repo(t), "fixtures", "chat"))
	const room = "chat/browser"
	messages := 1
	runScript(t, p, map[string]func(){"hibernated": func() {
		messages++ // two before the first sleep, one before the second
		p.asleep(room, messages, 2)
		if opened, closed := len(p.events(is("connection.opened", room))), len(p.events(is("connection.closed", room))); opened != 2 || closed != 0 {
			t.Errorf("%d connections opened, %d closed", opened, closed)
		}
	}}, "browser.mjs", chromium)
	if woke := p.events(func(e event) bool { return e.Type == "room.started" && e.Room == room && e.Cause == "message" }); len(woke) < 2 {
		t.Errorf("a message woke the room %d times", len(woke))
	}
}
