package emulator

import (
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// freshness finds out when new code first answers a client.
type freshness struct {
	began time.Time    // when the code took over, set before since
	since atomic.Int64 // machine time of the change; 0: it has answered, or nobody asked in time
}

// freshLimit is how long after new code took over its first answer is news.
const freshLimit = 2 * time.Second

func (f *freshness) from(since time.Time) {
	f.began = time.Now()
	f.since.Store(since.UnixNano())
}

// answered notes that something of this code leaves for a client.
func (e *Emulator) answered(g *generation, room string) {
	since := g.fresh.since.Load()
	if since == 0 || !g.fresh.since.CompareAndSwap(since, 0) {
		return
	}
	if time.Since(g.fresh.began) < freshLimit {
		e.events.Publish(&inspect.FirstAnswer{Header: inspect.Header{Room: room, Generation: g.number}, Total: time.Since(time.Unix(0, since))})
	}
}
