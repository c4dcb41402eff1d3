//go:build !partyplugin && !js

package party

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/inspect"
)

// inDevelopment sends stacks to clients, as party dev does.
func inDevelopment(s *setup) { s.config.Debug = true }

// frameError decodes the frame of a session that could not be set up.
func frameError(t *testing.T, frame string) string {
	t.Helper()
	var v map[string]string
	if err := json.Unmarshal([]byte(frame), &v); err != nil || len(v) != 1 {
		t.Errorf("error frame %q", frame)
	}
	return v["error"]
}

func TestAConnectionThatIsNotLetInGetsTheErrorThen1011(t *testing.T) {
	for name, row := range map[string]struct {
		query []string
		parts []string // of the error, in development
	}{
		"OnConnect fails":               {[]string{"connect", "fail boom"}, []string{"boom"}},
		"OnConnect panics":              {[]string{"connect", "panic boom"}, []string{"panic: boom", "conformance_failing_app_test.go"}},
		"OnConnect ends its goroutine":  {[]string{"connect", "goexit"}, []string{"OnConnect ended its goroutine"}},
		"OnConnect has sent before":     {[]string{"connect", "both echo lost; fail boom"}, []string{"boom"}},
		"ConnectionTags fails":          {[]string{"intags", "fail boom"}, []string{"boom"}},
		"ConnectionTags panics":         {[]string{"intags", "panic boom"}, []string{"panic: boom", "conformance_failing_app_test.go"}},
		"ConnectionTags ends goroutine": {[]string{"intags", "goexit"}, []string{"ConnectionTags ended its goroutine"}},
		"an eleventh tag": {
			strings.Split(strings.TrimSuffix(strings.Repeat("tag tag ", 10), " "), " "),
			[]string{"A connection can only have 10 tags, including the default id tag."},
		},
		"an empty tag":          {[]string{"tag", ""}, []string{"A connection tag must not be an empty string."}},
		"a tag of 300 bytes":    {[]string{"tag", strings.Repeat("é", 150)}, []string{"must not exceed 256 characters"}},
		"an id of 300 bytes":    {[]string{"_pk", string(repeat(300))}, []string{"must not exceed 256 characters"}},
		"an attachment too big": {[]string{"x", string(repeat(17000))}, []string{"cannot be larger than 16384 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, dev := range []bool{true, false} {
				conform(t, func(t *testing.T, h *harness) {
					other := h.dial("lab/a")
					var how []func(*dialing)
					for i := 0; i < len(row.query); i += 2 {
						value := row.query[i+1]
						if row.query[i] == "tag" && value == "tag" {
							value = fmt.Sprint("tag", i)
						}
						if row.query[i] == "_pk" {
							how = append(how, id(value))
							continue
						}
						how = append(how, query(row.query[i], value))
					}
					frame, err := lookIn(h, "lab/a", how...)
					if err != nil {
						t.Fatal(err)
					}
					// Only a panic is kept from clients, elsewhere than in development.
					text := frameError(t, frame)
					if panics := strings.HasPrefix(row.parts[0], "panic"); !panics || dev {
						contains(t, text, row.parts...)
					} else if text != "Internal Server Error" {
						t.Errorf("the client is told %q", text)
					}
					refused := await(h, in[*inspect.ConnectionRefused]("lab/a"))
					contains(t, refused.Reason, row.parts[0])
					if got := other.ask("list"); got != "["+other.id+"]" {
						t.Errorf("connections %s", got)
					}
					if lines := h.logs("lab/a", "OnClose"); lines != nil {
						t.Errorf("%q", lines)
					}
					if len(events[*inspect.ConnectionOpened](h, nil)) != 1 {
						t.Error("it was opened")
					}
				}, func(s *setup) { s.config.Debug = dev })
			}
		})
	}
}

