package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/wire"
)

//go:embed template
var templates embed.FS

const sdkModule = "github.com/goparty/party"

func newCommand() *cobra.Command {
	var sdk string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Write a small server of your own",
		Long: `Make a directory NAME with a small server and a test script, ready for party dev
and party test. Inside a module that uses party it becomes a package of that
module; elsewhere it gets a module of its own.`,
		Example:           "  party new tictactoe && cd tictactoe && party dev",
		Args:              arguments(1, 1),
		ValidArgsFunction: noFiles,
		RunE: run(func(cmd *cobra.Command, args []string) error {
			return newServer(cmd.Context(), args[0], sdk, cmd.OutOrStdout())
		}),
	}
	cmd.Flags().StringVar(&sdk, "sdk", "", "directory of a copy of "+sdkModule+" to use instead of the published one")
	return cmd
}

// project is what the templates say of a new server.
type project struct {
	Name    string // of the directory
	Party   string // as in URLs
	Binding string
}

// Connect is the command that talks to a room of it.
func (p project) Connect() string { return "party connect " + p.Party + "/lobby" }

// Column is a command as wide as the longest that is shown.
func (p project) Column(command string) string {
	return fmt.Sprintf("%-*s", len(p.Connect())+3, command)
}

var (
	projectName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]*$`)
	wordEnd     = regexp.MustCompile(`[._-]+(.?)`)
)

func newProject(dir string) (project, error) {
	name := filepath.Base(dir)
	if !projectName.MatchString(name) {
		return project{}, usageError{fmt.Errorf("%q cannot be the name of a server: use letters, digits, - and _, a letter first", name)}
	}
	binding := name
	if wordEnd.MatchString(name) {
		binding = wordEnd.ReplaceAllStringFunc(name, func(s string) string { return strings.ToUpper(strings.TrimLeft(s, "._-")) })
		binding = strings.ToUpper(binding[:1]) + binding[1:]
	}
	if err := wire.CheckBindings([]string{binding}); err != nil {
		binding = "Room" // such as that of a Go keyword
	}
	return project{Name: name, Party: wire.Kebab(binding), Binding: binding}, nil
}

// newServer writes a server to dir.
func newServer(ctx context.Context, dir, sdk string, out io.Writer) error {
	p, err := newProject(dir)
	if err != nil {
		return err
	}
	files := map[string]string{}
	for name, from := range map[string]string{"main.go": "main.go.txt", p.Name + ".txtar": "test.txtar.txt"} {
		t, err := template.ParseFS(templates, "template/"+from)
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := t.Execute(&b, p); err != nil {
			return err
		}
		files[name] = b.String()
	}
	if have, err := os.ReadDir(dir); err == nil && len(have) > 0 {
		return fmt.Errorf("%s is there already, and not empty: choose another name, or remove it", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	own := sdk != "" || !usesSDK(ctx, dir)
	if own {
		if files["go.mod"], err = goMod(p.Name, sdk); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "wrote %s and %s\n", filepath.Join(dir, "main.go"), filepath.Join(dir, p.Name+".txtar"))
	if own {
		if err := tidy(ctx, dir); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nnext:\n  cd %s\n  %srun it\n  %stalk to a room, in another terminal\n  %srun its test\n",
		dir, p.Column("party dev"), p.Column(p.Connect()), p.Column("party test"))
	return nil
}

// usesSDK reports whether dir lies in a module that is the SDK's or requires it.
func usesSDK(ctx context.Context, dir string) bool {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", sdkModule)
	cmd.Dir = dir
	return cmd.Run() == nil
}

// goMod is a module that requires the SDK: the one this tool was built from,
// where that is no published version.
func goMod(name, sdk string) (string, error) {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Path == sdkModule {
		version = info.Main.Version
	}
	if sdk == "" {
		sdk = ownSource()
	}
	text := "module " + name + "\n\ngo " + strings.TrimPrefix(goVersion(), "go") + "\n\n"
	switch {
	case sdk != "":
		at, err := filepath.Abs(sdk)
		if err != nil {
			return "", err
		}
		if mod, err := os.ReadFile(filepath.Join(at, "go.mod")); err != nil || !strings.Contains(string(mod), "module "+sdkModule+"\n") {
			return "", usageError{fmt.Errorf("--sdk %s: there is no module %s", sdk, sdkModule)}
		}
		return text + "require " + sdkModule + " v0.0.0\n\nreplace " + sdkModule + " => " + strconv.Quote(at) + "\n", nil
	case version == "" || version == "(devel)":
		return "", errors.New("this party was built from a copy of its source that is not here any more: say --sdk DIR with a copy of " + sdkModule)
	}
	return text + "require " + sdkModule + " " + version + "\n", nil
}

// ownSource is the directory of the source that this tool was built from; ""
// where it was a published version, or is not there.
func ownSource() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) || strings.Contains(file, "@") {
		return ""
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return ""
	}
	return root
}

// goVersion is the language version for a new module.
func goVersion() string {
	v := runtime.Version()
	if parts := strings.SplitN(strings.TrimPrefix(v, "go"), ".", 3); len(parts) >= 2 && !strings.ContainsAny(parts[0]+parts[1], " -+") {
		return parts[0] + "." + parts[1]
	}
	return "1.26"
}

// tidy completes the module's files.
func tidy(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("`go mod tidy` in %s: %w; run it there once it can work:\n%s", dir, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
