//go:build !partyplugin && !js

package party

import (
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/goparty/party/emulator/inspect"
)

const vanishedText = `1006 "WebSocket disconnected without sending Close frame." false`

func TestTheCloseHandshakeAlwaysCompletes(t *testing.T) {
	for name, row := range map[string]struct {
		onclose string
		code    int
		reason  string
		hook    string // what OnClose is told
		sees    int    // what the client sees
		saysWhy string
	}{
		"the hook does nothing":         {"", 1000, "x", `1000 "x" true ready=2`, 1000, "x"},
		"the hook closes with the same": {"close 4005 same", 4005, "same", `4005 "same" true ready=2`, 4005, "same"},
		"the hook's own code wins":      {"close 4010 mine", 1000, "x", `1000 "x" true ready=2`, 4010, "mine"},
		"the client gives no code":      {"", 0, "", `1005 "" true ready=2`, 1005, ""},
		"the hook fails":                {"fail boom", 4005, "x", `4005 "x" true ready=2`, 4005, "x"},
		"the hook panics":               {"panic boom", 4005, "x", `4005 "x" true ready=2`, 4005, "x"},
		"the hook ends its goroutine":   {"goexit", 4005, "x", `4005 "x" true ready=2`, 4005, "x"},
		"the hook closes, then fails":   {"both close 4010 mine; fail boom", 4005, "x", `4005 "x" true ready=2`, 4010, "mine"},
		"after its close the hook is closed": {
			"both close 4010 mine; ready", 4005, "x", `4005 "x" true ready=2`, 4010, "mine",
		},
		"the hook sends to the client that closed": {"both echo late; state", 4005, "x", `4005 "x" true ready=2`, 4005, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c, other := h.dial("lab/a", query("onclose", row.onclose)), h.dial("lab/a")
				c.close(row.code, row.reason)
				c.closed(row.sees, row.saysWhy)
				h.logged("lab/a", "OnClose "+c.id+" "+row.hook, 1)
				if strings.Contains(row.onclose, "ready") {
					h.logged("lab/a", "OnClose "+c.id+": 3", 1)
				}
				if got := other.ask("list"); got != "["+other.id+"]" {
					t.Errorf("connections %s", got)
				}
				if n := len(h.logs("lab/a", "OnClose "+c.id+" ")); n != 1 {
					t.Errorf("OnClose ran %d times", n)
				}
			})
		})
	}
}

func TestAConnectionThatGoesAwayIsClosedWith1006(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		// Sending to it does nothing, closing it neither, but for a wrong code.
		c := h.dial("lab/a", query("onclose", "both echo late; both close 1000 x; close 1006"))
		c.drop()
		h.logged("lab/a", "OnClose "+c.id+" "+vanishedText+" ready=2", 1)
		h.logged("lab/a", "OnClose "+c.id+": error []: invalid WebSocket close code: 1006; use 1000 or 3000 to 4999", 1)
		e := await(h, in[*inspect.ConnectionClosed]("lab/a"))
		if e.Code != 1006 || e.Clean || e.Connection != c.id {
			t.Errorf("%+v", e)
		}
		if n := len(events[*inspect.Exception](h, nil)); n > 0 {
			t.Errorf("%d hooks failed", n)
		}
	})
}

func TestTheRoomClosesAndOnCloseRunsWhenTheClientHasAnswered(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.send("close 4001 bye")
		c.closed(4001, "bye")
		h.logged("lab/a", "OnClose "+c.id+` 4001 "bye" true ready=3`, 1)
	})
}

