package bundle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// EngineVersion is the npm package of the engine that everything here is
// tested with: what wrangler of that version brings along.
const EngineVersion = "wrangler@4.86.0"

// FindEngine finds Cloudflare's engine, workerd: the program that the variable
// PARTY_WORKERD names, or that npm has installed in one of dirs or above it, or
// on PATH.
func FindEngine(dirs ...string) (string, error) {
	if path := os.Getenv("PARTY_WORKERD"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("PARTY_WORKERD: %w", err)
		}
		return filepath.Abs(path)
	}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		for {
			found, err := filepath.Glob(filepath.Join(abs, "node_modules", "@cloudflare", "workerd-*", "bin", "workerd*"))
			if err == nil && len(found) > 0 {
				return found[0], nil
			}
			above := filepath.Dir(abs)
			if above == abs {
				break
			}
			abs = above
		}
	}
	if path, err := exec.LookPath("workerd"); err == nil {
		return path, nil
	}
	return "", errors.New("Cloudflare's engine is not installed: run `npm install " + EngineVersion + "` here, or name a workerd with PARTY_WORKERD") //lint:ignore ST1005 a name
}

// EngineOptions say what an engine runs.
type EngineOptions struct {
	Path    string // of workerd
	Bundle  string // the folder
	Classes []string
	State   string            // folder of the rooms' storage; it is made where it is missing
	Vars    map[string]string // what Server.Env reads
	Address string            // to listen on; "": 127.0.0.1 and a free port
	Line    func(line string) // gets what the engine writes; nil: nobody
}

// Engine is Cloudflare's engine running a bundle on this machine.
type Engine struct {
	URL string // http://127.0.0.1:PORT

	cmd    *exec.Cmd
	read   sync.WaitGroup
	exited chan struct{}
	output *tail
}

// startLimit is how long the engine may take until it listens.
const startLimit = 30 * time.Second

// StartEngine starts the engine and returns when it listens.
func StartEngine(ctx context.Context, o EngineOptions) (*Engine, error) {
	if runtime.GOOS == "windows" {
		return nil, errors.New("running the engine directly is not offered on Windows: use `npx wrangler dev` in the bundle's folder")
	}
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	state, err := filepath.Abs(o.State)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	config, err := engineConfig(o, state)
	if err != nil {
		return nil, err
	}
	// Beside the bundle's files, since it names them; the engine reads it once.
	file, err := os.CreateTemp(o.Bundle, "workerd-*.capnp")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(config)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	reports, control, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reports.Close()
	e := &Engine{exited: make(chan struct{}), output: &tail{line: o.Line}}
	e.cmd = exec.Command(o.Path, "serve", "--control-fd=3", file.Name(), "config")
	e.cmd.ExtraFiles = []*os.File{control}
	e.cmd.WaitDelay = time.Second
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		control.Close()
		return nil, err
	}
	e.cmd.Stderr = e.cmd.Stdout
	err = e.cmd.Start()
	control.Close()
	if err != nil {
		return nil, fmt.Errorf("starting the engine: %w", err)
	}
	e.read.Go(func() { e.output.read(out) })
	go func() {
		e.read.Wait()
		_ = e.cmd.Wait()
		close(e.exited)
	}()
	port, err := e.listening(ctx, reports)
	if err != nil {
		_ = e.Close()
		return nil, err
	}
	host, _, _ := strings.Cut(o.Address, ":")
	e.URL = "http://" + host + ":" + strconv.Itoa(port)
	return e, nil
}

// listening waits until the engine says where it listens.
func (e *Engine) listening(ctx context.Context, reports *os.File) (int, error) {
	stop := context.AfterFunc(ctx, func() { _ = reports.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = reports.SetReadDeadline(time.Now().Add(startLimit))
	d := json.NewDecoder(reports)
	for {
		var report struct {
			Event, Socket string
			Port          int
		}
		if err := d.Decode(&report); err != nil {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return 0, fmt.Errorf("the engine did not listen within %s:\n%s", startLimit, e.output.text())
			}
			<-e.exited
			return 0, fmt.Errorf("the engine ended:\n%s", e.output.text())
		}
		if report.Event == "listen" && report.Socket == "http" {
			return report.Port, nil
		}
	}
}

// Done is closed when the engine has ended.
func (e *Engine) Done() <-chan struct{} { return e.exited }

// Output is the last that the engine wrote.
func (e *Engine) Output() string { return e.output.text() }

// Close ends the engine as a power failure would: what was committed is kept.
func (e *Engine) Close() error {
	_ = e.cmd.Process.Kill()
	<-e.exited
	return nil
}

// engineConfig is the configuration that wrangler would make of a bundle.
func engineConfig(o EngineOptions, state string) ([]byte, error) {
	modules, err := filepath.Glob(filepath.Join(o.Bundle, "*.js"))
	if err != nil {
		return nil, err
	}
	for i := range modules {
		modules[i] = filepath.Base(modules[i])
	}
	slices.SortFunc(modules, func(a, b string) int { // the first is the one that is run
		switch {
		case a == "index.js":
			return -1
		case b == "index.js":
			return 1
		}
		return strings.Compare(a, b)
	})
	if len(modules) == 0 || modules[0] != "index.js" {
		return nil, fmt.Errorf("%s holds no bundle: make one with `party build --target=workers --out %s`", o.Bundle, o.Bundle)
	}
	var b bytes.Buffer
	f := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	f(`using Workerd = import "/workerd/workerd.capnp";`)
	f(`const config :Workerd.Config = (`)
	f(`  services = [`)
	f(`    (name = "main", worker = .app),`)
	f(`    (name = "internet", network = (allow = ["public", "private", "local"], tlsOptions = (trustBrowserCas = true))),`)
	f(`    (name = "state", disk = (path = %q, writable = true)),`, state)
	f(`  ],`)
	f(`  sockets = [(name = "http", address = %q, http = (), service = "main")],`, o.Address)
	f(`);`)
	f(`const app :Workerd.Worker = (`)
	f(`  modules = [`)
	for _, m := range modules {
		f(`    (name = %[1]q, esModule = embed %[1]q),`, m)
	}
	f(`    (name = "app.wasm", wasm = embed "app.wasm"),`)
	f(`  ],`)
	f(`  compatibilityDate = %q,`, compatibility)
	f(`  compatibilityFlags = ["enable_request_signal"],`)
	f(`  durableObjectStorage = (localDisk = "state"),`)
	f(`  durableObjectNamespaces = [`)
	for _, c := range o.Classes {
		f(`    (className = %[1]q, uniqueKey = %[2]q, enableSql = true),`, c, "party-"+c)
	}
	f(`  ],`)
	f(`  bindings = [`)
	for _, c := range o.Classes {
		f(`    (name = %[1]q, durableObjectNamespace = %[1]q),`, c)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Vars)) {
		f(`    (name = %q, text = %q),`, name, o.Vars[name])
	}
	f(`  ],`)
	f(`);`)
	return b.Bytes(), nil
}

// tail keeps the last lines of an output.
type tail struct {
	line func(string)

	mu   sync.Mutex
	last []string
}

const keptLines = 40

func (t *tail) read(r io.Reader) {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		b, err := br.ReadSlice('\n') // a longer line comes in pieces
		if len(b) > 0 {
			s := strings.TrimRight(string(b), "\r\n")
			t.mu.Lock()
			if t.last = append(t.last, s); len(t.last) > keptLines {
				t.last = t.last[1:]
			}
			t.mu.Unlock()
			if t.line != nil {
				t.line(s)
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.last, "\n")
}
