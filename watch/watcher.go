package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher wakes its owner when something may have changed in the directories
// that it watches.
type watcher struct {
	wake   chan struct{} // capacity 1
	ignore string        // a directory whose files are our own
	say    func(string)  // what a person should know
	poll   time.Duration
	ended  sync.WaitGroup
	stop   chan struct{}

	mu    sync.Mutex
	fs    *fsnotify.Watcher // nil: files are looked at in turns
	dirs  map[string]bool   // watched
	first time.Time         // of what was not taken yet
	last  time.Time
	paths map[string]bool
}

// pollEvery is how often files are looked at where the system does not tell.
const pollEvery = 500 * time.Millisecond

// openNotifier is fsnotify's; tests put a system at its limit in its place.
var openNotifier = fsnotify.NewWatcher

func newWatcher(ignore string, say func(string)) *watcher {
	if abs, err := filepath.Abs(ignore); err == nil {
		ignore = abs
	}
	w := &watcher{
		wake: make(chan struct{}, 1), ignore: ignore, say: say, poll: pollEvery, stop: make(chan struct{}),
		dirs: map[string]bool{}, paths: map[string]bool{},
	}
	fs, err := openNotifier()
	if err != nil {
		w.fallBack(err)
		return w
	}
	w.fs = fs
	w.ended.Go(func() { w.read(fs) })
	return w
}

// fallBack looks at the files again and again instead.
func (w *watcher) fallBack(err error) {
	why := err.Error()
	switch {
	case errors.Is(err, syscall.ENOSPC):
		why = "the system's limit on watched directories is reached (on Linux: sysctl fs.inotify.max_user_watches)"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		why = "the system's limit on watchers or open files is reached (on Linux: sysctl fs.inotify.max_user_instances, or ulimit -n)"
	}
	w.say(fmt.Sprintf("files cannot be watched: %s; they are looked at every %s instead", why, w.poll))
	w.ended.Go(func() {
		t := time.NewTicker(w.poll)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				w.look()
			case <-w.stop:
				return
			}
		}
	})
}

// watch makes dirs the directories to watch.
func (w *watcher) watch(dirs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fs == nil {
		return
	}
	wanted := map[string]bool{}
	for _, dir := range dirs {
		wanted[dir] = true
		if w.dirs[dir] {
			continue
		}
		err := w.fs.Add(dir)
		switch {
		case err == nil:
			w.dirs[dir] = true
			w.note("") // something may have come before we watched
		case errors.Is(err, os.ErrNotExist):
		default:
			fs := w.fs
			w.fs = nil
			w.fallBack(err)
			go fs.Close() // its reader may wait for us
			return
		}
	}
	for dir := range w.dirs {
		if !wanted[dir] {
			_ = w.fs.Remove(dir)
			delete(w.dirs, dir)
		}
	}
}

func (w *watcher) read(fs *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-fs.Events:
			if !ok {
				return
			}
			w.event(e)
		case err, ok := <-fs.Errors:
			if !ok {
				return
			}
			if err != nil {
				w.look() // events were lost
			}
		}
	}
}

func (w *watcher) event(e fsnotify.Event) {
	if e.Op == fsnotify.Chmod || inside(e.Name, w.ignore) || isJunk(filepath.Base(e.Name)) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		delete(w.dirs, e.Name) // if it comes back it must be watched anew
	}
	w.note(e.Name)
}

// isJunk reports whether a file is an editor's own.
func isJunk(name string) bool {
	return strings.HasSuffix(name, "~") || strings.HasPrefix(name, ".#") || strings.HasPrefix(name, "#") ||
		strings.HasSuffix(name, ".swp") || strings.HasSuffix(name, ".swx") || name == "4913" || name == ".git"
}

// look wakes the owner without a reason of a file.
func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("")
}

// note must be called with mu held.
func (w *watcher) note(path string) {
	w.last = time.Now()
	if w.first.IsZero() {
		w.first = w.last
	}
	w.paths[path] = true
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// settle waits until nothing has changed for a moment. It returns when the first
// change was; zero: there was none, or ctx ended.
func (w *watcher) settle(ctx context.Context) (first time.Time) {
	for {
		w.mu.Lock()
		if w.first.IsZero() {
			w.mu.Unlock()
			return time.Time{} // what we were woken for was taken before
		}
		quiet := quietFew
		if len(w.paths) >= many {
			quiet = quietMany
		}
		wait := time.Until(w.last.Add(quiet))
		if wait <= 0 || time.Since(w.first) > quietMost {
			first = w.first
			w.first, w.paths = time.Time{}, map[string]bool{}
			w.mu.Unlock()
			return first
		}
		w.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return time.Time{}
		}
	}
}

func (w *watcher) close() {
	close(w.stop)
	w.mu.Lock()
	fs := w.fs
	w.fs = nil
	w.mu.Unlock()
	if fs != nil {
		_ = fs.Close()
	}
	w.ended.Wait()
}
