//go:build !partyplugin && !js

package party

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// appendText appends a client's text frame, masked with zeroes.
func appendText(b []byte, text string) []byte {
	b = append(b, 0x81, 0x80|127)
	b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
	b = append(b, 0, 0, 0, 0)
	return append(b, text...)
}

func TestAClientThatDoesNotReadIsClosedAndCostsOthersNothing(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		reader, late, never := h.dial("lab/a"), h.dial("lab/a", deaf), h.dial("lab/a", deaf)
		const rounds, each, size = 12, 4, 1 << 20
		for range rounds { // 48 MB, of which each client may leave 16 unread
			reader.send(fmt.Sprintf("flood %d %d", each, size))
			for range each {
				if got := reader.recv(); len(got) != len("binary:")+size {
					t.Fatalf("got %d bytes", len(got))
				}
			}
		}
		reader.settle()
		// Whole messages, then the close frame, for one that reads after all.
		late.listen()
		n := 0
		for {
			s, err := late.next()
			if err != nil {
				break
			}
			if n++; len(s) != len("binary:")+size {
				t.Fatalf("message %d has %d bytes", n, len(s))
			}
		}
		if n == 0 || n >= rounds*each {
			t.Errorf("%d messages arrived", n)
		}
		late.closed(1013, "too slow: the client did not read what was sent to it")
		h.logged("lab/a", "OnClose "+late.id+` 1013 "too slow: the client did not read what was sent to it" true ready=2`, 1)
		// One that never does is cut.
		h.logged("lab/a", "OnClose "+never.id+" "+vanishedText+" ready=2", 1)
		if got := reader.ask("list"); got != "["+reader.id+"]" {
			t.Errorf("connections %s", got)
		}
	}, slow)
}

func TestAClientThatPingsAndNeverReadsIsClosed(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a", deaf)
		var pings []byte
		for range 1000 {
			pings = append(pings, 0x89, 0x80|125, 0, 0, 0, 0)
			pings = append(pings, repeat(125)...)
		}
		conn := c.ws.NetConn()
		for range 400 { // 50 MB of answers
			_ = conn.SetWriteDeadline(time.Now().Add(patience))
			if _, err := conn.Write(pings); err != nil {
				t.Fatal(err)
			}
		}
		c.ws.SetPongHandler(func(string) error { return nil })
		c.listen()
		c.closed(1013, "too slow: the client did not read what was sent to it")
	})
}

func TestAClientThatFloodsAHungRoomIsNoLongerReadFrom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, other := h.dial("lab/a"), h.dial("lab/b")
		c.send("wait gate")
		c.want("waiting")
		const size = 64 << 10
		frame := appendText(nil, "nop "+string(repeat(size)))
		conn := c.ws.NetConn()
		sent, rest := 0, []byte(nil)
		for rest == nil {
			_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := conn.Write(frame)
			switch {
			case err == nil:
				sent++
			case errors.Is(err, os.ErrDeadlineExceeded):
				rest = frame[n:]
			default:
				t.Fatal(err)
			}
			if sent > 64<<20/size {
				t.Fatal("64 MB were read from a client whose room hangs")
			}
		}
		if taken := len(events(h, func(e *inspect.MessageIn) bool { return e.Connection == c.id })); taken*size > 6<<20 {
			t.Errorf("%d messages of 64 kB wait for their turns", taken)
		}
		if got := other.ask("echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
		h.open("gate")
		_ = conn.SetWriteDeadline(time.Now().Add(patience))
		if _, err := conn.Write(append(rest, appendText(nil, "seen")...)); err != nil {
			t.Fatal(err)
		}
		c.want(fmt.Sprint(sent + 3)) // wait, all of those, the one in two parts, and seen itself
	})
}

