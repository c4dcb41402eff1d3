package emulator

import "sync"

// message is something for a room to do; its owner applies it.
type message interface{ apply(r *room) }

// do is a message that needs no type of its own.
type do func(r *room)

func (f do) apply(r *room) { f(r) }

// mailbox gives a room one owner at a time without giving it a goroutine.
// Whoever finds it unowned and not empty owns it, on the goroutine at hand,
// until it is empty; everybody else leaves their message and goes on. That is
// safe because applying a message never waits: user code runs in the guest,
// sockets are written through outboxes.
//
// So nothing that only the owner touches needs a lock, and a message from a
// socket gets to the guest, or back, without a change of goroutine.
type mailbox struct {
	mu    sync.Mutex
	queue []message
	spare []message // the emptied queue of before
	owned bool
	dead  bool
}

// put leaves a message. It reports false where the room was forgotten. The
// caller must drain the room afterwards.
func (b *mailbox) put(m message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return false
	}
	b.queue = append(b.queue, m)
	return true
}

// ownerShift is how many messages an owner applies on a borrowed goroutine
// before it passes the room on to a goroutine of its own.
const ownerShift = 512

// drain applies what lies in the mailbox, unless somebody else does.
func (r *room) drain() {
	if r.apply() {
		go r.work.run()
	}
}

// apply is drain, but for starting what the room then has to do with its
// database: it reports whether there is something.
func (r *room) apply() (work bool) {
	b := &r.box
	b.mu.Lock()
	if b.owned || len(b.queue) == 0 {
		b.mu.Unlock()
		return false
	}
	b.owned = true
	applied := 0
	for {
		batch := b.queue
		b.queue, b.spare = b.spare[:0], nil
		b.mu.Unlock()

		for i, m := range batch {
			batch[i] = nil
			m.apply(r)
		}
		applied += len(batch)
		r.settle()

		work = r.claimWork()
		b.mu.Lock()
		if cap(batch) <= 1024 {
			b.spare = batch[:0]
		}
		if len(b.queue) == 0 {
			if r.forgettable() {
				b.dead = true
				b.owned = false
				b.mu.Unlock()
				r.em.forget(r)
				return work
			}
			b.owned = false
			b.mu.Unlock()
			return work
		}
		if work { // there is more to apply; it need not wait for that
			go r.work.run()
			work = false
		}
		if applied > ownerShift {
			b.owned = false
			b.mu.Unlock()
			go r.drain()
			return false
		}
	}
}

// post leaves a message and sees to it that it is applied.
func (r *room) post(m message) bool {
	if !r.box.put(m) {
		return false
	}
	r.drain()
	return true
}

// do runs f as the room's owner and returns when it has run. It reports false
// where the room was forgotten. It must not be called by an owner.
func (r *room) do(f func()) bool {
	done := make(chan struct{})
	if !r.post(do(func(*room) { f(); close(done) })) {
		return false
	}
	<-done
	return true
}

// batch remembers which rooms got messages, to drain each once.
type batch struct{ rooms []*room }

func (b *batch) add(r *room) {
	for _, have := range b.rooms {
		if have == r {
			return
		}
	}
	b.rooms = append(b.rooms, r)
}

// drain drains the rooms. The caller's goroutine is lent to one of them for its
// work with its database; lend, if not nil, runs that work.
func (b *batch) drain(lend func(work func())) {
	var last *room
	for i, r := range b.rooms {
		b.rooms[i] = nil
		if !r.apply() {
			continue
		}
		if last != nil {
			go last.work.run()
		}
		last = r
	}
	b.rooms = b.rooms[:0]
	switch {
	case last == nil:
	case lend == nil:
		last.work.run()
	default:
		lend(last.work.run)
	}
}
