//go:build !partyplugin && !js

package party

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/inspect"
)

// args quotes arguments of a call.
func args(all ...any) string {
	b, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestServerByNameReturnsOnceOnStartHasRun(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		h.verb("awake/opener", "plan b 1 wait gate")
		c.send("both stub Lab b; started b")
		h.logged("lab/b", "OnStart waiting", 1)
		c.none()
		h.open("gate")
		c.want("ok", "1")
		c.settle()
		if got := c.ask("stub Lab b"); got != "ok" {
			t.Errorf("a second time: %s", got)
		}
		if n := h.starts("lab/b"); n != 1 {
			t.Errorf("%d starts", n)
		}
	})
}

func TestServerByNameFailsWhereTheRoomDoes(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		h.verb("awake/opener", "plan b 1 fail boom")
		if got := c.ask("stub Lab b"); got != "error []: lab/b: boom" {
			t.Errorf("got %q", got)
		}
		if got := c.ask("stub Lab b"); got != "ok" {
			t.Errorf("the next time: %q", got)
		}
		for verb, want := range map[string]string{
			"stub Nosuch b":                         `error []: no class is bound to "Nosuch"; there are ["Awake" "Bare" "Lab"]`,
			"stub lab b":                            `error []: no class is bound to "lab"`, // the binding, not the party
			"stub Lab ":                             "error []: ServerByName needs the room's name: it is empty",
			"stub Lab " + string(repeat(128<<10+1)): "error [too large]: too large: a room's name of 131073 bytes",
		} {
			if got := c.ask(verb); !strings.HasPrefix(got, want) {
				t.Errorf("%.20s: %q, want %q", verb, got, want)
			}
		}
	})
}

func TestServerByNameDoesNotWaitForARoomThatRuns(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		busy, c := h.dial("lab/busy"), h.dial("lab/a")
		busy.send("wait gate")
		busy.want("waiting")
		if got := c.ask("stub Lab busy"); got != "ok" {
			t.Errorf("got %q", got)
		}
		// Not even where that one waits for us: nobody waits.
		busy2 := h.dial("lab/busy2")
		busy2.send("ask a stub Lab busy2")
		busy2.want("ok")
		if got := c.ask("stub Lab a"); got != "ok" {
			t.Errorf("of itself: %q", got)
		}
	})
}

func TestServerByNameWithinARingOfOnStartsIsACycle(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("awake/opener", "plan a 1 stub Lab b")
		h.verb("awake/opener", "plan b 1 stub Lab a")
		h.verb("lab/a", "echo x")
		h.logged("lab/a", "OnStart ok", 1)
		lines := h.logs("lab/b", "OnStart error [cycle]: lab/a: ")
		if len(lines) != 1 {
			t.Errorf("%q", lines)
		}
	})
}

func TestCallRunsAMethodOfAnotherRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for verb, want := range map[string]string{
			"call b Add [2,3]":                                 "5",
			"call b Refuse " + args("no"):                      "error []: call of Refuse in lab/b: no",
			"call b Run " + args("room"):                       `"Lab b `,
			"call b Run " + args("fail boom"):                  "error []: call of Run in lab/b: boom",
			"call b Run " + args("panic boom"):                 "error []: call of Run in lab/b: panic: boom",
			"call b Run " + args("goexit"):                     "error []: call of Run in lab/b: Call of Run ended its goroutine",
			"call b Nosuch":                                    "error []: call of Nosuch in lab/b: class Lab has no method Nosuch to call: add it to the type, exported, as Nosuch(ctx context.Context, ...) (R, error)",
			"call b run " + args("echo x"):                     "error []: call of run in lab/b: class Lab has no method run to call",
			"call b OnStart":                                   "error []: call of OnStart in lab/b: Lab.OnStart is a reserved method and cannot be called from other rooms",
			"call b OnRequest":                                 "error []: call of OnRequest in lab/b: Lab.OnRequest is a reserved method",
			"call b Broadcast":                                 "error []: call of Broadcast in lab/b: Lab.Broadcast is a reserved method",
			"call b Abort " + args("x"):                        "error []: call of Abort in lab/b: Lab.Abort is a reserved method",
			"call b Odd [1]":                                   "error []: call of Odd in lab/b: Lab.Odd cannot be called from other rooms:\n\thave Odd(int) int\n\twant Odd(ctx context.Context, ...) (R, error) or Odd(ctx context.Context, ...) error",
			"call b Add [1]":                                   "error []: call of Add in lab/b: Lab.Add takes 2 arguments behind ctx, and Call gave 1:\n\thave Add(context.Context, int, int) (int, error)",
			"call b Add " + args("x", 1):                       "error []: call of Add in lab/b: Lab.Add: argument 1: json: cannot unmarshal string",
			"call " + string(repeat(128<<10+1)) + " Add [1,2]": "error [too large]: ",
		} {
			if got := c.ask(verb); !strings.HasPrefix(got, want) {
				t.Errorf("%.60s:\n got %.300q\nwant %q", verb, got, want)
			}
		}
		h.logged("lab/b", "OnException panic: boom", 1)
		h.logged("lab/b", "OnException boom", 1)
		if got := c.ask("ask b echo alive"); got != "alive" {
			t.Errorf("got %q", got)
		}
	})
}

