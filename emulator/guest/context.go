package guest

import (
	"context"
	"sync/atomic"

	"github.com/goparty/party/emulator/wire"
)

// The contexts that hooks get say what they belong to. They are types of their
// own so that a turn costs one small allocation.

type contextKey int

const (
	guestKey contextKey = iota
	instanceKey
	turnKey
	exchangeKey
)

type guestContext struct {
	context.Context
	guest *Guest
}

func (c guestContext) Value(key any) any {
	if key == guestKey {
		return c.guest
	}
	return c.Context.Value(key)
}

// instanceContext ends when the instance leaves memory.
type instanceContext struct {
	context.Context
	instance *Instance
}

func (c instanceContext) Value(key any) any {
	if key == instanceKey {
		return c.instance
	}
	return c.Context.Value(key)
}

// turn is one event of an instance, as it runs.
type turn struct {
	context.Context
	instance *Instance
	number   uint64
	began    int64 // machine time, nanoseconds
	told     bool  // of the watchdog: it was logged

	named  atomic.Pointer[string] // the hook that runs now, for logs
	stored atomic.Bool            // it used storage
}

func (t *turn) enter(hook string) { t.named.Store(&hook) }

func (t *turn) hook() string {
	if p := t.named.Load(); p != nil {
		return *p
	}
	return "a hook"
}

func (t *turn) Value(key any) any {
	if key == turnKey {
		return t
	}
	return t.Context.Value(key)
}

// running returns the turn that ctx belongs to, if it has not ended.
func running(ctx context.Context) *turn {
	t, _ := ctx.Value(turnKey).(*turn)
	if t != nil && t.instance.turn.Load() == t {
		return t
	}
	return nil
}

// caller says for the emulator who waits in ctx. in is nil where that is no
// room; it may have left memory.
func caller(ctx context.Context) (in *Instance, who wire.Caller) {
	if t := running(ctx); t != nil {
		return t.instance, wire.Caller{Instance: t.instance.Number, Turn: t.number}
	}
	if in, _ := ctx.Value(instanceKey).(*Instance); in != nil {
		return in, wire.Caller{Instance: in.Number}
	}
	return nil, wire.Caller{}
}

// of returns the guest that ctx belongs to, or else the program's.
func of(ctx context.Context) *Guest {
	if g, _ := ctx.Value(guestKey).(*Guest); g != nil {
		return g
	}
	return current.Load()
}
