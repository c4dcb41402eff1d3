package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/process"
	"github.com/goparty/party/emulator/wire"
	"github.com/goparty/party/watch"
	"github.com/goparty/party/watch/bundle"
)

// buildOptions are the flags of `party build`.
type buildOptions struct {
	dir, target, out string
}

// What `party build` makes.
const (
	targetBinary  = "binary"
	targetWorkers = "workers"
)

func buildCommand() *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Make the server in DIR ready to be deployed",
		Long: `Build the server in DIR (default: here) for where it is to run.

--target=binary makes one file without dependencies, the emulator inside. It
takes --port, --host, --state and --env-file, and ends orderly when interrupted.

--target=workers makes a folder that Cloudflare's engine runs: npx wrangler dev
and npx wrangler deploy take it as it is. Building again replaces the folder's
files but wrangler.jsonc, to which new classes are added.`,
		Example: "  party build ./chat\n  party build --target=workers --out bundle ./chat",
		Args:    arguments(0, 1),
		RunE: run(func(cmd *cobra.Command, args []string) error {
			o.dir = "."
			if len(args) == 1 {
				o.dir = args[0]
			}
			return buildServer(cmd.Context(), o, cmd.OutOrStdout())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.target, "target", targetBinary, "binary (one file) or workers (a folder for Cloudflare's engine)")
	f.StringVar(&o.out, "out", "", `folder to write to (default "dist", for workers "dist/workers")`)
	return cmd
}

func buildServer(ctx context.Context, o buildOptions, out io.Writer) error {
	if o.target != targetBinary && o.target != targetWorkers {
		return usageError{fmt.Errorf("--target %s: use binary or workers", o.target)}
	}
	if o.out == "" {
		o.out = "dist"
		if o.target == targetWorkers {
			o.out = filepath.Join("dist", "workers")
		}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	temporary, err := os.MkdirTemp("", "party-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	b, err := watch.NewBuilder(o.dir, temporary)
	if err != nil {
		return err
	}
	defer b.Close()
	// What the server says of itself also shows, before anything is deployed,
	// whether its App is right.
	hello, err := introduction(ctx, b, o.dir)
	if err != nil {
		return err
	}
	name, err := serverName(o.dir)
	if err != nil {
		return err
	}
	if o.target == targetWorkers {
		return buildBundle(ctx, b, o, name, hello, out)
	}
	return buildBinary(ctx, b, o, name, out)
}

// introduction starts the server as a plugin and asks what it is.
func introduction(ctx context.Context, b *watch.Builder, dir string) (*wire.Hello, error) {
	path, err := b.Build(ctx)
	if err != nil {
		return nil, err
	}
	p, err := process.Start(ctx, process.Command{Path: path, Dir: dir})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Hello(), nil
}

// serverName is the name of the folder that the server lies in.
func serverName(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.Base(abs), nil
}

func buildBinary(ctx context.Context, b *watch.Builder, o buildOptions, name string, out io.Writer) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	system, err := b.Env(ctx, "GOOS")
	if err != nil {
		return err
	}
	if system == "windows" {
		name += ".exe"
	}
	path, err := filepath.Abs(filepath.Join(o.out, name))
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder, and the program is to be written there; give another folder with --out", path)
	}
	if err := b.Compile(ctx, path, []string{"CGO_ENABLED=0"}); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s  %s; run it with --help to see its flags\n", filepath.Join(o.out, name), megabytes(info.Size()))
	return err
}

func buildBundle(ctx context.Context, b *watch.Builder, o buildOptions, name string, hello *wire.Hello, out io.Writer) error {
	abs, err := filepath.Abs(o.out)
	if err != nil {
		return err
	}
	options := bundle.Options{Name: workerName(name), Out: abs, Handler: hello.Handler}
	for _, c := range hello.Classes {
		options.Classes = append(options.Classes, c.Binding)
		options.Methods = append(options.Methods, c.Methods...)
	}
	done, err := bundle.Write(ctx, b, options)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s  %s, compressed %s\n", o.out, megabytes(done.Size), megabytes(done.Zipped))
	fmt.Fprintf(out, "wrangler.jsonc  %s\n", strings.Join(done.Config, "; "))
	fmt.Fprintf(out, "try     cd %s && npx wrangler dev\ndeploy  cd %s && npx wrangler deploy\n", o.out, o.out)
	switch {
	case done.Zipped > bundle.MostPaid:
		return errors.New("it is larger than Cloudflare takes (10 MB compressed): import less")
	case done.Zipped > bundle.MostFree:
		fmt.Fprintln(out, "note: it is larger than Cloudflare's free plan takes (3 MB compressed)")
	}
	return nil
}

var notInWorkerNames = regexp.MustCompile(`[^a-z0-9-]+`)

// workerName makes a name that stands in a URL.
func workerName(name string) string {
	name = strings.Trim(notInWorkerNames.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if name == "" {
		return "server"
	}
	return name[:min(len(name), 54)]
}

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
