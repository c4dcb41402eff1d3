package testscripts

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/devclient/script"
)

// One program on two runtimes gives one transcript: what each client and request
// of a script saw. The engine is what testdata/workers of cmd/party installs;
// this takes a minute, so it is asked for by PARTY_TEST_CLIENTS=required.
func TestTranscriptsAreTheSame(t *testing.T) {
	if os.Getenv("PARTY_TEST_CLIENTS") != "required" {
		t.Skip("comparing with Cloudflare's engine takes a minute: set PARTY_TEST_CLIENTS=required to do it")
	}
	if os.Getenv("PARTY_WORKERD") == "" {
		found, err := script.FindWorkerd("../cmd/party/testdata/workers")
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("PARTY_WORKERD", found)
	}
	run := func(on string, match *regexp.Regexp) map[string]script.Result {
		all := map[string]script.Result{}
		o := script.Options{Files: []string{"."}, Dir: "..", On: on, Match: match, Transcript: true, Timeout: 2 * time.Minute}
		if err := script.Test(t.Context(), o, false, func(r script.Result) {
			all[r.Name] = r
			if r.Status == script.Failed {
				t.Errorf("%s on %s:\n%s", r.Name, on, r.Log)
			}
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	there := run(script.OnWorkerd, nil)
	var both []string
	for name, r := range there {
		if r.Status == script.Passed {
			both = append(both, name)
		}
	}
	if len(both) < 40 {
		t.Errorf("only %d of %d scripts ran on workerd", len(both), len(there))
	}
	here := run(script.OnEmulator, regexp.MustCompile("^("+strings.Join(both, "|")+")$"))
	listed := table(t)
	for _, name := range both {
		seen := "same"
		if here[name].Transcript != there[name].Transcript {
			seen = "differs"
		}
		if want := listed[name]; want != seen && (want != "" || seen != "same") {
			t.Errorf("%s is %s, and workerd.md says %q\nemulator:\n%s\nworkerd:\n%s", name, seen, want, here[name].Transcript, there[name].Transcript)
		}
	}
}

// table is what workerd.md says of scripts: whether clients see the same.
func table(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("workerd.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(b), -1) {
		if _, err := os.Stat(m[1] + ".txtar"); err != nil {
			t.Errorf("workerd.md lists %s, and there is no such script", m[1])
		}
		all[m[1]] = m[2]
	}
	return all
}

// Whatever asks which runtime it is on is in the table, with the reason.
func TestConditionsAreExplained(t *testing.T) {
	listed := table(t)
	files, err := script.Options{Files: []string{"."}}.Find()
	if err != nil {
		t.Fatal(err)
	}
	asks := regexp.MustCompile(`(?m)^\[!?workerd\]`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(b), "\n-- ")
		if name := script.NameOf(f); asks.MatchString(text) && listed[name] == "" {
			t.Errorf("%s asks whether it is on workerd, and workerd.md does not say why", name)
		}
	}
}
