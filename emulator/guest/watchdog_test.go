package guest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// sleepy is a class whose OnStart takes as long as its room's name says.
type sleepy struct {
	Object
	in *Instance
}

func (s *sleepy) Start(context.Context) error {
	d, err := time.ParseDuration(s.in.Address.Name)
	if err != nil {
		return err
	}
	takeANap(d)
	return nil
}

func (s *sleepy) Message(context.Context, *Conn, bool, []byte) error { return nil }

func (s *sleepy) Exception(context.Context, error) {}

// takeANap is what the log should show.
//
//go:noinline
func takeANap(d time.Duration) { <-time.After(d) }

// nappers starts a room for each name, the first at once and the others each
// half a second later, and returns what was logged.
func nappers(t *testing.T, names ...string) (logs []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := New(Program{Classes: []Class{{
			Class: wire.Class{Binding: "Nap"},
			New:   func(in *Instance) Object { return &sleepy{in: in} },
		}}})
		said := make(chan string, 100)
		g.Connect(wire.NewPipe(func(m wire.Message) {
			if l, ok := m.(*wire.Log); ok {
				said <- l.Text
			}
		}, func() {}, func() {}), &wire.Welcome{})
		for i, name := range names {
			g.Handle(&wire.Start{Instance: uint64(i + 1), Turn: uint64(i + 1), Address: wire.Address{Binding: "Nap", Name: name}})
			<-time.After(500 * time.Millisecond)
		}
		<-time.After(time.Minute)
		g.Close()
		close(said)
		for text := range said {
			logs = append(logs, text)
		}
	})
	return logs
}

func TestATurnOfMoreThanASecondIsLoggedOnceWithWhereItIs(t *testing.T) {
	for _, name := range []string{"1100ms", "1999ms", "30s"} {
		logs := nappers(t, name)
		if len(logs) != 1 {
			t.Fatalf("a turn of %s: %q", name, logs)
		}
		for _, part := range []string{"OnStart has been running for 1s; the room serves nothing else meanwhile. It is here:\n", "guest.takeANap", "watchdog_test.go"} {
			if !strings.Contains(logs[0], part) {
				t.Errorf("%s\ndoes not contain %q", logs[0], part)
			}
		}
		if strings.Contains(logs[0], "protect") || strings.Contains(logs[0], "goroutine ") {
			t.Errorf("the guest's own frames show:\n%s", logs[0])
		}
	}
}

func TestAShorterTurnIsNotLogged(t *testing.T) {
	if logs := nappers(t, "900ms", "10ms", "990ms"); logs != nil {
		t.Errorf("%q", logs)
	}
}

func TestEachSlowTurnIsLogged(t *testing.T) {
	// They begin at different times, so one look never suits all.
	if logs := nappers(t, "20s", "1600ms", "3s", "10ms", "2100ms"); len(logs) != 4 {
		t.Errorf("%d of 4 slow turns were logged", len(logs))
	}
}

func TestATurnThatBeginsWhileAnotherRunsIsLoggedAfterASecondToo(t *testing.T) {
	if logs := nappers(t, "600ms", "1100ms"); len(logs) != 1 {
		t.Errorf("%d of 1 slow turn were logged", len(logs))
	}
}

func TestTheWatchdogRestsWhereNothingRunsAndComesBack(t *testing.T) {
	if logs := nappers(t, "1200ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "1ms", "2s"); len(logs) != 2 {
		t.Errorf("%d of 2 slow turns were logged", len(logs))
	}
}

func TestASlowTurnIsFoundAmongManyGoroutines(t *testing.T) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 10000 {
		wg.Go(func() { <-done })
	}
	logs := nappers(t, "1500ms")
	close(done)
	wg.Wait()
	if len(logs) != 1 || !strings.Contains(logs[0], "guest.takeANap") {
		t.Errorf("%q", logs)
	}
}
