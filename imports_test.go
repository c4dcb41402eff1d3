package party_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// mayImport is the layering: which of our packages each may import. A place
// stands for itself and all below it, and so does what it may import; the
// longest place that fits a package counts.
var mayImport = map[string][]string{
	"":                 {"emulator/guest", "emulator/wire", "emulator/workers"}, // and emulator where it stands alone
	"emulator":         {"emulator"},
	"emulator/wire":    {},
	"emulator/guest":   {"emulator/wire"},
	"emulator/clock":   {},
	"emulator/envfile": {},
	"emulator/control": {"emulator/inspect"},
	"emulator/inspect": {},
	"emulator/process": {"emulator/guest", "emulator/wire"},
	"emulator/workers": {"emulator/guest", "emulator/wire"},
	"watch":            {"emulator"},
	"devclient":        {},

	"devclient/script":    {"emulator", "watch", "devclient"},
	"devclient/partytest": {".", "devclient", "emulator"},
	"testscripts":         {"devclient/script"},

	"tui":      {"emulator/inspect", "devclient"},
	"cmd":      {"emulator", "watch", "devclient", "tui"},
	"fixtures": {"."},
}

const module = "github.com/goparty/party"

// builds are the ways in which the same code is built.
var builds = []struct {
	name, tags, goos, goarch string
	packages                 string
	standalone               bool
	never                    []string // packages that may not be in it
}{
	{name: "default", packages: "./...", standalone: true},
	{name: "plugin", tags: "partyplugin", packages: "./fixtures/...",
		never: []string{"modernc.org/sqlite", "github.com/gorilla/websocket", module + "/emulator"}},
	{name: "wasm", goos: "js", goarch: "wasm", packages: ".",
		never: []string{"modernc.org/sqlite", "github.com/gorilla/websocket", module + "/emulator"}},
}

func TestImports(t *testing.T) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			cmd := exec.Command("go", "list", "-deps", "-tags", b.tags, "-f", `{{.ImportPath}} {{join .Imports " "}}`, b.packages)
			cmd.Env = os.Environ()
			if b.goos != "" {
				cmd.Env = append(cmd.Env, "GOOS="+b.goos, "GOARCH="+b.goarch, "CGO_ENABLED=0")
			}
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("go list: %v", err)
			}
			ours := 0
			for line := range strings.Lines(string(out)) {
				fields := strings.Fields(line)
				path := fields[0]
				for _, never := range b.never {
					if path == never {
						t.Errorf("%s is in this build", path)
					}
				}
				from, ok := place(path)
				if !ok {
					continue
				}
				ours++
				for _, imported := range fields[1:] {
					if to, ok := place(imported); ok && !allowed(from, to, b.standalone) {
						t.Errorf("%s imports %s", path, imported)
					}
				}
			}
			if ours == 0 {
				t.Error("go list named none of our packages")
			}
		})
	}
}

// place is a package's path below the module.
func place(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func allowed(from, to string, standalone bool) bool {
	if from == "" && standalone && to == "emulator" {
		return true
	}
	key := from
	for {
		if _, ok := mayImport[key]; ok {
			break
		}
		i := strings.LastIndexByte(key, '/')
		if i < 0 {
			return false // a place that the layering does not know
		}
		key = key[:i]
	}
	for _, may := range mayImport[key] {
		if may == "." && to == "" || may == to || may != "." && strings.HasPrefix(to, may+"/") {
			return true
		}
	}
	return false
}

func TestLayeringKnowsEveryPlace(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"testscripts": true}
	for p := range mayImport {
		first, _, _ := strings.Cut(p, "/")
		known[first] = true
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !known[e.Name()] {
			t.Errorf("top-level folder %s is not in the layering", e.Name())
		}
	}
}
