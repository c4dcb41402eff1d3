// Package bundle makes of a server what Cloudflare's engine takes: the program
// as WebAssembly, and a folder of plain JavaScript around it that needs no
// package from npm.
package bundle

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/template"

	"github.com/goparty/party/emulator/wire"
)

// Builder is what makes a bundle's parts of a package.
type Builder interface {
	// Compile writes the program to out; env is added to the environment, and
	// flags to those of the go command.
	Compile(ctx context.Context, out string, env []string, flags ...string) error
	// PackageDir is where a package that this one imports lies.
	PackageDir(ctx context.Context, path string) (string, error)
	// Env is a variable of the go command.
	Env(ctx context.Context, name string) (string, error)
}

// Options say what goes into a bundle.
type Options struct {
	Name    string // of the worker, as in its URL
	Out     string // the folder; it is made where it is missing
	Classes []string
	Methods []string // of any class, that rooms call
	Handler bool     // the program has an App.Handler
}

// Bundle is one that was written.
type Bundle struct {
	Size, Zipped int64    // bytes of all that is uploaded, and of that compressed
	Config       []string // what became of wrangler.jsonc, for people
}

// The files of a bundle, but for the program, Go's own script and what is
// generated.
//
//go:embed shim/*.js
var shim embed.FS

// Most is how many bytes a worker may have, compressed, on the platform's free
// plan, and on the paid one.
const (
	MostFree = 3_000_000
	MostPaid = 10_000_000
)

// Write compiles the program and writes the bundle. What was there before is
// replaced, but wrangler.jsonc is kept: only classes that it lacks are added.
func Write(ctx context.Context, b Builder, o Options) (*Bundle, error) {
	if len(o.Classes) == 0 {
		return nil, errors.New("a bundle needs a class")
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, err
	}
	// The configuration first: if it cannot be read nothing else is touched.
	done := &Bundle{}
	changed, err := configure(filepath.Join(o.Out, configName), o, done)
	if err != nil {
		return nil, err
	}
	if err := compile(ctx, b, o); err != nil {
		return nil, err
	}
	files, err := scripts(ctx, b, o)
	if err != nil {
		return nil, err
	}
	if changed != nil {
		files[configName] = changed
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(o.Out, name), content, 0o644); err != nil {
			return nil, err
		}
	}
	weight, err := Weigh(o.Out)
	if err != nil {
		return nil, err
	}
	done.Size, done.Zipped = weight.Size, weight.Zipped
	return done, nil
}

// Weigh says how large what is uploaded of a bundle is.
func Weigh(dir string) (*Bundle, error) {
	uploaded, err := filepath.Glob(filepath.Join(dir, "*.js"))
	if err != nil {
		return nil, err
	}
	b := &Bundle{}
	for _, path := range append(uploaded, filepath.Join(dir, "app.wasm")) {
		if err := b.weigh(path); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// scripts are the files around the program.
func scripts(ctx context.Context, b Builder, o Options) (map[string][]byte, error) {
	files := map[string][]byte{}
	entries, err := shim.ReadDir("shim")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if files[e.Name()], err = shim.ReadFile("shim/" + e.Name()); err != nil {
			return nil, err
		}
	}
	if files["go.js"], err = goScript(ctx, b); err != nil {
		return nil, err
	}
	type class struct{ Binding, Party string }
	var classes []class
	for _, c := range slices.Sorted(slices.Values(o.Classes)) {
		classes = append(classes, class{c, wire.Kebab(c)})
	}
	data := map[string]any{"Name": o.Name, "Classes": classes, "Handler": o.Handler}
	for name, t := range map[string]*template.Template{"index.js": indexTemplate, "README.md": readmeTemplate} {
		var out bytes.Buffer
		if err := t.Execute(&out, data); err != nil {
			return nil, err
		}
		files[name] = out.Bytes()
	}
	return files, nil
}

// goScript is the script of the Go distribution that runs its programs, as a
// function: what it takes for global is given to it, so that no two programs
// share anything.
func goScript(ctx context.Context, b Builder) ([]byte, error) {
	root, err := b.Env(ctx, "GOROOT")
	if err != nil {
		return nil, err
	}
	const name = "wasm_exec.js"
	source, err := os.ReadFile(filepath.Join(root, "lib", "wasm", name))
	if err != nil {
		return nil, fmt.Errorf("the Go distribution has no %s: %w; install all of Go, 1.26 or newer", name, err)
	}
	var out bytes.Buffer
	out.WriteString("// Made of " + name + ", which belongs to the Go distribution that built app.wasm.\n")
	out.WriteString("export default function (globalThis, fs, setTimeout, clearTimeout) {\nglobalThis.fs = fs;\n")
	out.Write(source)
	out.WriteString("\nreturn globalThis.Go;\n}\n")
	return out.Bytes(), nil
}

// weigh adds a file to what is uploaded.
func (b *Bundle) weigh(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var zipped counter
	z := gzip.NewWriter(&zipped)
	n, err := io.Copy(z, f)
	if err == nil {
		err = z.Close()
	}
	b.Size += n
	b.Zipped += int64(zipped)
	return err
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
