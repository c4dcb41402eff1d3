package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// own makes the caller the one that runs the queue, if there is something to
// run and nobody does.
func (in *Instance) own() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.owned || len(in.queue) == 0 {
		return false
	}
	in.owned = true
	return true
}

// work runs the instance's turns, one at a time, until none is left, on the
// goroutine numbered gid, which must own it.
func (in *Instance) work(gid int64) {
	in.gid.Store(gid)
	for {
		in.mu.Lock()
		if len(in.queue) == 0 || in.fenced.Load() {
			in.queue = nil
			in.owned = false
			in.mu.Unlock()
			return
		}
		next := in.queue[0]
		in.queue[0] = nil
		in.queue = in.queue[1:]
		in.mu.Unlock()
		in.run(next)
	}
}

// run runs one turn and answers it.
func (in *Instance) run(m *wire.Turn) {
	t := &turn{Context: in.ctx, instance: in, number: m.Turn, began: time.Now().UnixNano()}
	in.guest.setClock(m.Clock)
	in.turn.Store(t)
	in.guest.watch.began()
	ended := false
	defer func() {
		if ended || in.fenced.Load() {
			return
		}
		// Goexit: no panic and no return.
		f := &wire.Failure{Text: t.hook() + " ended its goroutine (runtime.Goexit)"}
		in.report(t.hook(), f)
		in.finish(t, f)
		go in.guest.worker(in) // which owns it now in our place
	}()
	failure := in.dispatch(t, m.Event)
	ended = true
	in.finish(t, failure)
}

func (in *Instance) finish(t *turn, failure *wire.Failure) {
	in.turn.Store(nil)
	in.mu.Lock()
	value := in.invoked
	in.invoked = nil
	in.mu.Unlock()
	if !in.fenced.Load() {
		in.guest.link.Send(&wire.Done{Instance: in.Number, Turn: t.number, Err: failure, Value: value})
	}
}

// dispatch runs the hooks of one event.
func (in *Instance) dispatch(t *turn, event wire.Event) *wire.Failure {
	switch e := event.(type) {
	case *wire.Deliver:
		c := in.conn(e.Connection)
		if c == nil {
			return nil
		}
		return in.hook(t, "OnMessage", func() error { return in.object.Message(t, c, e.Binary, e.Data) })
	case *wire.Start:
		return in.hook(t, "OnStart", func() error { return in.object.Start(t) })
	case *wire.Connect:
		return in.connect(t, e)
	case *wire.Closed:
		return in.closed(t, e)
	case *wire.Faulted:
		c := in.conn(e.Connection)
		if c == nil {
			return nil
		}
		in.setReady(c, Closed)
		defer in.remove(c)
		return in.hook(t, "OnError", func() error { in.object.Error(t, c, errors.New(e.Text)); return nil })
	case *wire.Serve:
		in.setProps(e.Props)
		return in.request(t, e)
	case *wire.Invoke:
		return in.hook(t, "Call of "+e.Method, func() error {
			value, err := in.object.Invoke(t, e.Method, e.Args)
			if err == nil && len(value) > wire.MaxPayload {
				err = tooLarge("a result", len(value))
			}
			in.mu.Lock()
			in.invoked = value
			in.mu.Unlock()
			return err
		})
	case *wire.Wake:
		in.setProps(e.Props)
		return nil
	case *wire.RunAlarm:
		return in.hook(t, "OnAlarm", func() error {
			return in.object.Alarm(t, e.RetryCount, time.Unix(0, e.Scheduled).UTC())
		})
	case *wire.RunDo:
		return in.runAsked(t, e.ID)
	case *wire.RunTimer:
		in.mu.Lock()
		f := in.timers[e.ID]
		delete(in.timers, e.ID)
		in.mu.Unlock()
		if f == nil {
			return nil // stopped meanwhile
		}
		return in.hook(t, "AfterFunc", func() error { f(t); return nil })
	}
	return &wire.Failure{Text: fmt.Sprintf("unknown event %T", event)}
}

func (in *Instance) connect(t *turn, e *wire.Connect) *wire.Failure {
	in.setProps(e.Props)
	c := newConn(in, e.Connection)
	c.ready = Connecting
	r, err := newRequest(t, &e.Request, http.NoBody)
	if err != nil {
		return &wire.Failure{Code: wire.CodeInvalid, Text: err.Error()}
	}
	failure := in.hook(t, "ConnectionTags", func() error {
		tags, err := in.object.Tags(t, c, r)
		if err != nil {
			return err
		}
		return c.setTags(tags)
	})
	if failure != nil {
		return failure
	}
	in.mu.Lock()
	c.ready = Open
	in.add(c)
	in.mu.Unlock()
	_ = in.send(&wire.Accept{Instance: in.Number, Connection: c.key, Tags: c.Tags})
	open := false
	defer func() { // also behind runtime.Goexit
		if !open {
			in.remove(c)
		}
	}()
	failure = in.hook(t, "OnConnect", func() error { return in.object.Connect(t, c, r) })
	open = failure == nil
	return failure
}

