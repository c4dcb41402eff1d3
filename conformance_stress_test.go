//go:build !partyplugin && !js

package party

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

func TestARequestWhoseClientLeftBeforeItsTurnDoesNotHoldTheRoom(t *testing.T) {
	for _, verb := range []string{"write 1000000", "until-gone", "stream until-gone"} {
		t.Run(verb, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial("lab/a")
				c.send("wait gate")
				c.want("waiting")
				ctx, cancel := context.WithCancel(t.Context())
				left := make(chan struct{})
				go func() {
					defer close(left)
					_, _ = h.do(h.request(http.MethodGet, "/parties/lab/a/?do="+url.QueryEscape(verb), nil).WithContext(ctx))
				}()
				h.keptBy("lab/a", "2 turns running or waiting")
				cancel()
				<-left
				await(h, func(e *inspect.Request) bool { return e.Error == "the client went away" })
				h.open("gate")
				if got := c.ask("echo alive"); got != "alive" {
					t.Errorf("got %q", got)
				}
				h.eventuallyAsleep("lab/a", 0)
			})
		})
	}
}

func TestCloseInTheMiddleOfEverythingLeavesNothing(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					room := fmt.Sprintf("lab/r%d", (i+n)%7)
					switch i % 3 {
					case 0:
						if c, _, err := h.connect(room, query("connect", "echo hello")); err == nil {
							_ = c.ws.WriteMessage(1, []byte("background sleep 1h"))
						}
					case 1:
						_, _ = h.do(h.request(http.MethodGet, "/parties/"+room+"/?do=stream+until-gone", nil).WithContext(ctx))
					case 2:
						_, _ = h.do(h.request(http.MethodPost, "/parties/"+room+"/?do=body", strings.NewReader(string(repeat(100000)))).WithContext(ctx))
					}
				}
			})
		}
		awaitN[*inspect.Turn](h, 300, nil)
		closing, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := h.Close(closing); err != nil || closing.Err() != nil {
			t.Errorf("%v, %v", err, closing.Err())
		}
		stop()
		wg.Wait()
	})
}

func TestCloseWhileCodeIsStartedAgain(t *testing.T) {
	brokenCode(t, func(t *testing.T, h *harness, c *client, _ string) {
		await[*inspect.GenerationFailed](h, nil)
		c.send("echo never")
		c.barrier()
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
		c.closed(1006, "")
	})
	needsProcess(t, func(t *testing.T, h *harness) { // and just when it succeeds
		if err := h.Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestClientsThatDropTheirHandshakeAtAnyMomentLeaveNothing(t *testing.T) {
	for _, app := range []string{"lab", "routed"} {
		t.Run(app, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				last := h.dial("lab/a")
				parallel(t, 8, func(i int) error {
					r := rand.New(rand.NewPCG(1, uint64(i)))
					for n := range 25 {
						drop := h.dialHalf(fmt.Sprintf("/parties/lab/a?_pk=x%d-%d&connect=echo+hello", i, n))
						for range r.IntN(2000) {
							runtime.Gosched()
						}
						drop()
					}
					return nil
				})
				h.eventually(func() bool {
					got := last.ask("list")
					return got == "["+last.id+"]"
				})
			}, func(s *setup) { s.app = app })
		})
	}
}