func TestAClientThatNeverAnswersACloseIsClosingUntilItGoes(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, other := h.dial("lab/a", quiet), h.dial("lab/a")
		c.send("both log before; close-then-send")
		c.closed(4001, "bye")
		h.logged("lab/a", `sent: <nil>, <nil>, error [closed]: closed: can't send to connection "`+c.id+`" after Close, ready=2`, 1)
		if got := other.ask("list"); got != "["+other.id+"]" {
			t.Errorf("connections %s", got)
		}
		other.do("broadcast x") // not for one that closes
		other.want("x")
		h.advance(idleSpan) // asleep and awake again, it still closes
		h.asleepAt("lab/a", 1, idleSpan)
		if got := other.ask("list"); got != "["+other.id+"]" {
			t.Errorf("connections %s", got)
		}
		if lines := h.logs("lab/a", "OnClose"); lines != nil {
			t.Errorf("%q", lines)
		}
		c.drop()
		h.logged("lab/a", "OnClose "+c.id+" "+vanishedText+" ready=3", 1)
	})
}

func TestCloseTakesTheCodesThatThePlatformTakes(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for code, text := range map[string]string{
			"999": "invalid WebSocket close code: 999", "1004": "invalid", "1005": "invalid", "1006": "invalid", "1015": "invalid",
			"5000": "invalid", "-1": "invalid", "0 reason": "a close reason needs a close code",
			"1000 " + strings.Repeat("é", 62): "error [too large]: too large: a close reason of 124 bytes; at most 123",
		} {
			contains(t, c.ask("close "+code), text, "error [")
		}
		if got := c.ask("ready"); got != "1" {
			t.Errorf("after codes that were refused the connection is %s", got)
		}
		for code, sees := range map[string]int{"1000": 1000, "1001": 1001, "1011": 1011, "3000": 3000, "4999": 4999, "0": 1005} {
			c := h.dial("lab/a")
			c.send("close " + code)
			c.closed(sees, "")
		}
		c.send("close 1000 " + string(repeat(123)))
		c.closed(1000, string(repeat(123)))
	})
}

func TestAHookThatFailsLeavesRoomAndConnectionAlive(t *testing.T) {
	for verb, want := range map[string]struct{ err, stack string }{
		"fail boom":  {"boom", ""},
		"panic boom": {"panic: boom", "conformance_failing_app_test.go"},
		"throw boom": {"panic: boom", "conformance_failing_app_test.go"},
	} {
		t.Run(verb, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial("lab/a")
				life := c.ask("life")
				c.do(verb)
				h.logged("lab/a", "OnException "+want.err, 1)
				e := await(h, in[*inspect.Exception]("lab/a"))
				if e.Hook != "OnMessage" || e.Error != want.err {
					t.Errorf("%+v", e)
				}
				contains(t, e.Stack, want.stack)
				if again := c.ask("life"); again != life {
					t.Error("the instance was replaced")
				}
				if turn := awaitN(h, 3, func(e *inspect.Turn) bool { return e.Kind != "connect" })[1]; turn.Error != want.err {
					t.Errorf("%+v", turn)
				}
			})
		})
	}
}

func TestAHookThatEndsItsGoroutineEndsItsTurnOnly(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, other := h.dial("lab/a"), h.dial("lab/a")
		life := c.ask("life")
		c.send("goexit")
		c.send("echo next")
		other.send("echo other")
		c.want("next")
		other.want("other")
		if again := c.ask("life"); again != life {
			t.Error("the instance was replaced")
		}
		contains(t, await(h, in[*inspect.Exception]("lab/a")).Error, "OnMessage ended its goroutine (runtime.Goexit)")
		h.get("/parties/lab/a/?do=goexit").want(t, 500, "OnRequest ended its goroutine (runtime.Goexit)")
		if _, err := lookIn(h, "lab/a", query("connect", "goexit")); err != nil {
			t.Error(err)
		}
		if got := c.ask("list"); got != "["+c.id+" "+other.id+"]" {
			t.Errorf("connections %s", got)
		}
	})
}

// lookIn connects where OnConnect fails, and returns the error frame.
func lookIn(h *harness, room string, how ...func(*dialing)) (string, error) {
	h.t.Helper()
	c, _, err := h.connect(room, how...)
	if err != nil {
		return "", err
	}
	frame := c.recv()
	c.closed(1011, "Uncaught exception during session setup")
	return frame, nil
}

