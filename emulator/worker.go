package emulator

import "sync"

// worker runs a room's work with its database, in order, on a goroutine of its
// own while there is any. The room's owner never waits for it: what comes of
// the work is posted back.
type worker struct {
	mu    sync.Mutex
	queue []func()
	busy  bool
}

// wait returns when everything that was queued before has run.
func (w *worker) wait() {
	done := make(chan struct{})
	w.do(func() { close(done) })
	<-done
}

// pending reports whether there is work that has not been done.
func (w *worker) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy
}

func (w *worker) do(f func()) {
	w.mu.Lock()
	w.queue = append(w.queue, f)
	start := !w.busy
	w.busy = true
	w.mu.Unlock()
	if start {
		go w.run()
	}
}

func (w *worker) run() {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.queue = nil
			w.busy = false
			w.mu.Unlock()
			return
		}
		f := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.mu.Unlock()
		f()
	}
}
