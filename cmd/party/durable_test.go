//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rounds is how often something is killed; PARTY_TEST_ROUNDS asks for more.
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("PARTY_TEST_ROUNDS"))
	if err != nil {
		n = 6
	}
	return n
}

// Clients write numbers, and while they do, now the server's code and now the
// whole tool is killed. Every number that was confirmed must be there, whole,
// and an alarm must have seen to each exactly once.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	l := &ledger{confirmed: map[int]string{}}
	s := setup{dir: t.TempDir()}
	start := func() *tool {
		return s.dev(t, filepath.Join(repo(t), "cmd", "party", "testdata", "ledger"))
	}
	p := start()
	r := rand.New(rand.NewPCG(1, uint64(rounds(t))))
	crashes := 0
	for round := range rounds(t) {
		stop := l.write(p.url("/parties/ledger/"), 4)
		l.await(t, 1+r.IntN(60)) // more confirmed, then the blow
		if round%2 == 0 {
			crashes++
			_ = syscall.Kill(p.guest(crashes), syscall.SIGKILL)
			p.event("a new process", crashes+1, is("generation.started", ""))
			stop()
			continue
		}
		_ = p.cmd.Process.Kill()
		<-p.exited
		stop()
		p, crashes = start(), 0
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for room := range rooms {
		var report struct {
			Values int
			Rows   map[string]int
			Halves []string
		}
		name := "ledger/" + strconv.Itoa(room)
		// The alarms that are still to come are awaited as a client would.
		deadline := time.Now().Add(20 * time.Second)
		for {
			// Counted first: an alarm that fires behind the answer is the next one.
			fired := len(p.events(is("alarm.fired", name)))
			status, body := p.get("/parties/" + name)
			if status != http.StatusOK {
				t.Fatalf("%s: %d %s", name, status, body)
			}
			report.Rows = nil
			if err := json.Unmarshal([]byte(body), &report); err != nil {
				t.Fatal(err)
			}
			waiting := 0
			for _, seen := range report.Rows {
				if seen == 0 {
					waiting++
				}
			}
			if waiting == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the alarm of %d numbers was lost", name, waiting)
			}
			p.event("an alarm", fired+1, is("alarm.fired", name))
		}
		if len(report.Halves) > 0 || report.Values != len(report.Rows) {
			t.Errorf("%s: half turns: %d values, %d rows, %v", name, report.Values, len(report.Rows), report.Halves)
		}
		for n, seen := range report.Rows {
			if seen != 1 {
				t.Errorf("%s: number %s was seen to %d times", name, n, seen)
			}
		}
		for n, in := range l.confirmed {
			if in != strconv.Itoa(room) {
				continue
			}
			total++
			if _, ok := report.Rows[strconv.Itoa(n)]; !ok {
				t.Errorf("%s: number %d was confirmed and is lost", name, n)
			}
		}
	}
	t.Logf("%d numbers were confirmed in %d rounds", total, rounds(t))
}

// rooms is how many rooms the numbers go to.
const rooms = 3

// ledger writes numbers and notes which were confirmed.
type ledger struct {
	mu        sync.Mutex
	next      int
	confirmed map[int]string // the room of each
	grown     chan struct{}
}

// write lets n clients write until stop is called.
func (l *ledger) write(url string, n int) (stop func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{}}
	for range n {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				l.mu.Lock()
				l.next++
				number := l.next
				l.mu.Unlock()
				room := strconv.Itoa(number % rooms)
				resp, err := client.Post(fmt.Sprintf("%s%s?n=%d", url, room, number), "", nil)
				if err != nil {
					continue
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(body) != "saved" {
					continue
				}
				l.mu.Lock()
				l.confirmed[number] = room
				if l.grown != nil {
					close(l.grown)
					l.grown = nil
				}
				l.mu.Unlock()
			}
		})
	}
	return func() {
		close(done)
		client.CloseIdleConnections()
		all.Wait()
		client.CloseIdleConnections()
	}
}

// await waits until n more numbers are confirmed.
func (l *ledger) await(t *testing.T, n int) {
	t.Helper()
	limit := time.After(20 * time.Second)
	l.mu.Lock()
	want := len(l.confirmed) + n
	for len(l.confirmed) < want {
		if l.grown == nil {
			l.grown = make(chan struct{})
		}
		grown := l.grown
		l.mu.Unlock()
		select {
		case <-grown:
		case <-limit:
			t.Fatal("nothing is confirmed any more")
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
}