func TestACallWaitsForItsTurnInTheOtherRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		busy, c := h.dial("lab/b"), h.dial("lab/a")
		busy.send("wait gate")
		busy.want("waiting")
		c.send("ask b echo after")
		h.keptBy("lab/b", "2 turns running or waiting")
		c.none()
		h.open("gate")
		c.want("after")
	})
}

func TestACallFromBackgroundWorkHoldsNoRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("background ask b then gate ask a echo round trip") // b calls back: a's turn is free
		h.keptBy("lab/b", "1 turn running or waiting")
		h.open("gate")
		c.want("waiting,round trip")
	})
}

func TestARingOfCallsFailsAtOnceNamingItsRooms(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for verb, want := range map[string]string{
			"ask a echo x":                   "lab/a waits for lab/a, so",
			"ask b ask a echo x":             "lab/b waits for lab/a waits for lab/b, so",
			"ask b ask c ask a echo x":       "lab/c waits for lab/a waits for lab/b waits for lab/c, so",
			"fetch b ask a echo x":           "lab/b waits for lab/a waits for lab/b, so",
			"ask b fetch a echo x":           "lab/b waits for lab/a waits for lab/b, so",
			"ask b both ask c echo x; ask c": "",
		} {
			got := c.ask(verb)
			if want == "" {
				continue
			}
			contains(t, got, "error [cycle]:", "call cycle: "+want)
		}
		if got := c.ask("ask b ask c echo no ring"); got != "no ring" {
			t.Errorf("got %q", got)
		}
	})
}

func TestOnlyATurnThatWaitsIsPartOfARing(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		// The turn ends while b's answer, or the call, still goes on.
		c.do("fetch-later b stream both wait gate; echo over")
		c.want("200")
		c.do("ask-later b wait gate2")
		h.keptBy("lab/b", "1 Stream")
		if got := h.verb("lab/c", "ask d ask a echo free"); got != "free" {
			t.Errorf("got %q", got)
		}
		h.open("gate")
		h.open("gate2")
		texts := []string{c.recv(), c.recv()}
		slices.Sort(texts)
		if strings.Join(texts, ",") != "waiting,waiting\nover\n" {
			t.Errorf("got %q", texts)
		}
	})
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.do("fetch-later b stream then gate ask a echo back")
		c.want("200")
		h.open("gate")
		c.want("waiting\nback\n") // b waits for a, and a no longer for b
	})
}

func TestOfTwoRoomsThatCallEachOtherAtOnceOneIsTold(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		a, b := h.dial("lab/a"), h.dial("lab/b")
		for i := range 20 {
			a.send(fmt.Sprintf("meet m%d ask b echo from a", i))
			b.send(fmt.Sprintf("meet m%d ask a echo from b", i))
			answers := a.recv() + "\n" + b.recv()
			if !strings.Contains(answers, "error [cycle]") {
				t.Fatalf("no cycle was found: %s", answers)
			}
			if n := strings.Count(answers, "error"); n > 1 && n != strings.Count(answers, "[cycle]") {
				t.Fatalf("another error: %s", answers)
			}
		}
	})
}

func TestACallToARoomThatIsEvictedMeanwhileIsRetryable(t *testing.T) {
	for name, force := range map[string]func(h *harness, room string) error{
		"evicted": func(h *harness, room string) error { return h.Evict(t.Context(), room) },
		"aborted": func(h *harness, room string) error { return h.Abort(t.Context(), room) },
	} {
		for _, verb := range []string{"ask b both log begun; wait gate", "fetch b both log begun; wait gate"} {
			t.Run(name+" "+strings.Fields(verb)[0], func(t *testing.T) {
				conform(t, func(t *testing.T, h *harness) {
					c := h.dial("lab/a")
					c.send(verb)
					h.logged("lab/b", "begun", 1)
					if err := force(h, "lab/b"); err != nil {
						t.Fatal(err)
					}
					got := c.recv()
					if !strings.HasPrefix(got, "error [retryable]: ") || !strings.Contains(got, "lab/b was "+name) {
						t.Errorf("got %q", got)
					}
				})
			})
		}
	}
}