func TestForcingRoomsInTheMiddleOfEverythingLosesNoConnectionAndNoTurnForEver(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		rooms := []string{"lab/a", "lab/b", "awake/c"}
		for i := range 12 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				for ctx.Err() == nil {
					room := rooms[r.IntN(len(rooms))]
					c, _, err := h.connect(room, query("connect", []string{"", "echo hi", "fail no", "set 1"}[r.IntN(4)]))
					if err != nil {
						continue
					}
					for range r.IntN(10) {
						_ = c.ws.WriteMessage(1, []byte([]string{"echo x", "broadcast y", "background sleep 1s", "after 1s echo z", "list", "ask b echo x", "fetch a echo x", "stub Lab c", "close 4000"}[r.IntN(9)]))
					}
					switch r.IntN(3) {
					case 0:
						_ = c.ws.Close()
					case 1:
						_ = c.ws.WriteControl(8, nil, time.Now().Add(time.Second))
						<-c.done
					}
				}
			})
		}
		r := rand.New(rand.NewPCG(2, 2))
		for i := range 300 {
			room := rooms[r.IntN(len(rooms))]
			if h.process && i%100 == 50 {
				if err := h.Crash(t.Context()); err != nil {
					t.Error(err)
				}
				awaitN[*inspect.GenerationStarted](h, i/100+2, nil)
			}
			switch r.IntN(4) {
			case 0:
				_ = h.Evict(t.Context(), room)
			case 1:
				_ = h.Hibernate(t.Context(), room, r.IntN(2) == 0)
			case 2:
				_ = h.Abort(t.Context(), room)
			case 3:
				h.advance(time.Duration(r.IntN(20)) * time.Second)
			}
			if _, err := h.do(h.request(http.MethodGet, "/parties/lab/pace/?do=echo+x", nil)); err != nil {
				t.Error(err)
			}
		}
		stop()
		ended := make(chan struct{})
		go func() { wg.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("a connection is neither served nor closed")
		}
		for _, room := range rooms {
			_ = h.Abort(t.Context(), room)
			c := h.dial(room)
			c.send("list")
			if got := c.recv(); got != "["+c.id+"]" {
				t.Errorf("%s: connections %s, want only %s", room, got, c.id)
			}
		}
	})
}

func TestRequestsThatBreakOffAtAnyMomentLeaveNothing(t *testing.T) {
	verbs := []string{
		"mirror", "body", "echo x", "write 300000", "stream mirror", "stream until-gone", "relay b mirror", "relay c stream mirror",
		"relay a body", "fetch c write 500000", "both flush x; panic y", "stream write 2000000", "stream fail x",
		"fetch-and-close b stream until-gone", "fetch-later b stream write 100000", "status 204", "goexit", "abort x",
	}
	rooms := []string{"lab/a", "lab/b", "lab/c"}
	for _, app := range []string{"lab", "routed"} {
		t.Run(app, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				parallel(t, 8, func(i int) error {
					r := rand.New(rand.NewPCG(3, uint64(i)))
					for range 25 {
						h.breakOff(r, rooms[r.IntN(len(rooms))], verbs[r.IntN(len(verbs))])
						if r.IntN(10) == 0 {
							_ = h.Evict(t.Context(), rooms[r.IntN(len(rooms))])
						}
					}
					return nil
				})
				for _, room := range rooms {
					_ = h.Hibernate(t.Context(), room, false) // so that each starts again, or has not slept
					n := len(events(h, in[*inspect.RoomHibernated](room)))
					if got := h.verb(room, "echo x"); got != "x" {
						t.Errorf("%s: %q", room, got)
					}
					h.eventually(func() bool {
						h.advance(idleSpan)
						h.verb("awake/other", "echo x")
						return len(events(h, in[*inspect.RoomHibernated](room))) > n
					}, func() string { return fmt.Sprintf("%s: %v", room, h.Hibernate(t.Context(), room, false)) })
				}
			}, func(s *setup) { s.app = app })
		})
	}
}

// breakOff sends a request with some body, reads some of its answer, or does
// not, all for a random time.
func (h *harness) breakOff(r *rand.Rand, room, verb string) {
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Duration(r.IntN(100))*time.Millisecond)
	defer cancel()
	var body io.Reader
	switch r.IntN(4) {
	case 0:
		body = bytes.NewReader(repeat(r.IntN(1 << 20)))
	case 1:
		from, to := io.Pipe()
		parts := r.IntN(5)
		go func() {
			for range parts {
				_, _ = to.Write(repeat(100000))
			}
			<-ctx.Done()
			_ = to.Close()
		}()
		body = from
	case 2:
		body = bytes.NewReader(repeat(10))
	}
	resp, err := h.client.Do(h.request(http.MethodPost, "/parties/"+room+"/?do="+url.QueryEscape(verb), body).WithContext(ctx))
	if err != nil {
		return
	}
	switch r.IntN(3) {
	case 0:
		_, _ = io.Copy(io.Discard, resp.Body)
	case 1:
		_, _ = io.CopyN(io.Discard, resp.Body, 1000)
	}
	_ = resp.Body.Close()
}