func TestOnStartThatFailsFailsTheEventAndTheNextOneTriesAgain(t *testing.T) {
	for verb, text := range map[string]string{
		"fail boom": "boom", "panic boom": "panic: boom", "goexit": "OnStart ended its goroutine",
	} {
		t.Run(verb, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				h.verb("awake/opener", "plan a 2 "+verb)
				resp := h.get("/parties/lab/a/?do=started+a")
				if resp.status != 500 {
					t.Errorf("status %d", resp.status)
				}
				contains(t, resp.body, text)
				frame, err := lookIn(h, "lab/a")
				if err != nil {
					t.Fatal(err)
				}
				contains(t, frameError(t, frame), text)
				failed := func(e *inspect.Exception) bool { return e.Hook == "OnStart" }
				awaitN(h, 2, failed)
				h.get("/parties/lab/a/?do=started+a").want(t, 200, "3")
				h.turns("lab/a", "request", 1)
				if n := h.starts("lab/a"); n != 1 {
					t.Errorf("%d starts were told", n)
				}
				if n := len(events(h, failed)); n != 2 {
					t.Errorf("OnStart failed %d times", n)
				}
			}, inDevelopment)
		})
	}
}

func TestOnStartThatFailsWhenAMessageWakesTheRoomLosesThatMessageOnly(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		h.turns("lab/a", "connect", 1)
		h.advance(idleSpan)
		h.asleepAt("lab/a", 1, idleSpan)
		h.verb("awake/opener", "plan a 1 fail boom")
		c.send("echo lost")
		await(h, func(e *inspect.Exception) bool { return e.Hook == "OnStart" })
		c.send("echo served")
		c.want("served")
	})
}

func TestConnectionsThatWentWhileOnStartFailedAreNotListed(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		gone, stays := h.dial("lab/a"), h.dial("lab/a")
		h.turns("lab/a", "connect", 2)
		h.advance(idleSpan)
		h.asleepAt("lab/a", 1, idleSpan)
		h.verb("awake/opener", "plan a 1 fail boom")
		gone.close(4000, "bye") // wakes the room, in vain
		gone.closed(4000, "bye")
		await(h, func(e *inspect.ConnectionClosed) bool { return e.Connection == gone.id })
		come := h.dial("lab/a")
		if got := stays.ask("list"); got != "["+stays.id+" "+come.id+"]" {
			t.Errorf("connections %s, want %s and %s", got, stays.id, come.id)
		}
		if got := stays.ask("started a"); got != "3" {
			t.Errorf("OnStart ran %s times", got)
		}
	})
}

func TestTheClientSeesTheConnectionOpenOnlyAfterOnConnect(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		other := h.dial("lab/a")
		dialed := make(chan *client)
		go func() {
			c, _, err := h.connect("lab/a", id("slow"), query("connect", "both log in; then gate echo second"))
			if err != nil {
				t.Error(err)
			}
			dialed <- c
		}()
		h.logged("lab/a", "in", 1)
		other.send("broadcast third") // waits for its turn behind OnConnect
		other.barrier()
		select {
		case <-dialed:
			t.Fatal("open before OnConnect has ended")
		default:
		}
		h.open("gate")
		c := <-dialed
		c.want("waiting", "second", "third")
	})
}

func TestWhatIsBroadcastInOnConnectReachesTheNewConnectionToo(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		first := h.dial("lab/a")
		c := h.dial("lab/a", query("connect", "both list; both broadcast everyone; others not me"))
		c.want("["+first.id+" "+c.id+"]", "everyone")
		first.want("everyone", "not me")
		c.none()
	})
}

func TestAConnectionIsNotAcceptedBeforeItHasItsTags(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a", query("intags", "both ready; both list; send-early"))
		h.logged("lab/a", "ConnectionTags 0", 1)
		h.logged("lab/a", "ConnectionTags []", 1)
		lines := h.logs("lab/a", "early")
		if len(lines) != 1 || !strings.Contains(lines[0], "[closed]") || !strings.Contains(lines[0], "not accepted yet") {
			t.Errorf("%q", lines)
		}
		c.none()
		if got := c.ask("ready"); got != "1" {
			t.Errorf("ready %s", got)
		}
	})
}

