package watch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/inspect"
)

func TestFieldsOfAShellLine(t *testing.T) {
	for line, want := range map[string][]string{
		`a b  c`:                       {"a", "b", "c"},
		`a "b c" 'd e'`:                {"a", "b c", "d e"},
		`GOROOT='/usr/go' link -o x`:   {"GOROOT=/usr/go", "link", "-o", "x"},
		`compile -trimpath "$W/b=>" x`: {"compile", "-trimpath", "$W/b=>", "x"},
		``:                             nil,
		`cat >x << 'EOF'`:              nil, // not a plain command
		`a \b`:                         nil,
		`a "b`:                         nil,
	} {
		got, ok := fields(line)
		if !slices.Equal(got, want) || ok != (want != nil || line == "") {
			t.Errorf("%q: %q, %t", line, got, ok)
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add(`GOROOT='/usr/go' link -o x "y z"`)
	f.Fuzz(func(t *testing.T, line string) {
		args, ok := fields(line)
		if !ok && args != nil {
			t.Errorf("%q: %q", line, args)
		}
		if ok && len(strings.Join(args, "")) > len(line) {
			t.Errorf("%q became %q", line, args)
		}
	})
}

func TestWhatAFileIsBuiltBy(t *testing.T) {
	const file = "//go:build linux\n\npackage main\n\nimport (\n\t\"fmt\"\n\tx \"os\"\n)\n\n//go:embed a.txt\nvar s string\n\nfunc main() { fmt.Println(s, x.Args) }\n"
	path := filepath.Join(t.TempDir(), "main.go")
	of := func(text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := head(path)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	before := of(file)
	for name, edit := range map[string][2]string{
		"a body":    {"fmt.Println(s, x.Args)", "fmt.Print(x.Args, s)"},
		"a comment": {"func main", "// main is\nfunc main"},
	} {
		if of(strings.Replace(file, edit[0], edit[1], 1)) != before {
			t.Errorf("%s makes a difference", name)
		}
	}
	for name, edit := range map[string][2]string{
		"an import":        {"\"fmt\"", "\"fmt\"\n\t\"io\""},
		"no import":        {"\t\"fmt\"\n", ""},
		"the package":      {"package main", "package other"},
		"a constraint":     {"linux", "windows"},
		"what is embedded": {"a.txt", "b.txt"},
	} {
		if of(strings.Replace(file, edit[0], edit[1], 1)) == before {
			t.Errorf("%s makes no difference", name)
		}
	}
	if err := os.WriteFile(path, []byte("package"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := head(path); err == nil {
		t.Error("what is no Go has a head")
	}
}

func TestPositionsOfErrors(t *testing.T) {
	e := &BuildError{"main.go:3:7: undefined: x\nlib/a.go:12: too old\n\tnote: more\nmain.go:4:2: package a/b is not in std\ngo: updates to go.mod needed\ntoo many errors"}
	want := []inspect.BuildError{
		{File: "main.go", Line: 3, Column: 7, Text: "undefined: x"}, {File: "lib/a.go", Line: 12, Text: "too old"},
		{File: "main.go", Line: 4, Column: 2, Text: "package a/b is not in std"},
	}
	if got := e.Errors(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsASource(t *testing.T) {
	for name, want := range map[string]bool{
		"main.go": true, "x_linux.go": true, "asm_amd64.s": true, "c.c": true, "main_test.go": false, ".main.go": false, "_x.go": false,
		"#main.go#": false, "main.go~": false, ".#main.go": false, "main.go.swp": false, "README.md": false, "go.mod": false,
	} {
		if got := isSource(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
