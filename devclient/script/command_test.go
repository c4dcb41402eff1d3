package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// testscript's own commands win over ours without a word.
func TestNoCommandBearsANameOfTestscripts(t *testing.T) {
	bare := func(t *testing.T, line string) string {
		file := filepath.Join(t.TempDir(), "bare.txtar")
		if err := os.WriteFile(file, []byte(line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := &suite{}
		testscript.RunT(s, testscript.Params{Files: []string{file}})
		s.running.Wait()
		return s.log.String()
	}
	if log := bare(t, "stop"); strings.Contains(log, "unknown command") {
		t.Fatalf("this test would not find anything: %s", log)
	}
	for _, c := range Commands() {
		if log := bare(t, c.Name); !strings.Contains(log, `unknown command "`+c.Name+`"`) {
			t.Errorf("%s is a command of testscript's own: choose another name", c.Name)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range Commands() {
		help, err := Help(c.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, usage := range c.Usage {
			if line := strings.TrimSpace(c.Name + " " + usage); !strings.Contains(help, line+"\n") {
				t.Errorf("the help of %s lacks %q:\n%s", c.Name, line, help)
			}
		}
		switch {
		case c.Short == "" || strings.HasSuffix(c.Short, ".") || strings.ToLower(c.Short[:1]) != c.Short[:1]:
			t.Errorf("%s: Short is %q", c.Name, c.Short)
		case !strings.Contains(strings.ToLower(help), strings.ToLower(c.Short)):
			t.Errorf("the help of %s lacks %q:\n%s", c.Name, c.Short, help)
		case c.Fails != strings.Contains(help, "! before it asks for its failure"):
			t.Errorf("the help of %s does not say whether it can be asked to fail:\n%s", c.Name, help)
		case !strings.Contains(Table(), "| `"+c.Name):
			t.Errorf("the table lacks %s", c.Name)
		}
	}
}

func TestHelpOfATypo(t *testing.T) {
	for typo, want := range map[string]string{
		"conect":  `no command "conect"; did you mean connect?`,
		"adv":     `no command "adv"`,
		"recieve": `no command "recieve"`,
	} {
		if _, err := Help(typo); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Help(%q): %v, want %s", typo, err, want)
		}
	}
}
