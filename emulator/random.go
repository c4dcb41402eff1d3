package emulator

import (
	crand "crypto/rand"

	"github.com/goparty/party/emulator/wire"
)

// connectionID makes up the id of a client that has none. Only a seed that was
// asked for makes it predictable.
func (e *Emulator) connectionID() string {
	var b [21]byte
	if !e.seeded {
		_, _ = crand.Read(b[:])
		return wire.NanoID(b)
	}
	e.alarmMu.Lock()
	defer e.alarmMu.Unlock()
	for i := range b {
		b[i] = byte(e.rand.Uint64())
	}
	return wire.NanoID(b)
}

// random returns a number from 0 to n.
func (e *Emulator) random(n int64) int64 {
	e.alarmMu.Lock()
	defer e.alarmMu.Unlock()
	return e.rand.Int64N(n + 1)
}
