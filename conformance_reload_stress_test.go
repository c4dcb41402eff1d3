//go:build !partyplugin && !js

package party

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

// Many clients send numbered messages through many reloads, some of which fail:
// each is answered once, in order, and nobody is cut.
func TestReloadLosesNothing(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		clients, reloads := 40, 12
		if !testing.Short() {
			clients, reloads = 500, 50
		}
		all := make([]*client, clients)
		for i := range all {
			party := "lab"
			if i%4 == 0 {
				party = "awake"
			}
			all[i] = h.dial(fmt.Sprintf("%s/%d", party, i%(clients/4)), id(fmt.Sprintf("id-%d", i)), query("tag", fmt.Sprintf("tag-%d", i)))
			all[i].do(fmt.Sprintf(`set {"n":%d}`, i))
			all[i].want("ok")
		}
		h.log.sparse.Store(true)
		defer h.log.sparse.Store(false)
		var over atomic.Bool
		var answers atomic.Int64
		var talk sync.WaitGroup
		sent := make([]int, clients)
		for i, c := range all {
			talk.Go(func() {
				got := 0
				for !over.Load() || got < sent[i] {
					for !over.Load() && sent[i] < got+3 {
						c.send("echo " + strconv.Itoa(sent[i]))
						sent[i]++
					}
					if got == sent[i] {
						return
					}
					if s, err := c.next(); err != nil || s != strconv.Itoa(got) {
						t.Errorf("client %d got %q, %v, want %d", i, s, err, got)
						over.Store(true)
						return
					}
					got++
					answers.Add(1)
				}
			})
		}
		for n := range reloads {
			seen := answers.Load() // that each reload meets messages on their way
			h.eventually(func() bool { return over.Load() || answers.Load() >= seen+int64(2*clients) })
			if n%5 == 4 && h.process {
				if err := h.Reload(t.Context(), h.program("exits"), emulator.ReloadOptions{}); err == nil {
					t.Error("a program that exits took over")
				}
				continue
			}
			h.reload()
			if n%3 != 0 { // otherwise the next one comes while rooms still leave
				h.eventually(func() bool { _, to, _ := h.Reloading(); return to == 0 })
			}
		}
		over.Store(true)
		talk.Wait()
		if t.Failed() {
			return
		}
		total := 0
		for i, c := range all {
			total += sent[i]
			c.send("both me; both state; list " + fmt.Sprintf("tag-%d", i))
			if got := c.recv(); !strings.HasPrefix(got, fmt.Sprintf("id=id-%d ", i)) || !strings.HasSuffix(got, fmt.Sprintf("tags=[id-%d tag-%d]", i, i)) {
				t.Errorf("client %d is now %s", i, got)
			}
			c.want(fmt.Sprintf(`{"n":%d}`, i), fmt.Sprintf("[id-%d]", i))
		}
		if n := len(events[*inspect.ConnectionClosed](h, nil)) + len(events[*inspect.TurnLost](h, nil)); n > 0 {
			t.Errorf("%d connections were closed or turns lost", n)
		}
		t.Logf("%d clients, %d messages, generation %d", clients, total, h.Generation())
	})
}

// Many reloads leave memory, goroutines, files and processes where they were.
func TestReloadLeavesNothingBehind(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, d := h.dial("lab/a"), h.dial("awake/b")
		once := func() {
			h.reload()
			for _, c := range []*client{c, d} {
				if got := c.ask("echo x"); got != "x" {
					t.Fatal(got)
				}
			}
			h.eventually(func() bool { _, to, _ := h.Reloading(); return to == 0 })
		}
		for range 5 {
			once()
		}
		before := count(t, h)
		n := 10
		if !testing.Short() {
			n = 100
		}
		for range n {
			once()
		}
		// Something else may come or go meanwhile; what each reload leaves adds up.
		most := n / 2
		h.eventually(func() bool {
			after := count(t, h)
			return after.files <= before.files+most && after.goroutines <= before.goroutines+most && after.processes <= before.processes
		})
		after := count(t, h)
		if most := before.memory + 8<<20; after.memory > most {
			t.Errorf("%d bytes in use after %d reloads, %d before", after.memory, n, before.memory)
		}
		t.Logf("before %+v, after %d reloads %+v", before, n, after)
	})
}

type counts struct {
	files, goroutines, processes int
	memory                       uint64
}

// count counts what this process holds. The events that the harness keeps grow
// with each reload, and little.
func count(t *testing.T, h *harness) counts {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c := counts{goroutines: runtime.NumGoroutine(), memory: m.HeapAlloc}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		c.files = len(files)
	}
	for _, e := range events[*inspect.GenerationStarted](h, nil) {
		if e.PID != 0 {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", e.PID)); err == nil {
				c.processes++
			}
		}
	}
	return c
}
