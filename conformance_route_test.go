//go:build !partyplugin && !js

package party

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

func routed(s *setup) { s.app = "routed" }

// dialPath opens a WebSocket to a path of a Handler.
func (h *harness) dialPath(path, room string) *client {
	h.t.Helper()
	p, q, _ := strings.Cut(path, "?")
	query, err := url.ParseQuery(q)
	if err != nil {
		h.t.Fatal(err)
	}
	c, resp, err := h.connectTo(p, room, dialing{query: query, header: http.Header{}})
	if err != nil {
		h.t.Fatalf("dial %s: %v, %v", path, err, resp)
	}
	return c
}

func TestAHandlerAnswersWhatIsNoRooms(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/other").want(t, 404, "no room")
		h.get("/parties/lab").want(t, 404, "no room")
		h.get("/parties/nosuch/a").want(t, 400, "Invalid request")
		await(h, func(e *inspect.Log) bool { return strings.Contains(e.Text, "no class answers at /parties/nosuch") })
		body := repeat(2 << 20)
		resp, err := h.do(h.request(http.MethodPost, "/plain", bytes.NewReader(body)))
		if err != nil || resp.status != 200 || resp.header.Get("X-Handler") != "yes" || resp.body != string(body) {
			t.Errorf("%d %v %d bytes, %v", resp.status, resp.header, len(resp.body), err)
		}
	}, routed)
}

func TestAHandlerThatPanicsAnswers500(t *testing.T) {
	for _, dev := range []bool{true, false} {
		t.Run(fmt.Sprint("dev=", dev), func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				resp := h.get("/panic")
				if resp.status != 500 {
					t.Errorf("status %d", resp.status)
				}
				if dev {
					contains(t, resp.body, "panic: the handler's own", "conformance_request_app_test.go")
				} else {
					resp.want(t, 500, "Internal Server Error")
				}
				e := await[*inspect.Exception](h, nil)
				if e.Hook != "App.Handler" || e.Error != "panic: the handler's own" || e.Stack == "" {
					t.Errorf("%+v", e)
				}
				h.get("/other").want(t, 404, "no room")
			}, routed, func(s *setup) { s.config.Debug = dev })
		})
	}
}

func TestRouteRequestReachesTheRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/parties/lab/a%20b/x?do=room").want(t, 200, "Lab a%20b "+wire.Address{Binding: "Lab", Name: "a%20b"}.ID())
		h.get("/parties/lab/a/?do=headers+X-", "X-One", "1", "X-Partykit-Props", "forged").want(t, 200, "X-One=1 X-Partykit-Namespace=lab")
		h.get("/parties/lab/a/?do=both+header+X-A+1%3B+status+418").want(t, 418, "")
		for _, n := range []int{0, 1 << 10, 3 << 20} {
			body := repeat(n)
			resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=mirror", bytes.NewReader(body)))
			if err != nil || resp.body != string(body) {
				t.Errorf("%d bytes came back as %d, %v", n, len(resp.body), err)
			}
		}
		c := h.dial("lab/a", query("connect", "me"))
		contains(t, c.recv(), "id="+c.id+" uri=http://"+h.addr+"/parties/lab/a?")
		if got := c.ask("echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
		c.close(4000, "bye")
		c.closed(4000, "bye")
		if _, err := lookIn(h, "lab/a", query("connect", "fail boom")); err != nil {
			t.Error(err)
		}
		h.get("/parties/lab/"+string(repeat(1<<20))+"?do=room").want(t, 414, "the room's name has 1048576 bytes; at most 131072 are allowed: use a shorter one, such as a hash")
	}, routed)
}

func TestAnAnswerThatStreamsPassesTheHandlerPartByPart(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		ctx, cancel := context.WithCancel(t.Context())
		_, lines := h.stream(ctx, "/parties/lab/a/?do="+url.QueryEscape("stream then gate until-gone"))
		if !lines.Scan() || lines.Text() != "waiting" {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
		h.open("gate")
		if !lines.Scan() || lines.Text() != "waiting" {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
		cancel() // the client's going away reaches the room behind the handler
		h.verb("awake/opener", "wait cancelled a")
	}, routed)
}

