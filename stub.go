package party

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// RetryOptions say how often a lost connection to a room is tried again. Only
// errors marked retryable are: the room's own errors never, overload never.
type RetryOptions struct {
	// MaxAttempts counts the first try too; 1 means no retry. 0: 3.
	MaxAttempts int
	// The delay before attempt n+1 is random between 0 and
	// min(MaxDelay, BaseDelay * 2^(n-1)), of real time. 0: 100 ms and 800 ms.
	BaseDelay, MaxDelay time.Duration
	// OnRetry is told of each retry before its delay. Its panics are ignored.
	OnRetry func(RetryEvent)
}

// RetryEvent is one retry to come.
type RetryEvent struct {
	Err         error
	Attempt     int // the one that failed, from 1
	MaxAttempts int
	Delay       time.Duration
	Name, Class string
}

func (o *RetryOptions) filled() (RetryOptions, error) {
	var f RetryOptions
	if o != nil {
		f = *o
	}
	if f.MaxAttempts == 0 {
		f.MaxAttempts = 3
	}
	if f.BaseDelay == 0 {
		f.BaseDelay = 100 * time.Millisecond
	}
	if f.MaxDelay == 0 {
		f.MaxDelay = max(f.BaseDelay, 800*time.Millisecond)
	}
	switch {
	case f.MaxAttempts < 1:
		return f, fmt.Errorf("RetryOptions.MaxAttempts is %d: it must be at least 1", f.MaxAttempts)
	case f.BaseDelay < 0 || f.MaxDelay < 0:
		return f, errors.New("RetryOptions: delays must be positive")
	case f.BaseDelay > f.MaxDelay:
		return f, fmt.Errorf("RetryOptions.BaseDelay (%s) is more than MaxDelay (%s)", f.BaseDelay, f.MaxDelay)
	}
	return f, nil
}

// retry runs f until it succeeds, fails for good, or the attempts are used up.
func retry(ctx context.Context, opts *RetryOptions, to wire.Address, f func() error) error {
	o, err := opts.filled()
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || !isRetryable(err) || attempt >= o.MaxAttempts {
			return err
		}
		most := min(o.MaxDelay, o.BaseDelay<<min(attempt-1, 30))
		delay := time.Duration(rand.Int64N(int64(most) + 1))
		if o.OnRetry != nil {
			func() {
				defer func() { _ = recover() }()
				o.OnRetry(RetryEvent{Err: err, Attempt: attempt, MaxAttempts: o.MaxAttempts, Delay: delay, Name: to.Name, Class: to.Binding})
			}()
		}
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

func isRetryable(err error) bool {
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && r.Retryable()
}

func statusOf(err error) int {
	switch {
	case isRetryable(err):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, ErrTooLarge): // the room's name
		return http.StatusRequestURITooLong
	}
	return http.StatusInternalServerError
}

// StubOptions of [ServerByName].
type StubOptions struct {
	LocationHint string // where a new room should live; see [RouteOptions]
	Jurisdiction string // the same name elsewhere is another room
	Props        any    // given to the room as JSON; see [Server.Props]
	Retry        *RetryOptions
}

// Stub reaches a room from other code. It may be kept and used from any
// goroutine.
type Stub struct {
	to wire.Address
}

// ServerByName returns a stub of the room with a name; OnStart has run when it
// returns. binding is the key in Servers. Use the ctx of the hook that calls
// it: the emulator sees by it who waits for whom.
func ServerByName(ctx context.Context, binding, name string, opts ...StubOptions) (*Stub, error) {
	if len(opts) > 1 {
		return nil, errors.New("ServerByName takes one StubOptions at most")
	}
	var o StubOptions
	if len(opts) == 1 {
		o = opts[0]
	}
	if name == "" {
		return nil, errors.New("ServerByName needs the room's name: it is empty")
	}
	if len(name) > wire.MaxName {
		return nil, fmt.Errorf("%w: a room's name of %d bytes; at most %d are allowed", ErrTooLarge, len(name), wire.MaxName)
	}
	if all := guest.Bindings(ctx); all != nil && !slices.Contains(all, binding) {
		return nil, fmt.Errorf("no class is bound to %q; there are %q", binding, all)
	}
	props, err := encodeProps(o.Props)
	if err != nil {
		return nil, err
	}
	s := &Stub{to: wire.Address{Binding: binding, Name: name, Jurisdiction: o.Jurisdiction}}
	if err := retry(ctx, o.Retry, s.to, func() error { return guest.Wakeup(ctx, s.to, o.LocationHint, props) }); err != nil {
		return nil, fmt.Errorf("%s: %w", s.to, err)
	}
	return s, nil
}

// Name is the room's name.
func (s *Stub) Name() string { return s.to.Name }

// Fetch sends r to the room's OnRequest and returns its answer, whose body must
// be closed. Of r's URL only path and query count. r's context must be the one
// of the hook that calls it, as in http.NewRequestWithContext. A call ends
// after 30 seconds without an answer.
//
// Where the connection to the room was lost the error has a method
// Retryable() bool that returns true.
func (s *Stub) Fetch(r *http.Request) (*http.Response, error) {
	if isUpgrade(r) {
		return nil, errors.New("Fetch cannot open a WebSocket to a room: let clients connect, or use Call")
	}
	resp, err := guest.Fetch(r.Context(), s.to, "", r, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch from %s: %w", s.to, err)
	}
	return resp, nil
}

// Call runs a method of another room's value as a turn there and returns its
// result. The method is one that the class's type declares:
//
//	func (a *Account) Deposit(ctx context.Context, amount int) (int, error)
//
// or without a result, returning error alone. Arguments and results travel as
// JSON. ctx must be that of the hook that calls: by it the emulator sees who
// waits for whom, and fails a call that would wait for ever with [ErrCycle]. A
// call ends after 30 seconds. An error of the method comes back with its text.
func Call[R any](ctx context.Context, stub *Stub, method string, args ...any) (R, error) {
	var result R
	if args == nil {
		args = []any{}
	}
	b, err := json.Marshal(args)
	if err != nil {
		return result, fmt.Errorf("call of %s: arguments: %w", method, err)
	}
	value, err := guest.Call(ctx, stub.to, method, b)
	if err != nil {
		return result, fmt.Errorf("call of %s in %s: %w", method, stub.to, err)
	}
	if len(value) > 0 {
		if err := json.Unmarshal(value, &result); err != nil {
			return result, fmt.Errorf("call of %s in %s: the result does not fit %T: %w", method, stub.to, result, err)
		}
	}
	return result, nil
}