func TestACallThatHadNotBegunRunsOnceInTheNextInstance(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		busy, c := h.dial("lab/b"), h.dial("lab/a")
		busy.send("wait gate")
		busy.want("waiting")
		c.send("ask b both log called; echo result")
		h.keptBy("lab/b", "2 turns running or waiting")
		if err := h.Evict(t.Context(), "lab/b"); err != nil {
			t.Fatal(err)
		}
		c.want("result")
		c.settle()
		if n := len(h.logs("lab/b", "called")); n != 1 {
			t.Errorf("it ran %d times", n)
		}
	})
}

func TestACallOfARoomThatLeftMemoryIsWithdrawn(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		busy, c := h.dial("lab/b"), h.dial("lab/a")
		busy.send("wait gate")
		busy.want("waiting")
		c.send("ask b log called")
		h.keptBy("lab/b", "2 turns running or waiting")
		if err := h.Evict(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		if got := c.ask("echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
		// The withdrawal comes on its own way; what comes behind it is later.
		h.eventually(func() bool {
			err := h.Hibernate(t.Context(), "lab/b", false)
			return err != nil && strings.Contains(err.Error(), "1 turn ")
		})
		h.open("gate")
		if got := busy.ask("echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
		if lines := h.logs("lab/b", "called"); lines != nil {
			t.Error("the call ran nonetheless")
		}
	})
}

func TestACallEndsWithItsContext(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		busy, c := h.dial("lab/b"), h.dial("lab/a")
		busy.send("wait gate")
		busy.want("waiting")
		c.send("impatiently ask b echo x")
		c.want("error [cancelled]: call of Run in lab/b: context canceled")
		h.open("gate")
		c.settle()
		if got := c.ask("ask b echo later"); got != "later" { // a is in nobody's ring any more
			t.Errorf("got %q", got)
		}
	})
}

func TestFetchSendsARequestToAnotherRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for verb, want := range map[string]string{
			"fetch b request":                   "200 GET /?do=request host=room length=0",
			"fetch b status 418":                "418 ",
			"fetch b panic boom":                "500 Internal Server Error",
			"fetch b abort now":                 "error [retryable]: fetch from lab/b: lab/b was aborted: now while it handled this",
			"fetch b both flush x; abort now":   "error [retryable]: lab/b was aborted: now while it handled this",
			"fetch b both flush x; panic boom":  "error []: panic: boom",
			"fetch b stream echo streamed":      "200 streamed",
			"fetch b both header X-A 1; echo y": "200 y",
		} {
			if got := c.ask(verb); got != want {
				t.Errorf("%s: %q, want %q", verb, got, want)
			}
		}
		contains(t, c.ask("fetch-upgrade b"), "Fetch cannot open a WebSocket to a room")
	})
}

func TestFetchStreamsBothWays(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for _, n := range []int{0, 1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 1 << 20, 5 << 20} {
			body := repeat(n)
			for _, verb := range []string{"relay b mirror", "relay b stream mirror"} {
				resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do="+url.QueryEscape(verb), bytes.NewReader(body)))
				if err != nil || resp.body != string(body) {
					t.Fatalf("%s: %d bytes came back as %d: %.100q, %v", verb, n, len(resp.body), resp.body, err)
				}
			}
			resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=relay+b+body", bytes.NewReader(body)))
			if err != nil {
				t.Fatal(err)
			}
			resp.want(t, 200, sum(body))
		}
	})
}

func TestAFetchWhoseAnswerIsNotReadEndsTheOthersStream(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		if got := c.ask("fetch-and-close b stream until-gone"); got != "200 waiting" {
			t.Errorf("got %q", got)
		}
		h.verb("awake/opener", "wait cancelled b")
	})
}

func TestPropsOfAStubReachTheRoomAndStay(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		if got := c.ask("ask b props"); got != "none" {
			t.Errorf("before: %s", got)
		}
		for _, p := range []string{"first", "second"} {
			if got := c.ask("stub-props b " + p); got != "ok" {
				t.Errorf("got %s", got)
			}
			if got := c.ask("ask b props"); got != "map[from:"+p+"]" {
				t.Errorf("props %s", got)
			}
		}
		if got := c.ask("stub Lab b"); got != "ok" { // none leaves the last
			t.Errorf("got %s", got)
		}
		h.dial("lab/b") // keeps it from being forgotten
		h.turns("lab/b", "connect", 1)
		h.advance(idleSpan)
		await(h, in[*inspect.RoomHibernated]("lab/b"))
		if got := c.ask("ask b props"); got != "map[from:second]" {
			t.Errorf("props %s", got)
		}
	})
}
