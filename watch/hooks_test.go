package watch

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/inspect"
)

func TestMethodsThatLookLikeHooks(t *testing.T) {
	for source, want := range map[string]string{
		"func (c *Chat) OnConect() {}":                                     "1: Chat.OnConect is no hook, and nothing calls it; did you mean OnConnect?",
		"func (c Chat) OnDisconnect() {}":                                  "1: Chat.OnDisconnect is no hook, and nothing calls it; did you mean OnClose?",
		"func (c *Chat) onMessage() {}":                                    "did you mean OnMessage?",
		"func (c *Chat) ConnectonTags() {}":                                "did you mean ConnectionTags?",
		"func (c *Chat) OnMessage() {}":                                    "", // the SDK tells
		"func (c *Chat) OnTyping() {}":                                     "",
		"func (c *Chat) Reload() {}":                                       "",
		"func OnConect() {}":                                               "",
		"type Other struct{}\nfunc (o *Other) OnConect() {}":               "", // no class
		"func (c *Chat) OnOpen() {}\nfunc (c *Chat) Join() { c.OnOpen() }": "", // a name of their own
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{
			"hook.go":  "package main; " + source + "\n",
			"class.go": "package main\nimport sdk \"github.com/goparty/party\"\ntype Chat struct {\n\tsdk.Server\n\tn int\n}\n",
			"half.go":  "package main\nfunc (",
		})
		got := ""
		for _, n := range noHooks([]*listed{{Dir: dir, GoFiles: []string{"class.go", "half.go", "hook.go"}, Imports: []string{modulePath}}}) {
			got += strings.TrimPrefix(n.String(), near(filepath.Join(dir, "hook.go"))+":")
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}

func TestMisspeltHooksAreSaidOnce(t *testing.T) {
	main := answering("", `"one"`)
	dir := outside(t, map[string]string{"main.go": main})
	w := start(t, dir)
	misspelt := main + "\nfunc (*Echo) OnConect() {}\n"
	warning := func(e *inspect.Log) bool {
		return e.Level == "WARN" && strings.Contains(e.Text, "did you mean OnConnect?")
	}
	write(t, dir, map[string]string{"main.go": misspelt})
	if e := await(w, warning); !strings.Contains(e.Text, "main.go:") {
		t.Error(e.Text)
	}
	w.answers("two", map[string]string{"main.go": strings.Replace(misspelt, `"one"`, `"two"`, 1)})
	w.settled()
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.ContainsFunc(w.all[w.seen:], func(e inspect.Event) bool { l, ok := e.(*inspect.Log); return ok && warning(l) }) {
		t.Error("it is said again")
	}
}