func TestAMessageOverThirtyTwoMegabytesIsRefused(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, other := h.dial("lab/a"), h.dial("lab/a")
		largest := append([]byte("nop "), repeat(32<<20-4)...)
		c.write(websocket.TextMessage, largest)
		if got := c.ask("seen"); got != "2" {
			t.Errorf("the room saw %s messages, want one of 32 MiB and this", got)
		}
		// The refusal may come before all is written.
		_ = c.ws.WriteMessage(websocket.TextMessage, append(largest, 'x'))
		c.closed(1009, "")
		h.logged("lab/a", "OnError "+c.id+" ready=3 statusCode = 1009: the message is too large: more than 33554432 bytes", 1)
		if got := other.ask("list"); got != "["+other.id+"]" {
			t.Errorf("connections %s", got)
		}
		if lines := h.logs("lab/a", "OnClose"); lines != nil {
			t.Errorf("%q", lines)
		}
	})
}

func TestAMalformedFrameIsAnErrorOfItsConnectionOnly(t *testing.T) {
	for name, frame := range map[string][]byte{
		"an unknown opcode":            {0x83, 0x80, 0, 0, 0, 0},
		"a frame without a mask":       {0x81, 0x01, 'x'},
		"reserved bits":                {0xf1, 0x80, 0, 0, 0, 0},
		"a fragmented control frame":   {0x09, 0x80, 0, 0, 0, 0},
		"a continuation of nothing":    {0x80, 0x80, 0, 0, 0, 0},
		"a close code that is none":    {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed}, // 1005
		"a close reason without UTF-8": {0x88, 0x83, 0, 0, 0, 0, 0x03, 0xe8, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c, other := h.dial("lab/a"), h.dial("lab/a")
				if _, err := c.ws.NetConn().Write(frame); err != nil {
					t.Fatal(err)
				}
				<-c.done
				var closed *websocket.CloseError
				if e, ok := c.err.(*websocket.CloseError); ok {
					closed = e
				}
				if closed == nil || closed.Code != 1002 {
					t.Errorf("the client saw %v, want 1002", c.err)
				}
				h.turns("lab/a", "error", 1)
				lines := h.logs("lab/a", "OnError "+c.id+" ready=3 statusCode = 1002: ")
				if len(lines) != 1 {
					t.Errorf("OnError: %q", lines)
				}
				if got := other.ask("list"); got != "["+other.id+"]" {
					t.Errorf("connections %s", got)
				}
				if lines := h.logs("lab/a", "OnClose"); lines != nil {
					t.Errorf("%q", lines)
				}
			})
		})
	}
}

func TestTextThatIsNotUTF8IsMended(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.write(websocket.TextMessage, []byte("echo a\xffb\xc3"))
		c.want("a\ufffdb\ufffd")
		c.write(websocket.BinaryMessage, []byte("a\xffb"))
		c.want("binary:a\xffb")
		c.do("say-raw") // what the room sends is mended too
		c.want("a\ufffdb", "to all \ufffd")
	})
}

func TestFragmentsMakeOneMessage(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for _, frame := range [][]byte{
			{0x01, 0x85, 0, 0, 0, 0, 'e', 'c', 'h', 'o', ' '},
			{0x89, 0x81, 0, 0, 0, 0, '!'}, // a ping in between
			{0x00, 0x82, 0, 0, 0, 0, 'o', 'n'},
			{0x80, 0x81, 0, 0, 0, 0, 'e'},
		} {
			if _, err := c.ws.NetConn().Write(frame); err != nil {
				t.Fatal(err)
			}
		}
		c.want("one")
		if got := <-c.pongs; got != "!" {
			t.Errorf("pong %q", got)
		}
	})
}

func TestMessagesOfEverySizeComeBackWhole(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 20, 3 << 20, 5 << 20} {
			c.write(websocket.BinaryMessage, repeat(n))
			if got := c.recv(); got != "binary:"+string(repeat(n)) {
				t.Fatalf("%d bytes came back as %d", n, len(got)-len("binary:"))
			}
		}
	})
}
