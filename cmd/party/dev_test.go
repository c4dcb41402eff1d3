//go:build unix

package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestDevSaysWhatAPersonNeedsFirst(t *testing.T) {
	t.Parallel()
	p := setup{}.start(t, "dev", "--ui", "plain", "--port", "0", "--state", "my/state", testServer(t))
	try := p.out.line(t, "wscat")
	lines := p.out.all()
	if len(lines) > 8 {
		t.Errorf("the way to try it stands in line %d:\n%s", len(lines), p.out)
	}
	url := strings.TrimSpace(strings.TrimPrefix(p.out.line(t, "serving"), "serving"))
	ws := "ws" + strings.TrimPrefix(url, "http")
	for _, want := range []*regexp.Regexp{
		regexp.MustCompile(`^serving +http://127\.0\.0\.1:[1-9]\d+$`),
		regexp.MustCompile(`^  ` + regexp.QuoteMeta(ws) + `/parties/my-server/ROOM +MyServer$`),
		regexp.MustCompile(`^  ` + regexp.QuoteMeta(ws) + `/parties/test/ROOM +test, hibernates$`),
		regexp.MustCompile(`^state +my/state$`),
		regexp.MustCompile(`^try +npx wscat -c ` + regexp.QuoteMeta(ws) + `/parties/[a-z-]+/\w+$`),
	} {
		found := false
		for _, line := range lines {
			found = found || want.MatchString(line)
		}
		if !found {
			t.Errorf("no line matches %s in:\n%s", want, p.out)
		}
	}

	// The line to try is no empty promise.
	c := p.dial(try[strings.Index(try, "ws://"):])
	c.recv()
	c.send("hello")
	if got := c.recv(); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestDevPortTaken(t *testing.T) {
	t.Parallel()
	// Whoever holds the default port, it is taken.
	if ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(defaultPort))); err == nil {
		defer ln.Close()
	} else {
		t.Logf("port %d is somebody else's: %v", defaultPort, err)
	}
	p := setup{}.start(t, "dev", "--ui", "plain", testServer(t))
	note := p.out.line(t, "is taken")
	url := p.out.line(t, "serving")
	m := regexp.MustCompile(`^port 1999 is taken, so this is port (\d+)$`).FindStringSubmatch(note)
	if m == nil || !strings.HasSuffix(url, ":"+m[1]) || m[1] == "1999" {
		t.Errorf("it says %q and serves %q", note, url)
	}

	j := setup{}.start(t, "dev", "--ui", "json", testServer(t))
	ready := j.ready()
	if e := j.event("note on the port", 1, func(e event) bool {
		return e.Type == "note" && strings.Contains(e.Text, "is taken")
	}); !strings.HasSuffix(e.Text, ready.URL[strings.LastIndex(ready.URL, ":")+1:]) {
		t.Errorf("it says %q and serves %s", e.Text, ready.URL)
	}
}

func TestDevPortGivenAndTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, args := range [][]string{{"--port", port}, {"--port=" + port}} {
		said := setup{}.fails(t, 1, append([]string{"dev", testServer(t)}, args...)...)
		if !strings.Contains(said, "port "+port+" is taken") || !strings.Contains(said, "--port") {
			t.Errorf("no hint in %q", said)
		}
	}
}

func TestDevCalledWrongly(t *testing.T) {
	t.Parallel()
	dir := testServer(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"dev", "--nope", dir}, "--nope"},
		{[]string{"dev", "--nope", dir}, "party dev --help"},
		{[]string{"dev", "--ui", "fancy", dir}, "plain or json"},
		{[]string{"dev", "--port", "http", dir}, "--port"},
		{[]string{"dev", "--port", "70000", dir}, "65535"},
		{[]string{"dev", "--port", "-1", dir}, "65535"},
		{[]string{"dev", "--hibernate-after", "0s", dir}, "--hibernate-after"},
		{[]string{"dev", "--hibernate-after", "soon", dir}, "--hibernate-after"},
		{[]string{"dev", "--evict-after", "-1s", dir}, "--evict-after"},
		{[]string{"dev", dir, dir}, "at most 1"},
		{[]string{"dve", dir}, "dev"},
		{[]string{"version", "1"}, "version"},
	} {
		if said := (setup{}).fails(t, 2, c.args...); !strings.Contains(said, c.want) {
			t.Errorf("party %s: no %q in %q", strings.Join(c.args, " "), c.want, said)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"": "dev", "--help": "dev", "dev --help": "--hibernate-after", "help dev": "--port", "version": "go1."} {
		p := setup{}.start(t, strings.Fields(args)...)
		if code := p.wait(); code != 0 || !strings.Contains(p.out.String(), want) || p.err.String() != "" {
			t.Errorf("party %s: exit status %d, %q, %q", args, code, p.out, p.err)
		}
	}
}

