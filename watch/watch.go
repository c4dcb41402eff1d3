package watch

import (
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// How long files must have been quiet before they are looked at, of machine
// time: a save by one editor is over in no time, and where many files change
// more are to come.
const (
	quietFew  = 3 * time.Millisecond
	quietMany = 100 * time.Millisecond
	many      = 4
	quietMost = time.Second
)

// Watch reloads whenever the content of a file changes that the server is built
// from, until ctx ends. A change during a build ends that build, and the next
// one begins.
func (s *Session) Watch(ctx context.Context) {
	w := newWatcher(s.config.Scratch, func(text string) {
		s.events.Publish(&inspect.Log{Level: "WARN", Text: text})
	})
	defer w.close()
	s.busy.Lock()
	s.mu.Lock()
	s.watcher = w
	s.mu.Unlock()
	if s.builder.plain && !s.config.Plugin {
		s.builder.linker, s.linkerMissing = s.builder.findLinker(ctx)
	}
	w.watch(s.directories())
	w.look() // something may have changed before
	s.prepare(false)
	s.busy.Unlock()
	defer func() {
		s.mu.Lock()
		s.watcher = nil
		s.mu.Unlock()
		s.unprepare()
	}()

	var done chan struct{} // closed when the reload that runs has ended; nil: none runs
	defer func() {
		s.interrupt()
		if done != nil {
			<-done
		}
	}()
	missed := false // what was not worth ending a build for
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			if done = nil; missed {
				missed = false
				w.look()
			}
			continue
		case <-w.wake:
		}
		began := w.settle(ctx)
		if began.IsZero() {
			continue
		}
		if done != nil && !s.newer() {
			missed = true
			continue
		}
		s.interrupt()
		if done != nil {
			<-done
		}
		attempt, cancel := context.WithCancel(ctx)
		s.mu.Lock()
		s.cancel = cancel
		s.mu.Unlock()
		done = make(chan struct{})
		go func(done chan struct{}) {
			defer close(done)
			defer cancel()
			s.changed(attempt, began)
		}(done)
	}
}

// newer reports whether files differ from what is being built.
func (s *Session) newer() bool {
	if s.busy.TryLock() {
		s.busy.Unlock()
		return true // it has ended meanwhile
	}
	s.mu.Lock()
	in, tried := s.from, s.trying
	s.mu.Unlock()
	return in == nil || len(newScanner().scan(in).diff(tried)) > 0
}

// changed reloads if anything has changed.
func (s *Session) changed(ctx context.Context, since time.Time) {
	s.busy.Lock()
	defer s.busy.Unlock()
	if ctx.Err() != nil {
		return
	}
	defer s.rewatch()
	content := s.scanner.scan(s.inputs)
	paths := content.diff(s.tried)
	if len(paths) == 0 && s.ended {
		paths = content.diff(s.running)
	}
	env, err := s.environment()
	envChanged := err != nil || !maps.Equal(env, s.env)
	if len(paths) == 0 && !envChanged {
		return
	}
	if envChanged && s.config.EnvFile != "" {
		paths = append(paths, s.config.EnvFile)
	}
	if time.Since(since) < emptyLimit && slices.ContainsFunc(paths, isEmpty) {
		s.mu.Lock()
		w := s.watcher
		s.mu.Unlock()
		time.AfterFunc(emptyLimit, w.look)
		return
	}
	e := &inspect.FilesChanged{Count: len(paths), Files: shown(paths)}
	if !envChanged && content.equal(s.running) && len(s.config.Emulator.Classes()) > 0 {
		s.tried = content
		e.Same = true
		s.events.Publish(e)
		return
	}
	s.events.Publish(e)
	if written := lastWrite(paths); written.Before(since) && since.Sub(written) < 50*time.Millisecond {
		since = written
	}
	_ = s.reload(ctx, since, false) // it has said what came of it
}

// emptyLimit is how long an empty file may be one that is just being written: some
// editors empty it first.
const emptyLimit = 100 * time.Millisecond

func isEmpty(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() == 0
}

// shownMost is how many files an event names.
const shownMost = 5

// shown names files as a person would.
func shown(paths []string) (names []string) {
	for _, path := range paths[:min(len(paths), shownMost)] {
		names = append(names, near(path))
	}
	return names
}

// lastWrite is when the last of the files was written.
func lastWrite(paths []string) (last time.Time) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
