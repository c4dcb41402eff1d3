package watch

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

// PluginLoader loads a build into this process. Where Go refuses that, it says
// why, and the build runs as a process of its own.
type PluginLoader struct {
	Path   string
	Events *inspect.Stream
	// Otherwise makes the loader that takes over.
	Otherwise func(ctx context.Context) (emulator.Loader, error)

	loaded emulator.Loader // nil: not yet, or not this way
	other  emulator.Loader
}

// refused is an error of the program itself: another loader would meet it too.
type refused struct{ error }

// Load implements [emulator.Loader].
func (l *PluginLoader) Load(ctx context.Context, generation uint64) (emulator.Guest, error) {
	if l.loaded == nil && l.other == nil {
		loaded, err := openPlugin(ctx, l.Path)
		var program refused
		switch {
		case err == nil:
			l.loaded = loaded
		case ctx.Err() != nil || errors.As(err, &program):
			return nil, err
		default:
			l.Events.Publish(&inspect.Log{
				Header: inspect.Header{Generation: generation}, Level: "WARN",
				Text: "not loaded as a plugin: " + err.Error() + ". It runs as a process of its own instead",
			})
			if l.other, err = l.Otherwise(ctx); err != nil {
				return nil, err
			}
		}
	}
	if l.other != nil {
		return l.other.Load(ctx, generation)
	}
	return l.loaded.Load(ctx, generation)
}

// refusal says in words what plugin.Open does not like.
func refusal(text string) string {
	if _, pkg, ok := strings.Cut(text, "different version of package "); ok {
		pkg = strings.TrimSpace(pkg)
		if i := strings.IndexAny(pkg, " ("); i >= 0 {
			pkg = pkg[:i]
		}
		switch {
		case strings.HasPrefix(pkg, modulePath):
			return "this tool and the server hold different builds of " + pkg + " (another version, or other flags such as -trimpath)"
		case !strings.Contains(pkg, "."):
			return "this tool and the server were built with different builds of Go's package " + pkg
		}
		return "package " + pkg + " is in memory as it was before it changed, and Go cannot replace it there; only package main may change"
	}
	return text
}

// comparable says what keeps a plugin of the user's module from being loaded
// into this process, as far as versions tell.
func (b *Builder) comparable(ctx context.Context) error {
	version, err := b.Env(ctx, "GOVERSION")
	if err != nil {
		return err
	}
	if version != runtime.Version() {
		return fmt.Errorf("this tool was built with %s, and the server's module is built with %s: they must be the same", runtime.Version(), version)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this tool does not know what it was built from")
	}
	for _, s := range info.Settings {
		if s.Key == "-trimpath" && s.Value == "true" {
			return errors.New("this tool was built with -trimpath, so its packages differ from those that the server is built with")
		}
	}
	return nil
}

// buildPlugin builds the package as a plugin under a path that no other has: Go
// loads no two of one path. It makes the path of the content where it is given
// files instead of a package, and of the flags, so one of these is always new.
func (b *Builder) buildPlugin(ctx context.Context) (string, error) {
	from := build.Default
	from.CgoEnabled = true
	from.BuildTags = append(strings.Split(b.tags, ","), pluginTag)
	p, err := from.ImportDir(b.dir, 0)
	if err != nil {
		return b.Build(ctx) // the compiler says it better
	}
	b.count++
	name := "generation" + strconv.Itoa(b.count)
	path := filepath.Join(b.out, name+".so")
	// Go's own flags only: everything that this process holds too must be the
	// same build.
	args := []string{"build", "-buildmode=plugin", "-o", path, "-buildvcs=false", "-tags", strings.Join(from.BuildTags, ","),
		fmt.Sprintf("-gcflags=-D=%s-%d-%d", name, os.Getpid(), time.Now().UnixNano())}
	args = append(append(args, p.GoFiles...), p.CgoFiles...)
	cmd := b.command(ctx, args...)
	cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
	return path, b.run(ctx, cmd)
}
