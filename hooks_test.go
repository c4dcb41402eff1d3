package party

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The tool warns of methods that look like hooks, and so names them too.
func TestTheToolKnowsEveryHook(t *testing.T) {
	source, err := os.ReadFile("watch/hooks.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hooks {
		if !strings.Contains(string(source), strconv.Quote(h.name)+",") {
			t.Errorf("watch does not know %s", h.name)
		}
	}
}