func TestTagsAreTheIDThenWhatConnectionTagsReturns(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		tags := func(all ...string) (how []func(*dialing)) {
			for _, t := range all {
				how = append(how, query("tag", t))
			}
			return how
		}
		plain := h.dial("lab/a")
		red := h.dial("lab/a", tags("red", "x", "red", "x")...)
		both := h.dial("lab/a", tags("red", "blue")...)
		full := h.dial("lab/a", tags("1", "2", "3", "4", "5", "6", "7", "8", strings.Repeat("é", 128))...)
		contains(t, plain.ask("me"), "tags=["+plain.id+"]")
		contains(t, red.ask("me"), "tags=["+red.id+" red x]")
		contains(t, full.ask("me"), " 8 éé")
		for verb, want := range map[string][]*client{
			"list":                     {plain, red, both, full},
			"list red":                 {red, both},
			"list red blue":            {both},
			"list blue red " + both.id: {both},
			"list nobody":              nil,
			"list " + plain.id:         {plain},
		} {
			var ids []string
			for _, c := range want {
				ids = append(ids, c.id)
			}
			if got := plain.ask(verb); got != fmt.Sprint(ids) {
				t.Errorf("%s: %s, want %s", verb, got, ids)
			}
		}
	})
}

func TestAConnectionHasItsIDAndURI(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/some%20room", id("é/1"), query("a", "b c"))
		if got, want := c.ask("me"), "id=é/1 uri=http://"+h.addr+"/parties/lab/some%20room?_pk=%C3%A9%2F1&a=b+c server=some%20room tags=[é/1]"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		fresh := h.dial("lab/fresh", id(""))
		fresh.send("me")
		if got := fresh.recv(); !regexp.MustCompile(`^id=[A-Za-z0-9_-]{21} `).MatchString(got) {
			t.Errorf("without _pk: %s", got)
		}
	})
}

func TestTwoConnectionsWithOneIDAreBothListedAndTheNewestIsFound(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		watcher := h.dial("lab/a")
		old := h.dial("lab/a", id("twin"), query("which", "old"))
		young := h.dial("lab/a", id("twin"), query("which", "new"))
		if got := watcher.ask("list"); got != "["+watcher.id+" twin twin]" {
			t.Errorf("connections %s", got)
		}
		contains(t, watcher.ask("find twin"), "which=new")
		young.send("others to the rest")
		watcher.want("to the rest")
		old.none()
		young.none()
		old.send("echo mine") // each gets its own answers
		old.want("mine")
		old.send(`set "old"`)
		old.want("ok")
		young.send("state")
		young.want("untouched")
		young.close(1000, "")
		young.closed(1000, "")
		h.turns("lab/a", "close", 1)
		contains(t, watcher.ask("find twin"), "which=old")
		if got := watcher.ask("find nobody"); got != "nobody" {
			t.Errorf("found %s", got)
		}
	})
}

func TestStateIsLeftAloneWhereNoneWasSet(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for _, step := range []struct{ verb, want string }{
			{"state", "untouched"}, {`set {"a":[1,"é"]}`, "ok"}, {"state", `{"a":[1,"é"]}`}, {"set null", "ok"}, {"state", "null"},
		} {
			if got := c.ask(step.verb); got != step.want {
				t.Errorf("%s: %s, want %s", step.verb, got, step.want)
			}
		}
		contains(t, c.ask("set {"), "error")
		if got := c.ask("state"); got != "null" {
			t.Errorf("after a failure: %s", got)
		}
	})
}

func TestStateHasAtMost16384BytesWithIDTagsAndURI(t *testing.T) {
	for _, room := range []string{"lab/a", "awake/a"} {
		t.Run(room, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial(room, query("tag", "red"))
				if got := c.ask("set-large 16384"); got != "ok" {
					t.Errorf("16384 bytes: %s", got)
				}
				contains(t, c.ask("set-large 16385"), "error [too large]: too large:", "cannot be larger than 16384 bytes, and this is 16385")
				if err := h.Hibernate(t.Context(), room, true); err != nil {
					t.Fatal(err)
				}
				if got := c.ask("state"); len(got) < 16000 {
					t.Errorf("state has %d bytes", len(got))
				}
			})
		})
	}
}

