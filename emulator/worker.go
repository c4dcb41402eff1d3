package emulator

import "sync"

// worker runs a room's work with its database, in order, on one goroutine while
// there is any: on one that had brought the work and has nothing better to do,
// or one of its own. The room's owner never waits for it: what comes of the work
// is posted back.
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

// do adds work, on a goroutine of its own if nobody does any.
func (w *worker) do(f func()) {
	if w.add(f) {
		go w.run()
	}
}

// add adds work and reports whether nobody does any: then run must be called.
func (w *worker) add(f func()) (idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, f)
	idle = !w.busy
	w.busy = true
	return idle
}

// later adds work that begins when the room's owner is through. Only the owner
// calls it.
func (r *room) later(f func()) { r.starts = r.work.add(f) || r.starts }

// claimWork reports whether work waits for somebody to run it, who the caller
// now is.
func (r *room) claimWork() bool {
	claimed := r.starts
	r.starts = false
	return claimed
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
