//go:build !partyplugin && !js

package party

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/process"
)

// The conformance suite says what a room may rely on. Every row runs twice: with
// the code in this process, and with the code in a process of its own, which is
// this test binary again. Rows that only a process can keep say so.
//
// Nothing here sleeps. A row waits for messages, for events of the emulator's
// stream, or for what falls due when it moves the rooms' clock; patience bounds
// each wait, and is only ever used up by a row that fails.
const patience = 30 * time.Second

// The environment of this binary where it is not the test itself.
const (
	appVariable  = "PARTY_TEST_APP"  // of a guest: which of apps it runs
	roleVariable = "PARTY_TEST_ROLE" // "emulator": see emulatorMain
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(guest.SocketVariable) != "":
		guestMain(os.Getenv(appVariable))
	case os.Getenv(roleVariable) == "emulator":
		emulatorMain()
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(lingering); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// raceExit keeps a process that was built with -race from resting for a second
// before it exits.
const raceExit = "GORACE=atexit_sleep_ms=0"

// lingering is what net/http does for half a second with a connection that it
// closes on a client that still sends.
var lingering = goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")

// guestMain is the main function of a guest's process. It does not return.
func guestMain(app string) {
	if misbehave, ok := badGuests[app]; ok {
		misbehave()
		os.Exit(0)
	}
	remote, err := guest.Attach()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p, err := apps[app]().Program()
	if err != nil {
		remote.Refuse(err)
	}
	remote.Run(p)
}

// selfLoader starts this binary as a guest.
type selfLoader struct {
	app  string
	env  []string
	line func(string)
}

func (l selfLoader) Load(ctx context.Context, _ uint64) (emulator.Guest, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := process.Start(ctx, process.Command{
		Path: self, Env: append([]string{appVariable + "=" + l.app, raceExit}, l.env...),
		Line: func(_ bool, line string) { l.line(line) },
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// setup is what a row wants to be different.
type setup struct {
	app    string // "": lab
	config emulator.Config
	wall   bool     // the clock runs
	env    []string // of the guest's process
	slow   bool     // the row waits for real time
}

// harness is an emulator that serves an app, and what a row does with it.
type harness struct {
	*emulator.Emulator
	t       *testing.T
	process bool // the code runs in a process of its own
	loader  emulator.Loader
	addr    string
	client  *http.Client
	log     eventLog
	dials   map[string]int // of one id in one room
	ids     int

	mu     sync.Mutex
	output []string // of the guest's process
}

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// conform runs a row against both loaders.
func conform(t *testing.T, row func(t *testing.T, h *harness), change ...func(*setup)) {
	t.Helper()
	together(t, change)
	t.Run("in-process", func(t *testing.T) { row(t, newHarness(t, false, change)) })
	t.Run("process", func(t *testing.T) { row(t, newHarness(t, true, change)) })
}

// slow is for rows that wait for real time: they run together, behind all
// others. They may not wait at gates, which those in this process share.
func slow(s *setup) { s.slow = true }

func together(t *testing.T, change []func(*setup)) {
	var s setup
	for _, c := range change {
		c(&s)
	}
	if s.slow {
		t.Parallel()
	}
}

// needsProcess runs a row that only code in a process of its own can keep.
func needsProcess(t *testing.T, row func(t *testing.T, h *harness), change ...func(*setup)) {
	t.Helper()
	together(t, change)
	t.Run("in-process", func(t *testing.T) {
		t.Skip("in one process with the emulator a panic in a user's goroutine or an exit ends the program, and a hung hook leaks")
	})
	t.Run("process", func(t *testing.T) { row(t, newHarness(t, true, change)) })
}

func newHarness(t *testing.T, separate bool, change []func(*setup)) *harness {
	t.Helper()
	var s setup
	s.app = "lab"
	for _, c := range change {
		c(&s)
	}
	if s.slow {
		t.Parallel()
	}
	if !s.wall {
		s.config.Clock = clock.NewManual(epoch)
	}
	before := goleak.IgnoreCurrent()
	h := &harness{t: t, process: separate, dials: map[string]int{}, Emulator: emulator.New(s.config)}
	h.client = &http.Client{Timeout: 3 * patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h.log.grown = make(chan struct{})
	sub := h.Events().Subscribe(1 << 20)
	logged := make(chan struct{})
	go func() { defer close(logged); h.log.read(sub) }()

	var loader emulator.Loader
	if h.process {
		loader = selfLoader{s.app, s.env, h.line}
	} else {
		p, err := apps[s.app]().Program()
		if err != nil {
			t.Fatal(err)
		}
		loader = emulator.InProcess(p)
	}
	h.loader = loader
	if err := h.Run(t.Context(), loader); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- h.Serve(ln) }()
	t.Cleanup(func() {
		if !separate {
			world.openAll() // hooks that hang in this process end now
			defer world.reset()
		}
		h.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		h.client.CloseIdleConnections()
		sub.Close()
		<-logged
		if !s.slow { // otherwise TestMain looks
			if err := goleak.Find(before, lingering); err != nil {
				t.Error(err)
			}
		}
		if out := h.guestOutput(); strings.Contains(out, "DATA RACE") {
			t.Errorf("the guest's process wrote:\n%s", out)
		}
		if t.Failed() {
			t.Logf("events:\n%s", h.log.dump(60))
		}
	})
	return h
}

func (h *harness) line(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.output = append(h.output, s)
}

func (h *harness) guestOutput() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.output, "\n")
}

// advance moves the rooms' clock.
func (h *harness) advance(d time.Duration) { _ = h.AdvanceClock(d, nil) }

// parallel runs f n times at once and reports the first error of each.
func parallel(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// contains asserts that s has every part.
func contains(t *testing.T, s string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(s, p) {
			t.Errorf("%.500q does not contain %q", s, p)
		}
	}
}

func repeat(n int) []byte { return bytes.Repeat([]byte("x"), n) }