const source = `package main

import "github.com/goparty/party"

type Room struct{ party.Server }

var App = party.App{Servers: party.Servers{"room": party.ClassOf[Room]()}}

`

func TestDevOfWhatIsNoServer(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{
		"none/readme.txt":      "no Go here",
		"library/lib.go":       "package lib\n",
		"noimport/main.go":     "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n",
		"returns/main.go":      source + "func main() {}\n",
		"says/main.go":         source + "func main() { println(\"no licence\") }\n",
		"nomain/main.go":       source,
		"compile/main.go":      source + "func main() {\n\tparty.Main(Ap)\n}\n",
		"syntax/main.go":       source + "func main() {\n\tparty.Main(App\n}\n",
		"panics/main.go":       source + "func main() { panic(\"no database\") }\n",
		"noservers/main.go":    "package main\n\nimport \"github.com/goparty/party\"\n\nfunc main() { party.Main(party.App{}) }\n",
		"compile/deep/empty.s": "",
	})
	for _, c := range []struct {
		dir  string
		want []string
	}{
		{"nowhere", []string{"nowhere: no such directory", "party.Main"}},
		{"go.mod", []string{"go.mod is a file", "directory"}},
		{"none", []string{"none holds no Go files", "party.Main"}},
		{"library", []string{"library is package lib", "package main"}},
		{"noimport", []string{"noimport does not use github.com/goparty/party", "party.Main(App)"}},
		{"returns", []string{"without calling party.Main", "party.Main(App)"}},
		{"says", []string{"exit status 0", "without calling party.Main", "it wrote:\nno licence"}},
		{"nomain", []string{"nomain does not compile", "main"}},
		{"compile", []string{"compile does not compile", "\ncompile/main.go:10:13: undefined: Ap"}},
		{"./compile", []string{"\ncompile/main.go:10:13: undefined: Ap"}},
		{filepath.Join(dir, "compile"), []string{"\ncompile/main.go:10:13: undefined: Ap"}},
		{"syntax", []string{"syntax/main.go:10:16: "}},
		{"panics", []string{"before it served", "no database", "panics/main.go:9"}},
		{"noservers", []string{"no Servers", "party.ClassOf[Chat]()"}},
	} {
		t.Run(filepath.Base(c.dir), func(t *testing.T) {
			p := setup{dir: dir}.start(t, "dev", "--port", "0", c.dir)
			if code := p.wait(); code != 1 {
				t.Errorf("exit status %d", code)
			}
			said := p.err.String()
			if !strings.HasPrefix(said, "party: ") {
				t.Errorf("stderr does not begin with the program's name: %q", said)
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in:\n%s", want, said)
				}
			}
		})
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".party", "build-*")); len(left) > 0 {
		t.Errorf("builds left: %v", left)
	}

	// Names are relative to where the person is, not to the package.
	said := setup{dir: filepath.Join(dir, "compile", "deep")}.fails(t, 1, "dev", "--port", "0", "..")
	if !strings.Contains(said, "\n../main.go:10:13: undefined: Ap") {
		t.Errorf("from another directory: %q", said)
	}
}

