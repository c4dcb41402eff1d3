package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/goparty/party/devclient/script"
	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

// recorder records what the dashboard shows. It implements [tui.Recorder].
type recorder struct {
	viewer inspect.Viewer

	mu   sync.Mutex
	take *take // nil: nothing is being recorded
}

// take is one recording.
type take struct {
	file   string
	out    *os.File
	rec    *script.Recorder
	cancel context.CancelFunc
	ended  chan struct{}
}

// Start begins a recording into a new file.
func (r *recorder) Start(ctx context.Context, file string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.take != nil {
		return fmt.Errorf("%s is being recorded; end that first", r.take.file)
	}
	if filepath.Ext(file) == "" {
		file += ".txtar"
	}
	if _, err := os.Stat(file); err == nil {
		return fmt.Errorf("%s is there already: name another file", file)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	reading, cancel := context.WithCancel(context.Background())
	fail := func(err error) error {
		cancel()
		_ = out.Close()
		return errors.Join(err, os.Remove(file))
	}
	s, feed, end, err := followWhole(reading, r.viewer)
	if err != nil {
		return fail(err)
	}
	conns, err := r.viewer.Connections(ctx)
	if err == nil {
		var dir string
		if dir, err = relative(s.Source); err == nil {
			t := &take{file: file, out: out, cancel: cancel, ended: make(chan struct{}),
				rec: script.NewRecorder(script.RecordOptions{Snapshot: s, Connections: conns, Dir: dir, Flags: s.Flags})}
			go t.read(reading, r.viewer, feed, end)
			r.take = t
			return nil
		}
	}
	feed.Close()
	end()
	return fail(err)
}

// followWhole follows events that show messages as far as recordings want them.
func followWhole(ctx context.Context, v inspect.Viewer) (*inspect.Snapshot, inspect.Feed, func(), error) {
	if c, ok := v.(*control.Client); ok {
		s, feed, err := c.FollowWhole(ctx, unreadMost, script.RecordPayload)
		return s, feed, func() {}, err
	}
	end := func() {}
	if k, ok := v.(interface{ KeepPayloads(n int) (end func()) }); ok {
		end = k.KeepPayloads(script.RecordPayload)
	}
	s, feed, err := v.Follow(ctx, unreadMost)
	if err != nil {
		end()
	}
	return s, feed, end, err
}

func (t *take) read(ctx context.Context, v inspect.Viewer, feed inspect.Feed, end func()) {
	defer close(t.ended)
	defer end()
	defer feed.Close()
	_ = recordAll(ctx, v, feed, t.rec) // however it ended, Stop writes what there is
}

// Stop writes the script and says so, where one is being recorded.
func (r *recorder) Stop(context.Context) (string, error) {
	r.mu.Lock()
	t := r.take
	r.take = nil
	r.mu.Unlock()
	if t == nil {
		return "", nil
	}
	t.cancel()
	<-t.ended
	text, warnings := t.rec.Script()
	_, err := t.out.Write(text)
	if err = errors.Join(err, t.out.Close()); err != nil {
		return "", err
	}
	said := fmt.Sprintf("wrote %s; `party test %s` runs it", t.file, t.file)
	if len(warnings) > 0 {
		said += "\nnote: " + strings.Join(warnings, "\nnote: ")
	}
	return said, nil
}
