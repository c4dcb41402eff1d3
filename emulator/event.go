package emulator

import (
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// event is one turn, waiting or running.
type event struct {
	kind      string
	conn      *connection // nil: not of a connection
	payload   wire.Event
	number    uint64
	size      int                   // of a message, for the reader's credit
	withdrawn bool                  // nobody wants it any more
	done      func(m *wire.Done)    // it has run (and committed)
	failed    func(f *wire.Failure) // it will not, or was lost; nil: as done
	served    *exchange             // of a request
	write     *write                // of a write
	over      bool                  // it has ended, in whatever way
	behind    []func()              // to run when it has
}

// The kinds of turns.
const (
	kindConnect = "connect"
	kindMessage = "message"
	kindClose   = "close"
	kindError   = "error"
	kindRequest = "request"
	kindCall    = "call"
	kindWake    = "wake"
	kindDo      = "do"
	kindTimer   = "timer"
	kindAlarm   = "alarm"
	kindWrite   = "write" // of the emulator's own
)

// background reports whether it is a turn of timers or background work, which
// do not count as somebody needing the room.
func (ev *event) background() bool { return ev.kind == kindTimer || ev.kind == kindDo }

// instanceOnly reports whether the event means nothing to another instance.
func (ev *event) instanceOnly() bool { return ev.background() }

// ahead reports whether the event may go to the guest while others run before
// it. What somebody may withdraw, because he gives up waiting, stays here until
// its turn comes; messages and requests are what rooms get most of.
func (ev *event) ahead() bool {
	switch ev.kind {
	case kindMessage, kindClose, kindError, kindRequest, kindTimer:
		return true
	}
	return false
}

func (ev *event) connection() string {
	if ev.conn == nil {
		return ""
	}
	return ev.conn.id
}

// arrive queues an event.
type arrive struct{ ev *event }

func (m arrive) apply(r *room) { r.enqueue(m.ev) }

func (r *room) enqueue(ev *event) {
	r.moves++
	r.queue = append(r.queue, ev)
}

// turnDone ends the running turn.
func (r *room) turnDone(m *wire.Done) {
	in := r.inst
	in.gen.turnEnded(m.Turn)
	if in.starting {
		r.startDone(m)
		return
	}
	if len(in.running) == 0 || in.running[0].number != m.Turn {
		return // a guest that counts wrongly hurts only itself
	}
	ev := in.running[0]
	in.running[0] = nil
	in.running = in.running[1:]
	took := time.Since(in.began)
	in.began = in.began.Add(took)
	if len(in.running) == 0 {
		in.running = nil
	}
	// Whoever sees the event may rely on the room's being at rest.
	r.touch(!ev.background())
	if r.em.events.Wanted() {
		t := &inspect.Turn{Header: r.header(), Kind: ev.kind, Connection: ev.connection(), Took: took}
		if m.Err != nil {
			t.Error = m.Err.Text
		}
		r.em.events.Publish(t)
	} else {
		r.em.events.Missed()
	}
	r.finish(ev, m)
}

// finish tells whoever waits that the turn has run.
func (r *room) finish(ev *event, m *wire.Done) {
	r.release(ev)
	if ev.done != nil {
		ev.done(m)
	}
	ev.end()
}

// end runs what waits for the event's end.
func (ev *event) end() {
	ev.over = true
	for _, f := range ev.behind {
		f()
	}
	ev.behind = nil
}

// fail tells whoever waits that the turn did not run, or not to its end.
func (r *room) fail(ev *event, f *wire.Failure) {
	r.release(ev)
	switch {
	case ev.failed != nil:
		ev.failed(f)
	case ev.done != nil:
		ev.done(&wire.Done{Err: f})
	}
	ev.end()
}

// release gives the connection's reader its credit back.
func (r *room) release(ev *event) {
	if ev.size > 0 && ev.conn != nil {
		ev.conn.credit.give(ev.size)
		ev.size = 0
	}
}
