package script

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The statuses of a Result.
const (
	Passed  = "pass"
	Failed  = "fail"
	Skipped = "skip"
)

// Result is what became of one script.
type Result struct {
	Name   string        `json:"name"`
	File   string        `json:"file"`
	Status string        `json:"status"`
	Took   time.Duration `json:"took_ns"`
	Log    string        `json:"log,omitempty"` // what it did, up to the failure
	// Transcript is what each client and request saw, without what differs from
	// run to run; "" where Options do not ask for it.
	Transcript string `json:"transcript,omitempty"`
}

// Test runs the scripts without go test, as many at once as there are
// processors. report gets each result in the order of the files, as soon as
// those before it have ended.
func Test(ctx context.Context, o Options, verbose bool, report func(Result)) error {
	files, err := o.Find()
	if err != nil {
		return err
	}
	r, end, err := newRunner(ctx, o)
	if err != nil {
		return err
	}
	defer end()
	results := make([]chan Result, len(files))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0)*2) // they often wait
	for i, f := range files {
		results[i] = make(chan Result, 1)
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] <- r.test(f, o, verbose)
		}()
	}
	for _, c := range results {
		report(<-c)
	}
	return nil
}

// test runs one script.
func (r *runner) test(file string, o Options, verbose bool) Result {
	began := time.Now()
	t := &suite{verbose: verbose}
	saw := ""
	if o.Transcript {
		own := *r
		own.saw = func(text string) { saw = text }
		r = &own
	}
	if r.ctx.Err() != nil {
		t.Log("interrupted before it began")
		t.failed = true
	} else if err := r.script(t, file, o); err != nil {
		t.Log(err)
		t.failed = true
	}
	t.running.Wait()
	res := Result{Name: NameOf(file), File: file, Status: Passed, Took: time.Since(began), Log: withoutEnvironment(strings.TrimRight(t.log.String(), "\n")), Transcript: saw}
	switch {
	case t.failed:
		res.Status = Failed
	case t.skipped:
		res.Status = Skipped
	}
	return res
}

// withoutEnvironment drops what testscript says first: the environment that it
// runs scripts in, up to an empty line or, in short, as one line.
func withoutEnvironment(log string) string {
	if !strings.HasPrefix(log, "WORK=") {
		return log
	}
	first, rest, _ := strings.Cut(log, "\n")
	if strings.HasPrefix(rest, "PATH=") {
		_, rest, _ = strings.Cut(rest, "\n\n")
	} else if first == log {
		return ""
	}
	return rest
}

// suite is a testscript.T of one script.
type suite struct {
	verbose bool
	running sync.WaitGroup

	mu      sync.Mutex
	log     strings.Builder
	failed  bool
	skipped bool
}

var _ testscript.T = (*suite)(nil)

func (t *suite) Parallel()     {}
func (t *suite) Verbose() bool { return t.verbose }

func (t *suite) Log(args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintln(&t.log, args...)
}

func (t *suite) FailNow() {
	t.mu.Lock()
	t.failed = true
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *suite) Fatal(args ...any) {
	t.Log(args...)
	t.FailNow()
}

func (t *suite) Skip(args ...any) {
	t.Log(args...)
	t.mu.Lock()
	t.skipped = true
	t.mu.Unlock()
	runtime.Goexit()
}

// Run runs f on a goroutine of its own, which it may end.
func (t *suite) Run(_ string, f func(testscript.T)) {
	t.running.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				t.Log(fmt.Sprintf("party test itself panicked: %v\n%s", v, debug.Stack()))
				t.mu.Lock()
				t.failed = true
				t.mu.Unlock()
			}
		}()
		f(t)
	})
	t.running.Wait()
}
