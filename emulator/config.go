package emulator

import (
	"time"

	"github.com/goparty/party/emulator/clock"
)

// Defaults of Config.
const (
	DefaultHibernateAfter = 10 * time.Second
	DefaultEvictAfter     = 70 * time.Second
)

// Config of an emulator. The zero value is usable.
type Config struct {
	// HibernateAfter is how long a room stays in memory with nothing to do.
	// 0: DefaultHibernateAfter. (Measured on the platform: 10 s.)
	HibernateAfter time.Duration
	// EvictAfter is how long timers and background work keep a room in memory
	// without a connection. 0: DefaultEvictAfter. (Platform: 70 to 140 s.)
	EvictAfter time.Duration
	// Env is what Server.Env reads.
	Env map[string]string
	// Debug sends stacks to clients.
	Debug bool
	// Patient waits for code however long it stands still, as in a debugger.
	Patient bool
	// Clock is the rooms' time. Nil: the wall's.
	Clock *clock.Clock
	// State is the directory of the rooms' databases. "": a temporary one that
	// Close removes.
	State string
	// Durable makes every commit wait for the disk, so that it survives a loss
	// of power and not only the end of the process.
	Durable bool
	// OpenFiles is how many rooms' databases are open at once. 0: 64.
	OpenFiles int
	// Seed of what is random in the rooms' time: the jitter of retries, and the
	// ids of clients that have none. 0: nothing is predictable.
	Seed uint64
	// Generation is the number of the first code that runs. 0: 1.
	Generation uint64
}
