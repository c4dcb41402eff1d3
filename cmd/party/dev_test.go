//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
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
		if said := (setup{dir: here}).fails(t, 1, "dev", "--port", "0", "--env-file", file, "--state", t.TempDir(), testServer(t)); !strings.Contains(said, want) {
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
