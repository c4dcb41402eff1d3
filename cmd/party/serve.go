package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/control"
)

// served is the emulator as other programs reach it: with what only the tool
// can do.
type served struct {
	*emulator.Emulator
	reload func(ctx context.Context) error
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