func TestAPrefixMayHaveSeveralSegments(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/deep/down/lab/a/?do=echo+x").want(t, 200, "x")
		h.get("/deep/down/parties/lab/a").want(t, 400, "Invalid request") // no such party
		h.get("/deep/down/lab").want(t, 404, "no room")
		c := h.dialPath("/deep/down/lab/a", "lab/a")
		c.send("echo x")
		c.want("x")
	}, routed)
}

func TestCORS(t *testing.T) {
	permissive := map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, POST, HEAD, OPTIONS",
		"Access-Control-Allow-Headers": "*", "Access-Control-Max-Age": "86400",
	}
	none := map[string]string{}
	own := map[string]string{"Access-Control-Allow-Origin": "https://party.example"}
	for name, row := range map[string]struct {
		method, path string
		status       int
		header       map[string]string
	}{
		"a preflight":                        {"OPTIONS", "/deep/down/lab/a", 204, permissive},
		"a preflight, own headers":           {"OPTIONS", "/cors/lab/a", 204, own},
		"an answer of the room":              {"GET", "/deep/down/lab/a/?do=echo+x", 200, permissive},
		"its own header does not win":        {"GET", "/deep/down/lab/a/?do=both+header+Access-Control-Allow-Origin+me%3B+echo+x", 200, permissive},
		"a room that fails":                  {"GET", "/deep/down/lab/a/?do=panic+x", 500, permissive},
		"an answer of the room, own headers": {"GET", "/cors/lab/a/?do=echo+x", 200, own},
		"a before-hook's own answer":         {"GET", "/cors/lab/a?refuse", 403, own},
		"an unknown party":                   {"GET", "/deep/down/nosuch/a", 400, permissive},
		"no room":                            {"GET", "/deep/down/lab", 404, none},
		"another path":                       {"GET", "/other", 404, none},
		"a route without CORS":               {"GET", "/parties/lab/a/?do=echo+x", 200, none},
		"OPTIONS without CORS is the room's": {"OPTIONS", "/parties/lab/a/?do=request", 200, none},
	} {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				resp, err := h.do(h.request(row.method, row.path, nil))
				if err != nil {
					t.Fatal(err)
				}
				if resp.status != row.status {
					t.Errorf("status %d, want %d: %s", resp.status, row.status, resp.body)
				}
				for key := range permissive {
					if got := strings.Join(resp.header.Values(key), "|"); got != row.header[key] {
						t.Errorf("%s: %q, want %q", key, got, row.header[key])
					}
				}
				if row.method == "OPTIONS" && row.status == 204 && len(events[*inspect.Turn](h, nil)) > 0 {
					t.Error("the preflight reached the room")
				}
			}, routed)
		})
	}
	t.Run("an upgrade has none", func(t *testing.T) {
		conform(t, func(t *testing.T, h *harness) {
			_, resp, err := h.connectTo("/deep/down/lab/a", "lab/a", dialing{})
			if err != nil || resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%v, %v", resp.Header, err)
			}
		}, routed)
	})
}

func TestBeforeHooksAnswerOrChangeTheRequest(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/cors/lab/a%20b?refuse").want(t, 403, "refused lab Lab a%20b")
		_, resp, err := h.connectTo("/cors/lab/a", "lab/a", dialing{query: url.Values{"refuse": {""}}})
		if err == nil || resp == nil || resp.StatusCode != 403 {
			t.Errorf("%v, %v", resp, err)
		}
		if n := len(events[*inspect.RoomStarted](h, nil)); n > 0 {
			t.Error("the room was reached")
		}
		h.get("/cors/lab/a/?user=ann&do=headers+X-User").want(t, 200, "X-User=ann")
		h.get("/cors/lab/a/?user=ann&do=request").want(t, 200, "GET /cors/lab/a/?connect=me&do=request host="+h.addr+" length=0")
		c := h.dialPath("/cors/lab/a?user=ann&_pk=me", "lab/a")
		c.want("id=me uri=http://" + h.addr + "/cors/lab/a?_pk=me&connect=me server=a tags=[me]")
	}, routed)
}