func TestStateSetInOnConnectIsThereAfterwards(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a", query("connect", `set "early"`))
		c.want("ok")
		h.turns("lab/a", "connect", 1)
		h.advance(idleSpan)
		h.asleepAt("lab/a", 1, idleSpan)
		if got := c.ask("state"); got != `"early"` {
			t.Errorf("state %s", got)
		}
	})
}

func TestTheClassPicksASubprotocolThatTheClientOffers(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for _, row := range []struct{ offers, agreed string }{{"v1, v2, v3", "v2"}, {"v1", "v1"}, {"v3", ""}} {
			c := h.dial("lab/a", header("Sec-WebSocket-Protocol", row.offers))
			if got := c.ws.Subprotocol(); got != row.agreed {
				t.Errorf("offered %s: %q, want %q", row.offers, got, row.agreed)
			}
		}
	})
}

func TestARequestThatOnlyLooksLikeAHandshakeIsRefusedBeforeAnyHookRuns(t *testing.T) {
	for name, row := range map[string]struct {
		method string
		header []string
		status int
		text   string
	}{
		"a POST":            {"POST", []string{"Connection", "Upgrade", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "x"}, 405, "GET"},
		"not an upgrade":    {"GET", []string{"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "x"}, 400, "Connection: Upgrade"},
		"another version":   {"GET", []string{"Connection", "Upgrade", "Sec-WebSocket-Version", "12", "Sec-WebSocket-Key", "x"}, 426, "version 13"},
		"without a key":     {"GET", []string{"Connection", "Upgrade", "Sec-WebSocket-Version", "13"}, 400, "Sec-WebSocket-Key"},
		"a key that is bad": {"GET", []string{"Connection", "Upgrade", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "x"}, 400, "Key"},
	} {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				resp, err := h.do(h.request(row.method, "/parties/lab/a", nil, append(row.header, "Upgrade", "websocket")...))
				if err != nil {
					t.Fatal(err)
				}
				if resp.status != row.status {
					t.Errorf("status %d, want %d", resp.status, row.status)
				}
				contains(t, resp.body, row.text)
				if n := len(events[*inspect.Turn](h, nil)); n > 0 {
					t.Errorf("%d turns", n)
				}
			})
		})
	}
}

func TestAClientThatGivesUpDuringOnConnectIsHeardOfInOnClose(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		other := h.dial("lab/a")
		drop := h.dialHalf("/parties/lab/a?_pk=gone&connect=both+log+in%3B+wait+gate")
		h.logged("lab/a", "in", 1)
		drop()
		h.open("gate")
		h.logged("lab/a", "OnClose gone "+vanishedText+" ready=2", 1)
		if got := other.ask("list"); got != "["+other.id+"]" {
			t.Errorf("connections %s", got)
		}
	})
}

func TestAClientThatGivesUpBeforeItsTurnRunsNoHook(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.send("wait gate")
		c.want("waiting")
		drop := h.dialHalf("/parties/lab/a?_pk=gone&connect=log+in")
		h.keptBy("lab/a", "2 turns running or waiting")
		drop()
		await(h, func(e *inspect.ConnectionRefused) bool { return e.Connection == "gone" })
		h.open("gate")
		if got := c.ask("list"); got != "["+c.id+"]" {
			t.Errorf("connections %s", got)
		}
		if lines := append(h.logs("lab/a", "in"), h.logs("lab/a", "OnClose")...); lines != nil {
			t.Errorf("%q", lines)
		}
	})
}

// dialHalf sends a handshake and returns what drops it.
func (h *harness) dialHalf(path string) (drop func()) {
	h.t.Helper()
	r := h.request(http.MethodGet, path, nil, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	conn := h.tcp()
	if err := r.Write(conn); err != nil {
		h.t.Fatal(err)
	}
	return func() { _ = conn.Close() }
}