func TestEvictionSetsAFloodedRoomFree(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.send("wait gate")
		c.want("waiting")
		const n = 200
		written := make(chan error, 1)
		go func() {
			conn := c.ws.NetConn()
			for range n {
				if _, err := conn.Write(appendText(nil, "nop "+string(repeat(64<<10)))); err != nil {
					written <- err
					return
				}
			}
			_, err := conn.Write(appendText(nil, "seen"))
			written <- err
		}()
		awaitN(h, 60, func(e *inspect.MessageIn) bool { return e.Connection == c.id })
		if err := h.Evict(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		c.want(fmt.Sprint(n + 1)) // all of them, once, in the next instance
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}

func TestASendThatIsTooLargeIsAnError(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		got := c.ask("send-large " + fmt.Sprint(32<<20+1))
		if !strings.HasPrefix(got, "error [too large]: too large: a message of 33554433 bytes; at most 33554432 are allowed") {
			t.Errorf("got %q", got)
		}
		c.do("flood 1 33554433")
		await(h, func(e *inspect.Log) bool {
			return e.Level == "ERROR" && strings.HasPrefix(e.Text, "Broadcast: too large: a message of 33554433 bytes")
		})
		c.none()
	})
}

func TestARoomThatFloodsSlowsDownItselfOnly(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, other := h.dial("lab/a", deaf), h.dial("lab/b")
		c.send("flood 100 1000000")
		for i := range 20 {
			if got := other.ask(fmt.Sprintf("echo %d", i)); got != fmt.Sprint(i) {
				t.Errorf("got %q", got)
			}
		}
		h.turns("lab/a", "message", 1)
	})
}

func TestAnErrorOrALogLineOfManyMegabytesIsCutAndCostsNobody(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		const n = 42 << 20 // more than any message between the processes may have
		want := fmt.Sprintf("xxx... (%d bytes more)", n-64<<10)
		c.do(fmt.Sprintf("fail-large %d", n))
		if e := await(h, in[*inspect.Exception]("lab/a")); len(e.Error) > 70<<10 || !strings.HasSuffix(e.Error, want) {
			t.Errorf("an error of %d bytes", len(e.Error))
		}
		c.do(fmt.Sprintf("log-large %d", n))
		if e := await(h, func(e *inspect.Log) bool { return strings.HasPrefix(e.Text, "xxx") }); len(e.Text) > 70<<10 || !strings.HasSuffix(e.Text, want) {
			t.Errorf("a line of %d bytes", len(e.Text))
		}
		frame, err := lookIn(h, "lab/a", query("connect", fmt.Sprintf("fail-large %d", n)))
		if err != nil || len(frame) > 70<<10 {
			t.Errorf("a frame of %d bytes, %v", len(frame), err)
		}
		if resp := h.get(fmt.Sprintf("/parties/lab/a/?do=header-large+%d", n)); resp.status != 500 || len(resp.header["X-Large"]) > 0 {
			t.Errorf("status %d", resp.status)
		}
		contains(t, c.ask("props-large b"), "error [too large]: too large: props of 44040194 bytes")
		if got := c.ask("echo alive"); got != "alive" {
			t.Errorf("got %q", got)
		}
		if n := len(events[*inspect.Crash](h, nil)); n > 0 {
			t.Error("the process was ended for it")
		}
	})
}

func TestARoomWhoseConnectionsHaveMoreStateThanAMessageHoldsWakesUp(t *testing.T) {
	if testing.Short() {
		t.Skip("2,700 connections")
	}
	needsProcess(t, func(t *testing.T, h *harness) {
		const n = 2700 // with 16 kB of state each: 44 MB
		all := make([]*client, n)
		parallel(t, 8, func(w int) error {
			for i := w; i < n; i += 8 {
				c, _, err := h.connect("lab/a", query("connect", "set-large 16384"))
				if err != nil {
					return err
				}
				if s, err := c.next(); s != "ok" {
					return fmt.Errorf("%q, %v", s, err)
				}
				all[i] = c
			}
			return nil
		})
		awaitN(h, n, in[*inspect.ConnectionOpened]("lab/a"))
		h.turns("lab/a", "connect", n)
		h.advance(idleSpan)
		h.asleepAt("lab/a", 1, idleSpan)
		all[0].send("count-connections")
		all[0].want(fmt.Sprint(n))
		all[n-1].send("state")
		if got := all[n-1].recv(); len(got) < 16000 {
			t.Errorf("state of %d bytes", len(got))
		}
	})
}
