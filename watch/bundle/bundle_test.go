package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tailscale/hujson"
)

// fake stands for the go command.
type fake struct {
	err          error
	goflags, sdk string
	env, flags   []string
	methods      string
}

func (f *fake) PackageDir(context.Context, string) (string, error) { return f.sdk, nil }

func (f *fake) Compile(_ context.Context, out string, env []string, flags ...string) error {
	f.env, f.flags = env, flags
	if len(flags) > 0 {
		list, err := os.ReadFile(strings.TrimPrefix(flags[0], "-overlay="))
		if err != nil {
			return err
		}
		var overlay struct{ Replace map[string]string }
		if err := json.Unmarshal(list, &overlay); err != nil {
			return err
		}
		b, err := os.ReadFile(overlay.Replace[filepath.Join(f.sdk, methodsFile)])
		if err != nil {
			return err
		}
		f.methods = string(b)
	}
	if f.err != nil {
		return f.err
	}
	return os.WriteFile(out, []byte("\x00asm and so on"), 0o755)
}

func (f *fake) Env(_ context.Context, name string) (string, error) {
	if name == "GOFLAGS" {
		return f.goflags, nil
	}
	out, err := exec.Command("go", "env", name).Output()
	return strings.TrimSpace(string(out)), err
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func configOf(t *testing.T, dir string) (c config) {
	t.Helper()
	standard, err := hujson.Standardize([]byte(read(t, filepath.Join(dir, configName))))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(standard, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	f := &fake{}
	b, err := Write(t.Context(), f, Options{Name: "chat", Out: dir, Classes: []string{"MyServer", "class"}, Handler: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.env, []string{"GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0"}) || !slices.Equal(b.Config, []string{"written"}) || b.Size == 0 || b.Zipped == 0 || b.Zipped > b.Size {
		t.Errorf("%q %+v", f.env, b)
	}
	index := read(t, filepath.Join(dir, "index.js"))
	for _, want := range []string{`roomClass("MyServer", "my-server")`, "as MyServer }", "as class }", `"my-server": "MyServer"`, `"class": "class"`, "}, true);"} {
		if !strings.Contains(index, want) {
			t.Errorf("no %s in index.js:\n%s", want, index)
		}
	}
	script := read(t, filepath.Join(dir, "go.js"))
	if !strings.Contains(script, "globalThis.Go = class") || !strings.HasPrefix(script, "// Made of") {
		t.Errorf("go.js begins with %.200s", script)
	}
	c := configOf(t, dir)
	made, bound := c.classes()
	if len(made) != 2 || len(bound) != 2 || !made["class"] || !bound["MyServer"] || c.Migrations[0].Tag != "MyServer" {
		t.Errorf("%+v", c)
	}
	// Whatever the files import must be there.
	scripts, err := filepath.Glob(filepath.Join(dir, "*.js"))
	if err != nil || len(scripts) < 5 {
		t.Fatalf("%q %v", scripts, err)
	}
	for _, path := range scripts {
		for _, line := range strings.Split(read(t, path), "\n") {
			if _, from, ok := strings.Cut(line, ` from "./`); ok {
				name, _, _ := strings.Cut(from, `"`)
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Errorf("%s imports %s: %v", filepath.Base(path), name, err)
				}
			}
		}
	}
}

func TestMethodsAreNamed(t *testing.T) {
	sdk := t.TempDir()
	write := func(f *fake) {
		t.Helper()
		f.sdk = sdk
		if _, err := Write(t.Context(), f, Options{Name: "n", Out: t.TempDir(), Classes: []string{"a"}, Methods: []string{"Pay", "Deposit", "Pay"}}); err != nil {
			t.Fatal(err)
		}
	}
	f := &fake{}
	if write(f); len(f.flags) > 0 {
		t.Errorf("an SDK without the file: %q", f.flags)
	}
	if err := os.WriteFile(filepath.Join(sdk, methodsFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f = &fake{}
	if write(f); strings.Count(f.methods, `v.MethodByName("Pay")`) != 1 || !strings.Contains(f.methods, `case "Deposit":`) {
		t.Errorf("%q\n%s", f.flags, f.methods)
	}
	f = &fake{goflags: "-mod=mod -overlay=mine.json"}
	if write(f); len(f.flags) > 0 {
		t.Errorf("the user's own overlay is replaced: %q", f.flags)
	}
}

func TestWriteKeepsTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write := func(classes ...string) *Bundle {
		t.Helper()
		b, err := Write(t.Context(), &fake{}, Options{Name: "chat", Out: dir, Classes: classes})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write("b")
	path := filepath.Join(dir, configName)
	mine := strings.Replace(read(t, path), `"main"`, "\"vars\": {\"GREETING\": \"hello\"}, // mine\n  \"main\"", 1)
	if err := os.WriteFile(path, []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	if b := write("b"); !slices.Equal(b.Config, []string{"kept"}) || read(t, path) != mine {
		t.Errorf("%q\n%s", b.Config, read(t, path))
	}
	// A new class comes behind the migrations that were deployed, also where its
	// name sorts before theirs.
	if b := write("a", "b"); !slices.Equal(b.Config, []string{"class a added"}) {
		t.Errorf("%q", b.Config)
	}
	text := read(t, path)
	c := configOf(t, dir)
	if len(c.Migrations) != 2 || c.Migrations[0].Tag != "b" || c.Migrations[1].Tag != "a" || !slices.Equal(c.Migrations[1].NewSQLiteClasses, []string{"a"}) ||
		!strings.Contains(text, "// mine") || !strings.Contains(text, `"hello"`) {
		t.Errorf("%+v\n%s", c, text)
	}
	// A class that is gone keeps its rooms until somebody decides otherwise.
	if b := write("a"); len(b.Config) != 2 || !strings.Contains(strings.Join(b.Config, " "), "deleted_classes") || read(t, path) != text {
		t.Errorf("%q\n%s", b.Config, read(t, path))
	}
}

func TestAmend(t *testing.T) {
	for _, test := range []struct{ name, old, want, fails string }{
		{name: "empty", old: `{}`, want: "a:a"},
		{name: "bindings missing", old: `{"durable_objects": {}, "migrations": []}`, want: "a:a"},
		{name: "bound and not made", old: `{"durable_objects": {"bindings": [{"name": "a", "class_name": "a"}]}}`, want: "a:a"},
		{name: "tag taken", old: `{"migrations": [{"tag": "a", "new_sqlite_classes": ["x"]}]}`, want: "a:x a-2:a"},
		{name: "renamed", old: `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["x"]}, {"tag": "v2", "renamed_classes": [{"from": "x", "to": "a"}]}]}`, want: "v1:x v2:"},
		{name: "deleted", old: `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["a"]}, {"tag": "v2", "deleted_classes": ["a"]},]}`, want: "v1:a v2: a:a"},
		{name: "no JSON", old: `{"name": `, fails: "mend it"},
		{name: "another shape", old: `{"migrations": 5}`, fails: "mend it"},
		{name: "no object", old: `[]`, fails: "mend it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, configName)
			if err := os.WriteFile(path, []byte(test.old), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Write(t.Context(), &fake{}, Options{Name: "n", Out: dir, Classes: []string{"a"}})
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v", err)
				}
				if read(t, path) != test.old {
					t.Errorf("it is now %s", read(t, path))
				}
				if _, err := os.Stat(filepath.Join(dir, "app.wasm")); err == nil {
					t.Error("the rest was written")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c := configOf(t, dir)
			var got []string
			for _, m := range c.Migrations {
				got = append(got, m.Tag+":"+strings.Join(m.NewSQLiteClasses, ","))
			}
			if _, bound := c.classes(); strings.Join(got, " ") != test.want || !bound["a"] {
				t.Errorf("%q %v\n%s", got, bound, read(t, path))
			}
		})
	}
}

func TestWriteFails(t *testing.T) {
	broken := errors.New("it does not compile")
	if _, err := Write(t.Context(), &fake{err: broken}, Options{Out: t.TempDir(), Classes: []string{"a"}}); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := Write(t.Context(), &fake{}, Options{Out: t.TempDir()}); err == nil {
		t.Error("a bundle without classes")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), &fake{}, Options{Out: file, Classes: []string{"a"}}); err == nil {
		t.Error("a bundle in a file")
	}
}

func TestFindEngine(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("PARTY_WORKERD", "")
	if _, err := FindEngine(dir); err == nil || !strings.Contains(err.Error(), "npm install wrangler@") {
		t.Error(err)
	}
	path := filepath.Join(dir, "node_modules", "@cloudflare", "workerd-linux-64", "bin", "workerd")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if found, err := FindEngine(filepath.Join(dir, "deeper", "still")); err != nil || found != path {
		t.Error(found, err)
	}
	t.Setenv("PARTY_WORKERD", filepath.Join(dir, "missing"))
	if _, err := FindEngine(dir); err == nil || !strings.Contains(err.Error(), "PARTY_WORKERD") {
		t.Error(err)
	}
}

func TestEngineThatFails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the engine is not run there")
	}
	dir := t.TempDir()
	engine := filepath.Join(dir, "workerd")
	if err := os.WriteFile(engine, []byte("#!/bin/sh\necho it is broken >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := EngineOptions{Path: engine, Bundle: dir, Classes: []string{"a"}, State: filepath.Join(dir, "state")}
	if _, err := StartEngine(t.Context(), o); err == nil || !strings.Contains(err.Error(), "holds no bundle") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.js"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := StartEngine(t.Context(), o); err == nil || !strings.Contains(err.Error(), "it is broken") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.capnp")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
