package emulator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage"
	"github.com/goparty/party/emulator/wire"
)

// write is a turn of the emulator's own: somebody outside of the room changes
// its storage. It takes its place among the room's turns, needs no code, and
// wakes none.
type write struct {
	ctx  context.Context
	f    func(ctx context.Context, db *storage.Database) error // on the room's worker
	note func(h inspect.Header) inspect.Event                  // what happened; nil: what the commit says
}

// writeLimit is how long a write waits for the turns before it, of machine time.
const writeLimit = 5 * time.Second

// write runs w in a room that exists, and returns when it lasts.
func (e *Emulator) write(ctx context.Context, name string, w write) error {
	a, err := e.find(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	w.ctx = ctx
	result := make(chan error, 1)
	ev := &event{kind: kindWrite, write: &w}
	ev.done = func(*wire.Done) { result <- nil }
	ev.failed = func(f *wire.Failure) { result <- errors.New(f.Text) }
	r := e.post(a, arrive{ev})
	r.drain()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	var why string
	if !r.do(func() { why = r.withdraw(ev) }) || why == "" {
		return <-result // it runs, and ctx ends it
	}
	return fmt.Errorf("%s: nothing was written: %s; try again later, or evict the room to end what runs", name, why)
}

// withdraw takes a write back that has not begun, and says what it waited for.
func (r *room) withdraw(ev *event) string {
	for _, have := range r.queue {
		if have != ev {
			continue
		}
		ev.withdrawn = true
		switch {
		case r.inst != nil && r.inst.starting:
			return "its OnStart still runs, for " + inspect.Span(time.Since(r.inst.began))
		case r.inst != nil && len(r.inst.running) > 0:
			return fmt.Sprintf("its turn (%s) still runs, for %s", r.inst.running[0].kind, inspect.Span(time.Since(r.inst.began)))
		}
		return "it waits for code that runs"
	}
	return ""
}

// writeNext reports whether a write is at the head of the queue, and nothing runs
// before it.
func (r *room) writeNext() bool {
	in := r.inst
	return len(r.queue) > 0 && r.queue[0].write != nil &&
		(in == nil || !in.starting && in.atGuest == 0 && len(in.running) == 0)
}

// runWrite runs the write at the head of the queue. Until it has committed no
// other turn begins.
func (r *room) runWrite() {
	ev := r.queue[0]
	r.queue = r.queue[1:]
	r.writing = true
	db := r.database()
	number := r.em.next.Add(1) | forcedQuery
	ctx := db.queries.begin(ev.write.ctx, number)
	stop := context.AfterFunc(r.em.ctx, func() { db.queries.interrupt(number) })
	r.later(func() {
		defer db.queries.over(number)
		defer stop()
		err := ctx.Err()
		if err == nil {
			err = ev.write.f(ctx, db.Database)
		}
		dirty := db.Dirty()
		var change storage.Committed
		if err == nil {
			change, err = db.Commit()
		} else {
			err = errors.Join(err, db.Rollback())
		}
		r.post(do(func(r *room) { r.writeDone(ev, dirty, change, err) }))
	})
}

func (r *room) writeDone(ev *event, dirty bool, change storage.Committed, err error) {
	r.writing = false
	if err == nil && dirty {
		r.em.life(r.address).wrote(true)
		h := r.header()
		h.Forced = true
		if ev.write.note != nil {
			r.em.events.Publish(ev.write.note(h))
		}
		r.forced = true
		r.alarmCommitted(change)
		r.forced = false
		r.em.events.Publish(&inspect.Commit{Header: h})
	}
	if r.inst == nil && len(r.queue) == 0 {
		r.closeDatabase()
	}
	if err != nil {
		r.fail(ev, &wire.Failure{Text: err.Error()})
		return
	}
	r.finish(ev, &wire.Done{})
}
