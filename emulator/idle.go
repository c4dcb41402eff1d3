package emulator

import (
	"fmt"
	"sort"
	"strings"

	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/wire"
)

// What keeps a room in memory, and when it leaves by itself.

// touch notes that something keeps the room awake now. other is false for
// timers and background work.
func (r *room) touch(other bool) {
	r.lastTurn = r.em.clock.Now()
	if other {
		r.lastOther = r.lastTurn
	}
}

// awake lists why the room cannot hibernate.
func (r *room) awake() []string {
	if r.inst == nil {
		return nil
	}
	var why []string
	if r.inst.starting {
		why = append(why, "OnStart runs")
	}
	if n := len(r.inst.running) + len(r.queue); n > 0 {
		why = append(why, count(n, "turn")+" running or waiting")
	}
	if !r.class().Hibernate {
		if n := len(r.conns); n > 0 {
			why = append(why, count(n, "connection")+" of a class without Hibernate")
		}
	} else if n := r.connecting(); n > 0 {
		why = append(why, count(n, "connection")+" being opened")
	}
	if n := len(r.inst.timers) + len(r.inst.sleeps); n > 0 {
		why = append(why, count(n, "timer"))
	}
	kinds := map[string]int{}
	for _, what := range r.inst.holds {
		kinds[what]++
	}
	for what, n := range kinds {
		why = append(why, fmt.Sprintf("%d %s", n, what))
	}
	sort.Strings(why)
	return why
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func joinReasons(why []string) string { return strings.Join(why, ", ") }

func (r *room) connecting() (n int) {
	for _, c := range r.conns {
		if c.sock == nil {
			n++
		}
	}
	return n
}

func (r *room) class() wire.Class {
	if r.inst != nil {
		return r.inst.gen.classes[r.address.Binding]
	}
	if g := r.em.current(); g != nil {
		return g.classes[r.address.Binding]
	}
	return wire.Class{}
}

// needed is whether awake has anything to list.
func (r *room) needed() bool {
	in := r.inst
	return in.starting || len(in.running)+len(r.queue) > 0 || len(in.timers)+len(in.sleeps)+len(in.holds) > 0 ||
		len(r.conns) > 0 && (!r.class().Hibernate || r.connecting() > 0)
}

// attended is whether somebody is there for whom even background work may take
// its time.
func (r *room) attended() bool {
	if r.inst.starting || len(r.conns)+len(r.inst.streams) > 0 {
		return true
	}
	for _, ev := range r.inst.running {
		if !ev.background() {
			return true
		}
	}
	return false
}

// arm sets the room's two deadlines. A turn does not move them, only what they
// are compared with when they are due: they come too early, look, and are set
// again for the right time. While something lasting speaks against them they
// are not set at all; its end touches the room.
func (r *room) arm() {
	if r.inst == nil {
		for _, e := range []*clock.Entry{r.idle, r.eviction} {
			if e != nil {
				e.Stop()
			}
		}
		r.idle, r.eviction = nil, nil
		return
	}
	if r.idle == nil && !r.needed() {
		number := r.inst.number
		r.idle = r.em.clock.At(r.lastTurn.Add(r.em.config.HibernateAfter), clock.Idle, r.name, func() {
			r.do(func() { r.idleDue(number) })
		})
	}
	if r.eviction == nil && !r.attended() {
		number := r.inst.number
		r.eviction = r.em.clock.At(r.lastOther.Add(r.em.config.EvictAfter), clock.Idle, r.name, func() {
			r.do(func() { r.evictionDue(number) })
		})
	}
}

func (r *room) idleDue(number uint64) {
	if r.inst == nil || r.inst.number != number {
		return
	}
	r.idle = nil
	if !r.needed() && !r.em.clock.Now().Before(r.lastTurn.Add(r.em.config.HibernateAfter)) {
		r.hibernate(false)
	}
}

func (r *room) evictionDue(number uint64) {
	if r.inst == nil || r.inst.number != number {
		return
	}
	r.eviction = nil
	if !r.attended() && !r.em.clock.Now().Before(r.lastOther.Add(r.em.config.EvictAfter)) {
		r.evict("no connection and no turn but timers and background work for "+r.em.config.EvictAfter.String(), false)
	}
}
