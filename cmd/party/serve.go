package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

// served is the emulator as other programs reach it: with what only the tool
// can do.
type served struct {
	*emulator.Emulator
	reload func(ctx context.Context) error
	source string   // directory of the server
	flags  []string // that say how rooms behave
}

// Snapshot implements [inspect.Viewer].
func (s served) Snapshot(ctx context.Context) (*inspect.Snapshot, error) {
	snap, err := s.Emulator.Snapshot(ctx)
	if err == nil {
		snap.Source, snap.Flags = s.source, s.flags
	}
	return snap, err
}

// Follow implements [inspect.Viewer].
func (s served) Follow(ctx context.Context, limit int) (*inspect.Snapshot, inspect.Feed, error) {
	snap, feed, err := s.Emulator.Follow(ctx, limit)
	if err == nil {
		snap.Source, snap.Flags = s.source, s.flags
	}
	return snap, feed, err
}

// Reload implements [inspect.Actor].
func (s served) Reload(ctx context.Context) error { return s.reload(ctx) }

// errNoReload is for a server that cannot be built again.
var errNoReload = errors.New("this party dev cannot build its server again: stop it and start it once more")

// serveControl serves the control socket at path. Where somebody else does, a
// note says so, and the emulator goes on without.
func serveControl(path string, s served) (stop func(), note string, err error) {
	if s.reload == nil {
		s.reload = func(context.Context) error { return errNoReload }
	}
	ln, err := control.Listen(path)
	if errors.Is(err, control.ErrLive) {
		return func() {}, fmt.Sprintf("another party dev serves %s, so commands do not reach this one; give it a socket of its own with --socket", path), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("the control socket: %w", err)
	}
	server, err := control.Serve(ln, s)
	if err != nil {
		return nil, "", fmt.Errorf("the control socket: %w", err)
	}
	return func() { _ = server.Close() }, "", nil
}

// realPath is the absolute path of a directory, without links.
func realPath(dir string) string {
	at, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	if real, err := filepath.EvalSymlinks(at); err == nil {
		return real
	}
	return at
}

// behaviour is the flags that say how rooms behave, where they are not the
// defaults.
func (o *devOptions) behaviour() (flags []string) {
	if o.hibernateAfter != emulator.DefaultHibernateAfter {
		flags = append(flags, "--hibernate-after", o.hibernateAfter.String())
	}
	if o.evictAfter != emulator.DefaultEvictAfter {
		flags = append(flags, "--evict-after", o.evictAfter.String())
	}
	if o.envGiven {
		flags = append(flags, "--env-file", o.envFile)
	}
	if o.onReload != keepOpen {
		flags = append(flags, "--on-reload", o.onReload)
	}
	return flags
}
