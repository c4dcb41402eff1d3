//go:build unix

package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// builds runs `party build` and returns what it prints.
func builds(t testing.TB, dir string, args ...string) string {
	t.Helper()
	p := setup{dir: dir}.start(t, append([]string{"build"}, args...)...)
	if code := p.wait(); code != 0 {
		t.Fatalf("party build %s: exit status %d", strings.Join(args, " "), code)
	}
	return p.out.String()
}

// The file that is built serves by itself, keeps what rooms store and ends
// orderly.
func TestBuildBinary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := builds(t, dir, "--out", "made", engineServer(t))
	path := filepath.Join(dir, "made", "engine")
	if !strings.Contains(out, filepath.Join("made", "engine")) {
		t.Errorf("it printed %q", out)
	}
	if text, err := exec.Command("file", path).CombinedOutput(); err == nil && !strings.Contains(string(text), "statically linked") {
		t.Errorf("%s", text)
	}
	for i, want := range []string{"404", "200"} { // what the second run finds
		cmd := exec.Command(path, "--port", "0", "--state", filepath.Join(dir, "state"))
		said := newOutput()
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go said.read(stderr)
		_, url, _ := strings.Cut(said.line(t, "listening on "), "listening on ")
		status := func(path string) string {
			resp, err := http.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.Status[:3]
		}
		if i == 0 {
			if got := status("/parties/probe/kept/values"); got != "200" {
				t.Error(got)
			}
			want = "200"
		}
		if got := status("/parties/probe/kept/kept"); got != want {
			t.Errorf("run %d: %s", i, got)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			t.Fatal("it ignores SIGTERM")
		}
	}
}

func TestBuildWorkers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	chat := filepath.Join(repo(t), "fixtures", "chat")
	out := builds(t, dir, "--target", "workers", chat)
	made := filepath.Join(dir, "dist", "workers")
	for _, want := range []string{filepath.Join("dist", "workers"), "compressed", "wrangler.jsonc  written", "npx wrangler deploy"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	program, err := os.ReadFile(filepath.Join(made, "app.wasm"))
	if err != nil || !bytes.HasPrefix(program, []byte("\x00asm")) {
		t.Fatalf("%.10q %v", program, err)
	}
	for _, here := range []string{repo(t), dir, os.Getenv("HOME")} {
		if here != "" && here != "/" && bytes.Contains(program, []byte(here+"/")) {
			t.Errorf("the program tells where it was built: %s", here)
		}
	}
	small(t, made)
	if out := builds(t, dir, "--target", "workers", chat); !strings.Contains(out, "wrangler.jsonc  kept") {
		t.Errorf("the second time it printed %s", out)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	const imports = "package main\n\nimport \"github.com/goparty/party\"\n\n"
	for name, test := range map[string]struct {
		files map[string]string
		args  []string
		code  int
		says  string
	}{
		"target":   {args: []string{"--target", "moon"}, code: exitUsage, says: "binary or workers"},
		"two":      {args: []string{"a", "b"}, code: exitUsage, says: "call it as `party build [DIR]`"},
		"nowhere":  {args: []string{"missing"}, code: exitFailed, says: "no such directory"},
		"empty":    {code: exitFailed, says: "holds no Go files"},
		"compiler": {files: map[string]string{"main.go": imports + "func main() { party.Main(App) }\n"}, code: exitFailed, says: "undefined: App"},
		"app": {files: map[string]string{"main.go": imports + "func main() { party.Main(party.App{}) }\n"},
			code: exitFailed, says: "the App has no Servers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := module(t, test.files)
			said := setup{dir: dir}.fails(t, test.code, append([]string{"build"}, test.args...)...)
			if !strings.Contains(said, test.says) {
				t.Errorf("it said %q", said)
			}
			if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
				t.Error("something was written")
			}
		})
	}
}

// wrangler takes a bundle as it is: it checks the configuration, puts the files
// together and says how large that is.
func TestWranglerTakesABundle(t *testing.T) {
	t.Parallel()
	wrangler := filepath.Join(workersDir, "node_modules", "wrangler", "bin", "wrangler.js")
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "there is no node on PATH: install Node.js 20 or later to test with wrangler")
	}
	if wrangler, err = filepath.Abs(wrangler); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(wrangler); err != nil {
		missing(t, "wrangler is not installed: run `npm install --no-package-lock --no-audit --no-fund` in cmd/party/"+workersDir)
	}
	made := bundled(t, filepath.Join(repo(t), "fixtures", "chat"))
	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command(path, append([]string{wrangler}, args...)...)
		cmd.Dir = made
		cmd.Env = append(os.Environ(), "WRANGLER_SEND_METRICS=false", "CLOUDFLARE_CF_FETCH_ENABLED=false", "CI=1", "WRANGLER_LOG_PATH="+t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd
	}
	out, err := run("deploy", "--dry-run", "--outdir", t.TempDir()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Total Upload") || !strings.Contains(string(out), "env.chat") || strings.Contains(string(out), "WARNING") {
		t.Fatalf("%v\n%s", err, out)
	}
	dev := run("dev", "--ip", "127.0.0.1", "--port", "0", "--persist-to", t.TempDir())
	stdout, err := dev.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	dev.Stderr = dev.Stdout
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	said := newOutput()
	go said.read(stdout)
	t.Cleanup(func() {
		_ = syscall.Kill(-dev.Process.Pid, syscall.SIGKILL)
		_ = dev.Wait()
		if t.Failed() {
			t.Logf("wrangler dev wrote:\n%s", said.end())
		}
	})
	_, url, _ := strings.Cut(said.line(t, "Ready on "), "Ready on ")
	nodeScript(t, strings.TrimSpace(url), nil, "fixtures.mjs", "chat")
}
