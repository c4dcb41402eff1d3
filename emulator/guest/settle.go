package guest

import (
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// The program's own output, whatever its code makes of os.Stdout later.
var stdout, stderr io.Writer = os.Stdout, os.Stderr

// How long goroutines may take to come to rest, of machine time. Some never do,
// such as one that computes; where the emulator shares the process, its own
// goroutines count too, and only giving way to others says anything.
const (
	settleLimit  = 50 * time.Millisecond
	settleShared = time.Millisecond
	settleYields = 32
)

// settle answers when no goroutine can go on by itself, or after a moment.
func (g *Guest) settle(m *wire.Settle) {
	limit := settleLimit
	if g.direct {
		limit = settleShared
	}
	began := time.Now()
	for calm := 0; calm < 2 && time.Since(began) < limit; {
		for range settleYields {
			runtime.Gosched()
		}
		rest, away := atRest()
		g.away.CompareAndSwap(0, away+1)
		if calm++; !rest || away >= g.away.Load() {
			calm = 0
		}
		if calm > 0 || time.Since(began) >= limit {
			g.away.Store(away + 1)
		}
	}
	if m.Mark != "" {
		_, _ = io.WriteString(stdout, m.Mark+"\n")
		_, _ = io.WriteString(stderr, m.Mark+"\n")
	}
	g.link.Send(&wire.Settled{ID: m.ID})
	g.link.Flush()
}

// atRest reports whether all goroutines but the caller's wait for something, and
// how many are in a system call. Writing a line is one, and soon over; waiting
// for signals is one that stays.
func atRest() (rest bool, away int64) {
	s := []metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
		{Name: "/sched/goroutines/not-in-go:goroutines"},
	}
	metrics.Read(s)
	for i := range s {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return true, 0 // a Go that does not tell
		}
	}
	return s[0].Value.Uint64() <= 1 && s[1].Value.Uint64() == 0, int64(s[2].Value.Uint64())
}
