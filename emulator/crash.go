package emulator

import (
	"context"
	"errors"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// The delays before code that ended is started again.
const (
	restartFirst = 100 * time.Millisecond
	restartMost  = 5 * time.Second
	restartCalm  = 10 * time.Second // up for so long, and the delays start anew
)

// crashed is the end of a generation that nobody asked for: the turns that ran
// are lost, hibernatable connections stay, the others are cut. Where newer code
// serves already they stay too: it takes them over.
func (e *Emulator) crashed(g *generation, up time.Duration) {
	reason := "it ended"
	if err := g.guest.Err(); g.crashed.Load() {
		reason = "it was killed" // and may have noticed that first, and ended by itself
	} else if err != nil {
		reason = err.Error()
	}
	e.mu.Lock()
	current := e.generation == g
	if current {
		e.generation, e.reason = nil, "it crashed and is being started again: "+reason
		close(e.changed)
		e.changed = make(chan struct{})
	}
	e.mu.Unlock()
	e.gone(g)
	_ = g.link.Close()
	turns, cut := 0, 0
	for _, r := range e.allRooms() {
		r.do(func() {
			if r.inst == nil || r.inst.gen != g {
				return
			}
			if len(r.inst.running) > 0 || r.inst.starting {
				turns++
			}
			hibernates := r.class().Hibernate
			if r.inst.starting && current {
				r.failFirst(retryable("the server's process ended while " + r.name + " was starting"))
			}
			suspects := max(0, len(r.inst.running)-1)
			revive := !current && r.keptAwake()
			r.leave("lost with the server's process ("+reason+")", true)
			r.suspects = suspects
			switch {
			case !current:
				r.wanted, r.keepsProps = revive, r.props != nil
			case !hibernates:
				cut += r.cutAll()
			}
		})
	}
	g.end()
	e.events.Publish(&inspect.Crash{
		Header: inspect.Header{Generation: g.number, Forced: g.crashed.Load()}, Reason: reason, Output: g.guest.Output(),
		Turns: turns, Cut: cut, Restarts: current,
	})
	g.bury()
	if current {
		e.restart(g, up)
	}
}

// restart starts the newest code again, under its number, until it serves or a
// reload has brought other code.
func (e *Emulator) restart(g *generation, up time.Duration) {
	if up > restartCalm {
		e.restartDelay.Store(0)
	}
	delay := time.Duration(e.restartDelay.Load())
	e.restartDelay.Store(int64(min(max(2*delay, restartFirst), restartMost)))
	for {
		if !e.pause(delay) {
			return
		}
		err := e.startAgain(g.number)
		switch {
		case err == nil || e.closed.Load():
			return
		case errors.Is(err, errYield):
			continue
		}
		delay = min(max(2*delay, restartFirst), restartMost)
		e.restartDelay.Store(int64(delay))
		e.mu.Lock()
		if e.generation == nil {
			e.reason = err.Error()
		}
		e.mu.Unlock()
		e.events.Publish(&inspect.GenerationFailed{Header: inspect.Header{Generation: g.number}, Reason: err.Error(), Retry: delay})
	}
}

// errYield is why code is not started again just now.
var errYield = errors.New("a reload goes first")

// startAgain loads the newest code again. A reload that wants to begin meanwhile
// goes first.
func (e *Emulator) startAgain(number uint64) error {
	e.loading.Lock()
	defer e.loading.Unlock()
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	e.mu.Lock()
	l, newer, hurry := e.loader, e.number != number || e.generation != nil, e.reloads > 0
	e.yield = cancel
	e.mu.Unlock()
	switch {
	case newer:
		return nil
	case hurry:
		return errYield
	}
	g, err := e.load(ctx, l, number)
	switch {
	case err != nil && ctx.Err() != nil && e.ctx.Err() == nil:
		return errYield
	case err != nil:
		return err
	}
	e.install(g, l)
	return nil
}

// Crash ends the process of the running code at once, as a bug would, and returns
// when what ran in it is known to be lost. Code in this process cannot be ended.
func (e *Emulator) Crash(ctx context.Context) error {
	g := e.current()
	switch {
	case g == nil:
		return errors.New("no code is running")
	case g.guest.PID() == 0:
		return errors.New("the code runs in this very process, which a crash would end: run it with `party dev`, which gives it a process of its own")
	}
	g.crashed.Store(true)
	g.guest.Close()
	select {
	case <-g.buried:
	case <-ctx.Done():
	case <-e.ctx.Done():
	}
	return nil
}
