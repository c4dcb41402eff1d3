package emulator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// Clock is the rooms' clock. Move it with [Emulator.Advance].
func (e *Emulator) Clock() *clock.Clock { return e.clock }

// Advance moves the rooms' clock by d, which is not negative, and runs what
// falls due in order. It returns the new time.
func (e *Emulator) Advance(ctx context.Context, d time.Duration) (time.Time, error) {
	if d < 0 {
		return e.clock.Now(), errors.New("the clock cannot go back: alarms and timers have seen this time")
	}
	if err := ctx.Err(); err != nil {
		return e.clock.Now(), err
	}
	err := e.AdvanceClock(d, e.settler(ctx))
	return e.clock.Now(), err
}

// endOfTime is how far the clock goes: times are counted in nanoseconds.
var endOfTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// AdvanceClock is Advance with settle, which, if not nil, is called after each
// thing that fell due. Where it fails, the clock stays where it is.
func (e *Emulator) AdvanceClock(d time.Duration, settle func() error) error {
	if e.clock.Now().Add(d).After(endOfTime) {
		return fmt.Errorf("the clock goes up to %s, and no further", endOfTime.Format(time.DateOnly))
	}
	err := e.clock.Advance(d, e.tellClock, settle)
	e.events.Publish(&inspect.ClockMoved{Header: inspect.Header{Forced: true}, By: d})
	return err
}

// tellClock brings the clock to the running code.
func (e *Emulator) tellClock() {
	e.mu.RLock()
	g := e.generation
	e.mu.RUnlock()
	if g != nil { // what older code still runs hears of it by its turns
		g.link.Send(&wire.SetClock{Clock: e.wireClock()})
		g.link.Flush()
	}
}

func (e *Emulator) wireClock() wire.Time {
	if e.clock.Manual() {
		return wire.Time{Fixed: e.clock.Now().UnixNano()}
	}
	return wire.Time{Offset: int64(e.clock.Offset())}
}
