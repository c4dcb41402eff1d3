package script

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the README's table")

// The README's table comes from the commands themselves.
func TestReadme(t *testing.T) {
	const file = "../../README.md"
	const begin = "<!-- script commands: go test ./devclient/script -update writes this -->\n"
	const end = "<!-- end of script commands -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := "\n" + Table() + "\n"
	if table == want {
		return
	}
	if !*update {
		t.Fatal("the README's table of script commands is not what the commands say: run go test ./devclient/script -update")
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