func TestDevHookWithAnotherSignature(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{"main.go": strings.Replace(source, "import ", "import \"context\"\nimport ", 1) + `
func (*Room) OnMessage(ctx context.Context, conn *party.Connection, text string) error { return nil }
func (*Room) OnStart() {}

func main() { party.Main(App) }
`})
	said := setup{dir: dir}.fails(t, 1, "dev", "--port", "0")
	for _, want := range []string{
		`class "room"`,
		"Room.OnMessage is not the hook of that name",
		"have OnMessage(context.Context, *party.Connection, string) error",
		"want OnMessage(context.Context, *party.Connection, party.Message) error",
		"have OnStart()\n",
		"want OnStart(context.Context) error",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in:\n%s", want, said)
		}
	}
}

// spawn lets the server start a process of its own.
func (p *tool) spawn() (pid int) {
	p.t.Helper()
	_, body := p.get("/parties/test/a?spawn")
	pid, err := strconv.Atoi(body)
	if err != nil {
		p.t.Fatalf("%v: %s", err, body)
	}
	p.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

// The tests of how it ends measure time: they do not run beside others.

func TestDevInterrupt(t *testing.T) {
	for name, prepare := range map[string]func(*tool){
		"idle":        func(*tool) {},
		"connections": func(p *tool) { p.connect("test/a", ""); p.connect("my-server/a", "") },
		"hanging hook": func(p *tool) {
			c := p.connect("my-server/a", "")
			c.send("hang")
			c.recv()
		},
		"stopped": func(p *tool) { _ = syscall.Kill(p.guest(1), syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			p := setup{}.dev(t, testServer(t))
			child := p.spawn()
			prepare(p)
			if len(p.builds()) != 1 {
				t.Errorf("builds while it runs: %v", p.builds())
			}
			began := time.Now()
			p.interrupt()
			code := p.wait()
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %s", took)
			}
			if code != 0 || p.err.String() != "" {
				t.Errorf("exit status %d, stderr %q", code, p.err)
			}
			ended(t, p.guest(1))
			ended(t, child)
			p.noBuilds()
		})
	}
}

func TestDevTerminate(t *testing.T) {
	p := setup{}.dev(t, testServer(t))
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	ended(t, p.guest(1))
	p.noBuilds()
}

// A compiler that never ends is as slow as a build can be.
func TestDevInterruptWhileBuilding(t *testing.T) {
	for name, interrupt := range map[string]func(*tool){
		"terminal": (*tool).interrupt,
		"alone":    func(p *tool) { _ = p.cmd.Process.Signal(os.Interrupt) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			compiler, pidFile := filepath.Join(dir, "compiler"), filepath.Join(dir, "pid")
			if err := syscall.Mkfifo(pidFile, 0o600); err != nil {
				t.Fatal(err)
			}
			script := "#!/bin/sh\ncase \"$*\" in *-V=full*) exec \"$@\" ;; esac\necho $$ >" + pidFile + "\nexec sleep 60\n"
			if err := os.WriteFile(compiler, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			env := []string{"GOFLAGS=-toolexec=" + compiler, "GOTMPDIR=" + dir} // an interrupted go command leaves files behind
			p := setup{env: env}.start(t, "dev", "--ui", "plain", "--port", "0", testServer(t))
			b, err := os.ReadFile(pidFile) // waits for the script
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.Fields(string(b))[0])
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
			began := time.Now()
			interrupt(p)
			if code := p.wait(); code != 0 || p.err.String() != "" {
				t.Errorf("exit status %d, stderr %q", code, p.err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %s", took)
			}
			p.noBuilds()
			if name == "terminal" {
				ended(t, pid)
			}
		})
	}
}

func TestDevSecondInterruptEndsItAtOnce(t *testing.T) {
	p := setup{}.dev(t, testServer(t))
	c := p.connect("my-server/a", "")
	c.send("hang") // the first interrupt gives it a moment to finish
	c.recv()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for over := false; !over; {
		p.interrupt()
		select {
		case <-p.exited:
			over = true
		case <-tick.C:
		}
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended by itself (%s), not at the second interrupt", p.cmd.ProcessState)
	}
	ended(t, p.guest(1))
}

func TestDevKilledLeavesNoProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, prepare := range map[string]func(*tool){
		"idle": func(*tool) {},
		"hanging hook": func(p *tool) {
			c := p.connect("test/a", "")
			c.send("hang")
			c.recv()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := setup{dir: dir}.dev(t, testServer(t))
			prepare(p)
			pid := p.guest(1)
			if !runs(pid) {
				t.Fatal("no process runs")
			}
			if err := p.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			p.wait()
			ended(t, pid)
			if len(p.builds()) != 1 {
				t.Errorf("builds after the kill: %v", p.builds())
			}
		})
	}
	// The next one cleans up, and leaves alone what still runs.
	p := setup{dir: dir}.dev(t, testServer(t))
	q := setup{dir: dir}.dev(t, "--state", "another", testServer(t))
	if got := p.builds(); len(got) != 2 {
		t.Errorf("builds of two that run: %v", got)
	}
	q.interrupt()
	q.wait()
	if got := p.builds(); len(got) != 1 || got[0] != p.built() {
		t.Errorf("builds of the one that runs: %v", got)
	}
}

func TestDevStateInUse(t *testing.T) {
	t.Parallel()
	p := setup{}.dev(t, testServer(t))
	said := setup{dir: p.dir}.fails(t, 1, "dev", "--port", "0", testServer(t))
	for _, want := range []string{"in use by process " + strconv.Itoa(p.cmd.Process.Pid), "`party attach` shows what runs here", "--state and a --socket"} {
		if !strings.Contains(said, want) {
			t.Errorf("it says %q, without %q", said, want)
		}
	}
	if status, body := p.get("/parties/test/a"); status != http.StatusOK {
		t.Errorf("the first one: %d %s", status, body)
	}
}

func TestDevExitInAHook(t *testing.T) {
	t.Parallel()
	p := setup{}.dev(t, testServer(t))
	sleepy, awake := p.connect("test/a", "_pk=sleepy"), p.connect("my-server/a", "_pk=awake")
	sleepy.send("count")
	if got := sleepy.recv(); got != "1" {
		t.Errorf("count %s", got)
	}
	first, child := p.guest(1), p.spawn()
	awake.send("exit")
	crash := p.event("crash", 1, func(e event) bool { return e.Type == "crash" })
	if !strings.Contains(crash.Reason, "exit status 3") || !strings.Contains(string(crash.Output), "last words") ||
		!crash.Restarts || crash.Turns != 1 || crash.Cut != 1 {
		t.Errorf("crash event: %+v, output %s", crash, crash.Output)
	}
	if second := p.guest(2); second == first || runs(first) {
		t.Errorf("process %d after process %d", second, first)
	}
	ended(t, child)
	if _, _, err := awake.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		t.Errorf("the connection that cannot hibernate: %v", err)
	}
	if status, body := p.get("/parties/test/a"); status != http.StatusOK {
		t.Errorf("the next request: %d %s", status, body)
	}
	sleepy.send("count")
	if got := sleepy.recv(); got != "1" {
		t.Errorf("count %s after the crash: the same instance?", got)
	}
	if lost := p.events(is("turn.lost", "my-server/a")); len(lost) != 1 {
		t.Errorf("turn.lost events: %+v", lost)
	}

	// A request whose turn ended the process is answered too.
	if status, body := p.get("/parties/test/b?exit"); status < 500 {
		t.Errorf("the request that ended the process: %d %s", status, body)
	}
	if status, body := p.get("/parties/test/b"); status != http.StatusOK {
		t.Errorf("the request after it: %d %s", status, body)
	}
	p.guest(3)
}

