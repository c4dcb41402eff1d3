package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/goparty/party/emulator/wire"
)

// What happens to an instance when other code is to take its place: it is asked
// to end before it is stopped.

// errLeaving is why the contexts of background work end.
var errLeaving = fmt.Errorf("%w: new code takes over this room; end soon, and save with a context of context.WithoutCancel", ErrClosed)

func (g *Guest) leave(m *wire.Leave) {
	if m.Instance == 0 {
		if x := g.exchange(m.Stream); x != nil {
			x.leave(errLeaving)
		}
		return
	}
	if in := g.instance(m.Instance); in != nil {
		in.leave()
	}
}

// leave gives back the turns that have not begun and ends the contexts of what
// runs in the background. That may still use Do.
func (in *Instance) leave() {
	var back []uint64
	in.mu.Lock()
	in.queue = slices.DeleteFunc(in.queue, func(t *wire.Turn) bool {
		if _, ok := t.Event.(*wire.RunDo); ok {
			return false
		}
		back = append(back, t.Turn)
		return true
	})
	in.mu.Unlock()
	in.guest.link.Send(&wire.Left{Instance: in.Number, Turns: back})
	in.guest.link.Flush()
	in.end(errLeaving)
}

// ended reports whether err only says that the context of background work has
// ended because other code takes over.
func (in *Instance) ended(err error) bool {
	return in.staying.Err() != nil && (errors.Is(err, errLeaving) || errors.Is(err, context.Canceled))
}
