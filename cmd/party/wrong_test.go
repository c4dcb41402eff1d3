//go:build unix

package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

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
		{[]string{"dev", dir, dir}, "party dev [DIR]"},
		{[]string{"dve", dir}, "dev"},
		{[]string{"version", "1"}, "version"},
	} {
		if said := (setup{}).fails(t, 2, c.args...); !strings.Contains(said, c.want) {
			t.Errorf("party %s: no %q in %q", strings.Join(c.args, " "), c.want, said)
		}
	}
}

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
			if _, err := os.Stat(filepath.Join(dir, ".party")); c.dir == "nowhere" && err == nil {
				t.Error("a directory for state was made for a server that is none")
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

func TestDevStateInUse(t *testing.T) {
	t.Parallel()
	p := setup{}.dev(t, testServer(t))
	// It says so before it builds anything, or takes a port.
	broken := module(t, map[string]string{"main.go": source + "func main() { party.Main(nonsense) }\n"})
	said := setup{dir: p.dir}.fails(t, 1, "dev", "--port", "0", broken)
	for _, want := range []string{"in use by process " + strconv.Itoa(p.cmd.Process.Pid), "`party attach` shows what runs here", "--state and a --socket"} {
		if !strings.Contains(said, want) {
			t.Errorf("it says %q, without %q", said, want)
		}
	}
	if status, body := p.get("/parties/test/a"); status != http.StatusOK {
		t.Errorf("the first one: %d %s", status, body)
	}
}
