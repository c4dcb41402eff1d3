package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/watch"
)

// first is a server's start. Lines end where it fails, so that whoever reads
// them knows; a dashboard stays, shows why, and tries again when a file was
// saved or a reload is asked for.
type first struct {
	session *watch.Session
	events  *inspect.Stream
	dir     string
	serves  atomic.Bool
	asked   chan struct{} // a reload, before anything serves
}

// lookAgain is how often the files of a server that does not start are looked
// at, of machine time.
const lookAgain = 300 * time.Millisecond

// start builds the server and runs it.
func (f *first) start(ctx context.Context, ui screen) error {
	for {
		before := f.files(nil)
		began := time.Now()
		err := f.session.Start(ctx)
		f.serves.Store(err == nil)
		if _, stays := ui.(*dashboard); err == nil || !stays || ctx.Err() != nil {
			return err
		}
		failed := &inspect.BuildFailed{Output: err.Error(), Took: time.Since(began)}
		var compiler *watch.BuildError
		if errors.As(err, &compiler) {
			failed.Errors, failed.Output = compiler.Errors(), compiler.Output
		}
		f.events.Publish(failed)
		if err := f.wait(ctx, before, failed.Errors); err != nil {
			return err
		}
	}
}

// reload is that of the session, once something serves.
func (f *first) reload(ctx context.Context) error {
	if f.serves.Load() {
		return f.session.Reload(ctx)
	}
	select {
	case f.asked <- struct{}{}:
	default:
	}
	return nil
}

// wait returns when it may be better to try again.
func (f *first) wait(ctx context.Context, before map[string]fs.FileInfo, failed []inspect.BuildError) error {
	for path, info := range f.files(failed) {
		if _, known := before[path]; !known {
			before[path] = info
		}
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.asked:
			return nil
		case <-tick.C:
		}
		same := func(a, b fs.FileInfo) bool { return a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() }
		if !maps.EqualFunc(before, f.files(failed), same) {
			return nil
		}
	}
}

// files are those that a person may mend: in the server's directory, and where
// errors are.
func (f *first) files(failed []inspect.BuildError) map[string]fs.FileInfo {
	found := map[string]fs.FileInfo{}
	paths, _ := filepath.Glob(filepath.Join(f.dir, "*"))
	for _, e := range failed {
		paths = append(paths, e.File)
	}
	for _, path := range paths {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			found[path] = info
		}
	}
	return found
}
