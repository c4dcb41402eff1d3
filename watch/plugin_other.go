//go:build !cgo || !(linux || darwin || freebsd)

package watch

import (
	"context"
	"errors"
	"runtime"

	"github.com/goparty/party/emulator"
)

// Plugins is why the plugin loader cannot be used here; nil: it can.
func Plugins() error {
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd":
		return errors.New("this tool was built without cgo, which Go's plugins need: build it with CGO_ENABLED=1 and a C compiler on PATH")
	}
	return errors.New("Go has no plugins on " + runtime.GOOS)
}

func openPlugin(context.Context, string) (emulator.Loader, error) { return nil, Plugins() }
