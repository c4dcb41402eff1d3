//go:build cgo && (linux || darwin || freebsd)

package watch

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"plugin"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/guest"
)

// Plugins is why the plugin loader cannot be used here; nil: it can.
func Plugins() error {
	if _, err := exec.LookPath("gcc"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("clang"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("cc"); err == nil {
		return nil
	}
	return errors.New("Go links plugins with a C compiler, and none is on PATH")
}

// openLimit is how long a plugin may take to load: its packages' init functions
// run meanwhile.
const openLimit = 15 * time.Second

// openPlugin loads a plugin into this process, for good, and returns its program
// as a loader.
func openPlugin(ctx context.Context, path string) (emulator.Loader, error) {
	type opened struct {
		loader emulator.Loader
		err    error
	}
	done := make(chan opened, 1)
	go func() {
		l, err := loadPlugin(path)
		done <- opened{l, err}
	}()
	limit := time.NewTimer(openLimit)
	defer limit.Stop()
	select {
	case o := <-done:
		return o.loader, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-limit.C:
		return nil, fmt.Errorf("it did not load within %s: something in an init function or a variable's value does not return", openLimit)
	}
}

func loadPlugin(path string) (l emulator.Loader, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("it panics while it is loaded: %v", v)
		}
	}()
	p, err := plugin.Open(path)
	if err != nil {
		return nil, errors.New(refusal(err.Error()))
	}
	app, err := p.Lookup("App")
	if err != nil {
		return nil, errors.New("package main exports no variable App: name it so (var App = party.App{...})")
	}
	maker, ok := app.(interface {
		Program() (guest.Program, error)
	})
	if !ok {
		return nil, fmt.Errorf("App is a %T and not a party.App of this tool's version", app)
	}
	program, err := maker.Program()
	if err != nil {
		return nil, refused{err}
	}
	return emulator.InProcess(program), nil
}
