//go:build !partyplugin && !js

package party

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/goparty/party/emulator/inspect"
)

func TestMessagesOfOneConnectionHaveTheirTurnsInTheOrderSent(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		const n = 2000
		for i := range n {
			c.send("echo " + strconv.Itoa(i))
		}
		for i := range n {
			c.want(strconv.Itoa(i))
		}
	})
}

func TestAClientSeesARoomsSendsAndBroadcastsInTheirOrder(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, other := h.dial("lab/a"), h.dial("lab/a")
		c.send("count 500")
		for i := range 500 {
			other.send(fmt.Sprintf("broadcast %d", i))
		}
		var sends, broadcasts int
		for range 1000 {
			s := c.recv()
			n, _ := strconv.Atoi(s)
			switch n {
			case sends: // the two series start together: one of them is at n
				sends++
			case broadcasts:
				broadcasts++
			default:
				t.Fatalf("got %s, want %d or %d", s, sends, broadcasts)
			}
		}
		for i := range 500 {
			other.want(strconv.Itoa(i))
		}
	})
}

func TestTwoHundredConnectionsAtOnceEachKeepTheirOrder(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		parallel(t, 200, func(i int) error {
			c, _, err := h.connect("lab/crowd", query("connect", "echo hello"))
			if err != nil {
				return err
			}
			for n := range 20 {
				c.send(fmt.Sprintf("echo %d", n))
			}
			if s, err := c.next(); err != nil || s != "hello" {
				return fmt.Errorf("got %q, %v", s, err)
			}
			for n := range 20 {
				if s, err := c.next(); err != nil || s != strconv.Itoa(n) {
					return fmt.Errorf("got %q, %v, want %d", s, err, n)
				}
			}
			return nil
		})
		if n := h.starts("lab/crowd"); n != 1 {
			t.Errorf("the room started %d times", n)
		}
	})
}

func TestOnStartEndsBeforeAnyOfAHundredFirstEvents(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("awake/opener", "plan first 1 wait start")
		done := make(chan struct{})
		go func() {
			defer close(done)
			parallel(t, 100, func(i int) error {
				if i%2 == 0 {
					resp, err := h.do(h.request("GET", "/parties/lab/first/?do=started+first", nil))
					if err != nil || resp.body != "1" {
						return fmt.Errorf("answer %v, %v", resp, err)
					}
					return nil
				}
				c, _, err := h.connect("lab/first", query("connect", "started first"))
				if err != nil {
					return err
				}
				if s, err := c.next(); s != "1" {
					return fmt.Errorf("got %q, %v", s, err)
				}
				return nil
			})
		}()
		h.logged("lab/first", "OnStart waiting", 1)
		if n := len(events(h, in[*inspect.Turn]("lab/first"))); n != 0 {
			t.Errorf("%d turns have ended while OnStart runs", n)
		}
		h.open("start")
		<-done
		if n := h.starts("lab/first"); n != 1 {
			t.Errorf("the room started %d times", n)
		}
	})
}

func TestAHookThatHangsHoldsUpItsOwnRoomAndNoOther(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, behind, other := h.dial("lab/slow"), h.dial("lab/slow"), h.dial("lab/other")
		c.send("wait gate")
		c.want("waiting")
		behind.send("echo after")
		for i := range 50 {
			if got := other.ask(fmt.Sprintf("echo %d", i)); got != strconv.Itoa(i) {
				t.Fatalf("got %q", got)
			}
		}
		behind.none()
		h.open("gate")
		behind.want("after")
	})
}

func TestTurnsOfOneRoomNeverOverlap(t *testing.T) {
	// seen is a plain field: with -race an overlap in this process is a report,
	// and in either a lost count.
	conform(t, func(t *testing.T, h *harness) {
		parallel(t, 20, func(i int) error {
			c, _, err := h.connect("lab/one")
			if err != nil {
				return err
			}
			for range 50 {
				c.send("seen")
				if _, err := c.next(); err != nil {
					return err
				}
			}
			return nil
		})
		if got := h.verb("lab/one", "seen"); got != "1000" {
			t.Errorf("the room counted %s messages", got)
		}
	})
}