func TestPropsReachTheRoomWithRequestAndConnection(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/parties/lab/a/?do=props").want(t, 200, "none")
		h.get("/parties/lab/a/?props=hall&do=props").want(t, 200, "map[from:hall]")
		h.get("/parties/lab/a/?do=props").want(t, 200, "map[from:hall]") // the last ones stay
		c := h.dial("lab/a", query("props", "door"), query("connect", "props"))
		c.want("map[from:door]")
		h.verb("awake/opener", "plan b 1 props")
		h.get("/parties/lab/b/?props=hall&do=headers+X-Partykit-Props").want(t, 200, "X-Partykit-Props=eyJmcm9tIjoiaGFsbCJ9")
	}, routed)
}

func TestTheSameNameInAnotherJurisdictionIsAnotherRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		here := h.get("/parties/lab/a/?do=room").body
		there := h.get("/parties/lab/a/?jurisdiction=eu&do=room").body
		if here == there || there != "Lab a "+(wire.Address{Binding: "Lab", Name: "a", Jurisdiction: "eu"}).ID() {
			t.Errorf("%q and %q", here, there)
		}
		h.get("/parties/lab/a/?jurisdiction=eu&do=headers+X-Partykit-J").want(t, 200, "X-Partykit-Jurisdiction=eu")
		h.dialPath("/parties/lab/a?jurisdiction=eu", "a")
		await(h, in[*inspect.ConnectionOpened]("eu:lab/a"))
		if got := h.get("/parties/lab/a/?do=list").body; got != "[]" {
			t.Errorf("connections here: %s", got)
		}
		if got := h.get("/parties/lab/a/?jurisdiction=eu&do=list").body; len(got) != 23 {
			t.Errorf("connections there: %s", got)
		}
	}, routed)
}

func TestMiddlewareMayWrapTheWriter(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/wrapped/lab/a/?do=echo+quiet").want(t, 200, "QUIET")
		c := h.dialPath("/wrapped/lab/a", "lab/a")
		c.send("echo quiet")
		c.want("quiet")
	}, routed)
}

func TestAHandlerReachesRoomsByStub(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/stub/a").want(t, 200, "a: 5 <nil>")
		h.get("/parties/lab/a/?do=props").want(t, 200, "map[from:stub]")
		h.verb("awake/opener", "plan b 1 fail boom")
		h.get("/stub/b").want(t, 502, "lab/b: boom")
	}, routed)
}

func TestALostConnectionToTheRoomIsTriedAgain(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		answers := make(chan response, 1)
		ask := func(path string) {
			go func() {
				resp, err := h.do(h.request(http.MethodPost, path, strings.NewReader("the body")))
				if err != nil {
					resp.body = err.Error()
				}
				answers <- resp
			}()
		}
		lose := func(n int) {
			t.Helper()
			h.logged("lab/a", "begun", n)
			if err := h.Evict(t.Context(), "lab/a"); err != nil {
				t.Fatal(err)
			}
		}
		verb := "/lab/a/?do=" + url.QueryEscape("both log begun; both wait gate; mirror")
		ask("/parties" + verb)
		lose(1)
		lose(2)
		h.logged("lab/a", "begun", 3)
		h.open("gate")
		(<-answers).want(t, 200, "waitingthe body")

		ask("/once" + strings.Replace(verb, "gate", "gate2", 1))
		lose(4)
		(<-answers).want(t, 503, "lab/a was evicted while it handled this")
		ask("/twice" + strings.Replace(verb, "gate", "gate2", 1))
		lose(5)
		lose(6)
		(<-answers).want(t, 503, "lab/a was evicted while it handled this")
		lines := events(h, func(e *inspect.Log) bool { return strings.HasPrefix(e.Text, "retry ") })
		if len(lines) != 1 || lines[0].Text != "retry 1 of 2: Lab a" {
			t.Errorf("%+v", lines)
		}
	}, routed)
}
