//go:build !partyplugin && !js

package party

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

// follow reads a feed until done is satisfied.
func follow(t *testing.T, feed inspect.Feed, done func(inspect.Event) bool) (all []inspect.Event, lost uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		events, n, err := feed.Next(ctx)
		if err != nil {
			t.Fatalf("%v, behind %d events", err, len(all))
		}
		lost += n
		for _, e := range events {
			all = append(all, e)
			if done(e) {
				return all, lost
			}
		}
	}
}

func TestFollowingThroughTheSocket(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, _ := h.control()
		client := h.dial("lab/a", id("ada"))
		client.ask("echo before")
		snap, feed, err := c.Follow(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
		if len(snap.Rooms) != 1 || snap.Rooms[0].Connections != 1 {
			t.Errorf("%+v", snap.Rooms)
		}
		client.send("echo " + strings.Repeat("long ", 20000))
		client.send("log over")
		all, lost := follow(t, feed, func(e inspect.Event) bool {
			l, ok := e.(*inspect.Log)
			return ok && l.Text == "over"
		})
		if lost != 0 {
			t.Errorf("%d lost", lost)
		}
		seq, found := snap.Seq, 0
		for _, e := range all {
			if inspect.Of(e).Seq != seq+1 {
				t.Errorf("seq %d behind %d", inspect.Of(e).Seq, seq)
			}
			seq++
			if m, ok := e.(*inspect.MessageIn); ok && m.Size > 100000 && m.Connection == "ada" && len(m.Data) == inspect.PayloadKept {
				found++
			}
		}
		if found != 1 {
			t.Errorf("the message is there %d times", found)
		}
		// What is past.
		for logs, want := range map[bool]string{false: "echo before", true: "over"} {
			past, err := c.Events(t.Context(), control.EventOptions{Past: 100, Logs: logs})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for {
				events, _, err := past.Next(t.Context())
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					if line, _ := inspect.Marshal(e); bytes.Contains(line, []byte(want)) {
						n++
					}
					if logs && !control.IsLog(e) {
						t.Errorf("%+v is no log line", e)
					}
				}
			}
			past.Close()
			if n == 0 {
				t.Errorf("nothing past has %q", want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for { // what is unread comes first
			if _, _, err := feed.Next(ctx); err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v", err)
				}
				break
			}
		}
	})
}

func TestASlowFollowerLosesEventsAndSlowsNobody(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, _ := h.control()
		snap, feed, err := c.Follow(t.Context(), 50)
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
		client := h.dial("lab/a", id("ada"))
		payload := strings.Repeat("x", inspect.PayloadKept)
		for i := range 3000 { // more than all buffers hold
			client.send("echo " + payload)
			if i%100 == 99 {
				for range 100 {
					client.recv()
				}
			}
		}
		client.send("log over")
		h.logged("lab/a", "over", 1)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var got, lost uint64
		want := h.seq() - snap.Seq
		for got+lost < want {
			events, n, err := feed.Next(ctx)
			if err != nil {
				t.Fatalf("%d events and %d lost, of %d: %v", got, lost, want, err)
			}
			got, lost = got+uint64(len(events)), lost+n
		}
		if lost == 0 {
			t.Error("none was lost")
		}
		h.log.mu.Lock()
		defer h.log.mu.Unlock()
		if h.log.lost != 0 {
			t.Errorf("another reader lost %d", h.log.lost)
		}
	})
}

// seq is the number of the last event.
func (h *harness) seq() uint64 {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	return inspect.Of(h.log.all[len(h.log.all)-1]).Seq
}

func TestAnEmulatorThatEndsEndsItsFeeds(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		dir := t.TempDir()
		t.Chdir(dir) // a short path
		ln, err := control.Listen("s")
		if err != nil {
			t.Fatal(err)
		}
		s, err := control.Serve(ln, whole{h.Emulator})
		if err != nil {
			t.Fatal(err)
		}
		c, err := control.Dial("s")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, feed, err := c.Follow(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, _, err := feed.Next(t.Context()); !errors.Is(err, control.ErrGone) {
			t.Errorf("%v", err)
		}
		feed.Close()
		if _, err := c.Snapshot(t.Context()); !errors.Is(err, control.ErrGone) {
			t.Errorf("%v", err)
		}
	})
}
