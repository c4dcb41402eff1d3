package guest

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// watchdog logs turns that take long. It runs only while turns do: a turn's
// start arms it, and it disarms itself when it finds none.
type watchdog struct {
	guest *Guest
	armed atomic.Bool
	timer atomic.Pointer[time.Timer]
	ended atomic.Bool
}

func (w *watchdog) began() {
	if w.armed.CompareAndSwap(false, true) {
		w.arm(slowTurn)
	}
}

// arm lets it look after d.
func (w *watchdog) arm(d time.Duration) {
	if w.ended.Load() {
		return
	}
	if t := w.timer.Load(); t != nil {
		t.Reset(d)
		return
	}
	w.timer.Store(time.AfterFunc(d, w.look))
}

func (w *watchdog) stop() {
	w.ended.Store(true)
	if t := w.timer.Load(); t != nil {
		t.Stop()
	}
}

func (w *watchdog) look() {
	g := w.guest
	g.mu.RLock()
	var slow []*turn
	busy, next := false, slowTurn
	now := time.Now().UnixNano()
	for _, in := range g.instances {
		t := in.turn.Load()
		if t == nil {
			continue
		}
		busy = true
		if t.told {
			continue
		}
		if left := slowTurn - time.Duration(now-t.began); left > 0 {
			next = min(next, left)
			continue
		}
		t.told = true
		slow = append(slow, t)
	}
	g.mu.RUnlock()
	if len(slow) > 0 {
		stacks := allStacks()
		for _, t := range slow {
			t.instance.logSlow(t, stackOf(stacks, t.instance.gid.Load()))
		}
		g.link.Flush()
	}
	if busy {
		w.arm(next)
		return
	}
	w.armed.Store(false)
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, in := range g.instances {
		if in.turn.Load() != nil { // it began in between, and found us armed
			w.began()
			return
		}
	}
}

func allStacks() string {
	for size := 1 << 20; ; size *= 4 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= 64<<20 {
			return string(buf[:n])
		}
	}
}

// stackOf cuts one goroutine's stack, down to the guest's own frames, out of a
// dump of all.
func stackOf(all string, id int64) string {
	_, rest, ok := strings.Cut(all, fmt.Sprintf("goroutine %d [", id))
	if !ok {
		return "(its stack could not be read)"
	}
	_, rest, _ = strings.Cut(rest, "\n")
	rest, _, _ = strings.Cut(rest, "\n\n")
	if i := strings.Index(rest, "github.com/goparty/party/emulator/guest.protect"); i >= 0 {
		rest = rest[:i]
	}
	return strings.TrimRight(rest, "\n")
}