func (in *Instance) closed(t *turn, e *wire.Closed) *wire.Failure {
	c := in.conn(e.Connection)
	if c == nil {
		return nil
	}
	in.mu.Lock()
	switch {
	case c.closed:
		c.ready = Closed
	default:
		c.ready = Closing
	}
	in.mu.Unlock()
	defer in.remove(c)
	return in.hook(t, "OnClose", func() error { return in.object.Close(t, c, e.Code, e.Reason, e.Clean) })
}

func (in *Instance) setReady(c *Conn, r ReadyState) {
	in.mu.Lock()
	c.ready = r
	in.mu.Unlock()
}

// hook runs one hook. Its error or panic is reported, given to OnException
// within the same turn, and returned.
func (in *Instance) hook(t *turn, name string, f func() error) *wire.Failure {
	t.enter(name)
	err := protect(f)
	if err == nil || in.fenced.Load() {
		return nil
	}
	failure := toFailure(err)
	in.report(name, failure)
	t.enter("OnException")
	if second := protect(func() error { in.object.Exception(t, err); return nil }); second != nil {
		in.report("OnException", toFailure(second))
	}
	return failure
}

func (in *Instance) report(hook string, f *wire.Failure) {
	_ = in.send(&wire.Exception{Instance: in.Number, Hook: hook, Err: f})
}

// Panic is the error that a hook's panic becomes.
type Panic struct {
	Value any
	Stack string
}

func (p *Panic) Error() string {
	if err, ok := p.Value.(error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic: %v", p.Value)
}

// Unwrap returns the panic's value where it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// protect runs f and makes its panic an error. Goexit passes through.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{Value: v, Stack: trimStack(string(debug.Stack()))}
		}
	}()
	return f()
}

// trimStack leaves out the lines of recovering and panicking, so that the stack
// starts where the user's code panicked, and those of whatever called the hook.
func trimStack(s string) string {
	lines := strings.SplitAfter(s, "\n")
	from, to := 1, len(lines)
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "panic(") && i+2 < len(lines) && from == 1:
			from = i + 2
		case strings.HasPrefix(l, modulePath+".(*object).") || strings.HasPrefix(l, modulePath+"/emulator/guest.protect("):
			to = min(to, max(i, from))
		}
	}
	if from == to {
		return s
	}
	return lines[0] + strings.Join(lines[from:to], "")
}

const modulePath = "github.com/goparty/party"

// maxText bounds an error or a line of the log on its way: somebody's message
// may be part of it, and no frame is to become too large by that.
const maxText = 64 << 10

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return fmt.Sprintf("%s... (%d bytes more)", strings.ToValidUTF8(s[:maxText], ""), len(s)-maxText)
}

func toFailure(err error) *wire.Failure {
	f := &wire.Failure{Text: cut(err.Error())}
	var p *Panic
	if errors.As(err, &p) {
		f.Stack = cut(p.Stack)
	}
	var r *remoteError
	if errors.As(err, &r) && f.Stack == "" {
		f.Stack = r.failure.Stack
	}
	return f
}

// asked is a function of Do that waits for its turn, or runs in it.
type asked struct {
	f     func(context.Context) error
	begun bool // guarded by the instance's mu
	err   error
	done  chan error // one value
}

func (a *asked) finish(err error) {
	select {
	case a.done <- err:
	default:
	}
}

// Do runs f as a turn of the room and returns once that has committed.
func (in *Instance) Do(ctx context.Context, f func(context.Context) error) error {
	if t := running(ctx); t != nil {
		return fmt.Errorf("%w: %s of %s is running; call the function directly, or Do from the goroutine of a WaitUntil", ErrInTurn, t.hook(), t.instance.Address)
	}
	a := &asked{f: f, done: make(chan error, 1)}
	id := in.guest.next.Add(1)
	in.mu.Lock()
	if in.asked == nil {
		in.mu.Unlock()
		return errGone
	}
	in.asked[id] = a
	in.mu.Unlock()
	in.guest.await(id, &waiter{instance: in})
	defer in.guest.unwait(id)
	if err := in.send(&wire.RequestTurn{Instance: in.Number, ID: id}); err != nil {
		return err
	}
	in.guest.yield()
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		in.mu.Lock()
		begun := a.begun
		if !begun {
			delete(in.asked, id)
		}
		in.mu.Unlock()
		if !begun {
			_ = in.send(&wire.Cancel{Instance: in.Number, ID: id})
			return context.Cause(ctx)
		}
		return <-a.done
	}
}