func TestDevJSON(t *testing.T) {
	t.Parallel()
	p := setup{}.dev(t, testServer(t))
	c := p.connect("test/lobby", "_pk=ada")
	c.send("hello")
	c.recv()
	if err := c.WriteMessage(websocket.BinaryMessage, []byte{0, 1, 0xfe}); err != nil {
		t.Fatal(err)
	}
	c.recv()
	c.send("fail because of <rain>")
	c.send("panic attack")
	p.get("/parties/test/lobby")
	p.get("/nowhere")

	said := func(typ, text string) func(event) bool {
		return func(e event) bool { return e.Type == typ && (e.Text == text || e.Hex == text) }
	}
	for _, want := range []func(event) bool{
		said("message.in", "hello"), said("message.out", "hello"), said("message.in", "0001fe"), said("message.out", "0001fe"),
	} {
		if e := p.event("message event", 1, want); e.Room != "test/lobby" || e.Connection != "ada" {
			t.Errorf("%+v", e)
		}
	}
	if e := p.event("exception", 1, is("exception", "test/lobby")); e.Hook != "OnMessage" || e.Error != "because of <rain>" {
		t.Errorf("%+v", e)
	}
	if e := p.event("exception", 2, is("exception", "test/lobby")); !strings.Contains(e.Error, "attack") || !strings.Contains(e.Stack, "main.go:") {
		t.Errorf("%+v", e)
	}
	p.event("request", 1, is("request", "test/lobby"))
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "bye"), time.Now().Add(patience))
	if e := p.event("connection.closed", 1, is("connection.closed", "test/lobby")); e.Connection != "ada" || e.Code != 4001 || e.Reason != "bye" || !e.Clean {
		t.Errorf("%+v", e)
	}
	if r := p.ready(); r.State != filepath.Join(".party", "state") || len(r.Classes) != 2 || r.Classes[1].Class != "test" ||
		!r.Classes[1].Hibernate || !strings.HasSuffix(r.Classes[0].WebSocket, "/parties/my-server/ROOM") || r.Try == "" {
		t.Errorf("ready: %+v", r)
	}
	p.interrupt()
	p.wait()

	// Now the stream is complete.
	var seq uint64
	for _, line := range p.out.all() {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%v: %s", err, line)
			continue
		}
		typ, _ := e["type"].(string)
		switch n, numbered := e["seq"].(float64); {
		case typ == "":
			t.Errorf("no type: %s", line)
		case typ == "note":
		case !numbered || uint64(n) <= seq:
			t.Errorf("seq after %d: %s", seq, line)
		default:
			seq = uint64(n)
		}
		switch typ {
		case "connection.opened", "connection.closed", "message.in", "message.out":
			_, broadcast := e["count"]
			if e["room"] != "test/lobby" || e["connection"] != "ada" && !(broadcast && typ == "message.out") {
				t.Errorf("no room or connection: %s", line)
			}
		}
	}
	if p.err.String() != "" {
		t.Errorf("stderr: %s", p.err)
	}
}

