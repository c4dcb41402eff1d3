package envfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse(strings.NewReader("# a comment\n\nA=1\nexport B = two words # really\nC=\"x\\ny\"\nD='as # is'\nE=\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "1", "B": "two words", "C": "x\ny", "D": "as # is", "E": ""}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseErrorsNameTheLine(t *testing.T) {
	for _, in := range []string{"A=1\nnonsense", "A=1\n=x", "A=1\nB=\"open", "A=1\nB='open", "A=1\nB C=2"} {
		if _, err := Parse(strings.NewReader(in)); err == nil || !strings.HasPrefix(err.Error(), "2:") {
			t.Errorf("%q: %v", in, err)
		}
	}
}