// runAsked runs the function of a Do. Its error is the caller's; a panic is the
// turn's as well.
func (in *Instance) runAsked(t *turn, id uint64) *wire.Failure {
	in.mu.Lock()
	a := in.asked[id]
	if a != nil {
		a.begun = true
	}
	in.mu.Unlock()
	if a == nil {
		return nil // withdrawn
	}
	return in.hook(t, "Do", func() error {
		defer func() {
			if v := recover(); v != nil {
				a.err = &Panic{Value: v, Stack: trimStack(string(debug.Stack()))}
				panic(v)
			}
		}()
		a.err = errors.New("the function of Do ended its goroutine (runtime.Goexit)")
		a.err = a.f(t)
		return nil
	})
}

// committed ends a Do whose turn has committed (or failed to).
func (in *Instance) committed(id uint64, failure *wire.Failure) {
	in.mu.Lock()
	a := in.asked[id]
	delete(in.asked, id)
	in.mu.Unlock()
	if a == nil {
		return
	}
	err := a.err
	if failure != nil && err == nil {
		err = fromFailure(failure)
	}
	a.finish(err)
}

// Timer is an AfterFunc that has not run.
type Timer struct {
	in *Instance
	id uint64
}

// AfterFunc runs f as a turn once d has passed on the room's clock.
func (in *Instance) AfterFunc(d time.Duration, f func(context.Context)) *Timer {
	t := &Timer{in: in, id: in.guest.next.Add(1)}
	in.mu.Lock()
	if in.timers != nil {
		in.timers[t.id] = f
	}
	in.mu.Unlock()
	_ = in.send(&wire.SetTimer{Instance: in.Number, ID: t.id, After: int64(d)})
	return t
}

// Stop reports whether it kept the function from running.
func (t *Timer) Stop() bool {
	t.in.mu.Lock()
	_, pending := t.in.timers[t.id]
	delete(t.in.timers, t.id)
	t.in.mu.Unlock()
	if pending {
		_ = t.in.send(&wire.StopTimer{Instance: t.in.Number, ID: t.id})
	}
	return pending
}

// Sleep waits for d on the room's clock, or for ctx.
func (in *Instance) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	turn := uint64(0)
	if t := running(ctx); t != nil && t.instance == in {
		turn = t.number
	}
	_, err := in.guest.ask(ctx, in, func(id uint64) wire.Message {
		return &wire.Sleep{Instance: in.Number, ID: id, Turn: turn, After: int64(d)}
	})
	return err
}

// WaitUntil runs f on a goroutine of its own and keeps the room awake until it
// returns.
func (in *Instance) WaitUntil(f func(context.Context) error) {
	in.background("WaitUntil", func() error { return f(in.staying) }, func(error) {})
}

// background runs f as work of the room that is no turn, then end with what
// came of it.
func (in *Instance) background(what string, f func() error, end func(error)) {
	id := in.guest.next.Add(1)
	if err := in.send(&wire.Hold{Instance: in.Number, ID: id, Begin: true, What: what}); err != nil {
		end(err)
		return
	}
	go func() {
		err := fmt.Errorf("%s ended its goroutine (runtime.Goexit)", what)
		defer func() {
			if err != nil && !errors.Is(err, http.ErrAbortHandler) && !in.fenced.Load() && !in.ended(err) {
				in.report(what, toFailure(err))
			}
			end(err)
			_ = in.send(&wire.Hold{Instance: in.Number, ID: id})
			in.guest.link.Flush()
		}()
		err = protect(f)
	}()
}

// goroutineID finds the number that stacks show for this goroutine. It is used
// to find the stack of a slow turn and for nothing else.
func goroutineID() int64 {
	var b [64]byte
	s := string(b[:runtime.Stack(b[:], false)])
	var id int64
	_, _ = fmt.Sscanf(s, "goroutine %d ", &id)
	return id
}

// slowTurn is the length from which on a turn is logged with where it is.
const slowTurn = time.Second

func (in *Instance) logSlow(t *turn, stack string) {
	in.Log(slog.LevelWarn, fmt.Sprintf("%s has been running for %s; the room serves nothing else meanwhile. It is here:\n%s",
		t.hook(), time.Since(time.Unix(0, t.began)).Round(100*time.Millisecond), stack))
}