func TestDevPlain(t *testing.T) {
	t.Parallel()
	p := setup{}.start(t, "dev", "--ui", "plain", "--port", "0", testServer(t))
	url := p.out.line(t, "/parties/test/ROOM")
	url = strings.Fields(url)[0]
	c := p.dial(strings.Replace(url, "ROOM", "lobby?_pk=ada", 1))
	c.recv()
	c.send("hello")
	c.recv()
	c.send("panic attack")
	for _, want := range []string{"ada connected ", "ada -> ", "ada <- ", "panic: attack"} {
		line := p.out.line(t, want)
		if !regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3}  test/lobby  `).MatchString(line) {
			t.Errorf("no time or room: %q", line)
		}
	}
	if !regexp.MustCompile(`(?m)  ada -> "?hello"?$`).MatchString(p.out.String()) {
		t.Errorf("no message in:\n%s", p.out)
	}
	p.out.line(t, "main.go:") // where it panicked
	_ = c.Close()
	p.out.line(t, "test/lobby  ada closed 1006")
}

// Nobody's terminal: lines, no dashboard.
func TestDevAutoWithoutATerminal(t *testing.T) {
	t.Parallel()
	p := setup{}.start(t, "dev", "--port", "0", testServer(t))
	p.out.line(t, "serving  http://")
	if strings.Contains(p.out.String(), "\x1b") {
		t.Errorf("escape sequences: %q", p.out)
	}
}

func TestDevEnvFile(t *testing.T) {
	t.Parallel()
	get := func(p *tool, key, want string) {
		t.Helper()
		if _, got := p.get("/parties/test/a?env=" + key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{
		".env":       "# a comment\nNAME=default\nexport TOKEN=\"a b\\n\"\n",
		"other.env":  "NAME=other\n",
		"broken.env": "A=1\nnonsense\n",
	})
	p := setup{dir: dir}.dev(t, testServer(t))
	get(p, "NAME", "default")
	get(p, "TOKEN", "a b\n")
	get(p, "NOTHING", "")
	p = setup{dir: dir}.dev(t, "--env-file", "other.env", "--state", "other", testServer(t))
	get(p, "NAME", "other")
	get(p, "TOKEN", "")
	p = setup{}.dev(t, testServer(t)) // there is no .env, and it need not be
	get(p, "NAME", "")

	for file, want := range map[string]string{"missing.env": "missing.env", ".env": ".env", "broken.env": "broken.env:2"} {
		here := dir
		if file == ".env" {
			here = t.TempDir() // given by name, even the default one must be there
		}
		if said := (setup{dir: here}).fails(t, 1, "dev", "--port", "0", "--env-file", file, testServer(t)); !strings.Contains(said, want) {
			t.Errorf("--env-file %s: %q", file, said)
		}
	}
}

func TestDevShowsWhatTheServerWrites(t *testing.T) {
	t.Parallel()
	j := setup{}.dev(t, testServer(t))
	j.get("/parties/test/a?print=ahoy")
	log := func(text string) event {
		return j.event("log line "+text, 1, func(e event) bool { return e.Type == "log" && strings.Contains(e.Text, text) })
	}
	if e := log("to stdout: ahoy"); e.Text != "to stdout: ahoy" || string(e.Output) != "true" || e.Level != "INFO" || e.Generation != 1 {
		t.Errorf("stdout: %+v", e)
	}
	if e := log("to stderr: ahoy"); string(e.Output) != "true" || e.Level != "ERROR" {
		t.Errorf("stderr: %+v", e)
	}
	if e := log("logged"); e.Room != "test/a" || e.Level != "WARN" || !strings.Contains(e.Text, "what=ahoy") {
		t.Errorf("Log: %+v", e)
	}

	p := setup{}.start(t, "dev", "--ui", "plain", "--port", "0", testServer(t))
	url := strings.Fields(p.out.line(t, "serving"))[1]
	resp, err := http.Get(url + "/parties/test/a?print=ahoy")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	p.out.line(t, "  to stderr: ahoy")
	if line := p.out.line(t, "  to stdout: ahoy"); strings.Contains(line, "INFO") {
		t.Errorf("stdout: %q", line)
	}
	if line := p.out.line(t, "logged"); !strings.Contains(line, "test/a") || !strings.Contains(line, "WARN") {
		t.Errorf("Log: %q", line)
	}
}

// Somebody else's module, built with the flags that they have set.
func TestDevOfAnotherModule(t *testing.T) {
	t.Parallel()
	dir := module(t, map[string]string{
		"main.go": `package main

import (
	"fmt"
	"net/http"

	"github.com/goparty/party"

	"example.com/outside/inner"
)

var version = "unset"

type Room struct{ party.Server }

func (*Room) OnRequest(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, inner.Tags, " ", version) }

func main() {
	party.Main(party.App{Servers: party.Servers{"room": party.ClassOf[Room]()}})
}
`,
		"inner/none.go": "//go:build !x && !y\n\npackage inner\n\nconst Tags = \"none\"\n",
		"inner/x.go":    "//go:build x && !y\n\npackage inner\n\nconst Tags = \"x\"\n",
		"inner/xy.go":   "//go:build x && y\n\npackage inner\n\nconst Tags = \"xy\"\n",
	})
	for goflags, want := range map[string]string{
		"":                                   "none unset",
		"-tags=x":                            "x unset",
		"--tags=x,y":                         "xy unset",
		"-tags=x -ldflags=-X=main.version=7": "x 7",
		"'-tags=x,y'":                        "xy unset",
		"'-ldflags=-X main.version=7 -s'":    "none 7",
	} {
		t.Run(goflags, func(t *testing.T) {
			p := setup{dir: dir, env: []string{"GOFLAGS=" + goflags}}.dev(t)
			if status, got := p.get("/parties/room/a"); status != http.StatusOK || got != want {
				t.Errorf("GOFLAGS=%s: %d %q, want %q", goflags, status, got, want)
			}
		})
	}
}
