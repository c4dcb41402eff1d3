//go:build !partyplugin && !js

package party

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/inspect"
)

// stream opens a request and returns its answer's lines.
func (h *harness) stream(ctx context.Context, path string) (*http.Response, *bufio.Scanner) {
	h.t.Helper()
	resp, err := h.client.Do(h.request(http.MethodGet, path, nil).WithContext(ctx))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp, bufio.NewScanner(resp.Body)
}

func TestFlushSendsWhatIsThereWhileTheTurnGoesOn(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		verb := url.QueryEscape("both header Content-Type text/event-stream; both flush data: 1\n; then gate echo data: 2\n")
		resp, lines := h.stream(t.Context(), "/parties/lab/a/?do="+verb)
		if !lines.Scan() || lines.Text() != "data: 1" {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
		if resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%v", resp.Header)
		}
		h.open("gate")
		if !lines.Scan() || lines.Text() != "waitingdata: 2" {
			t.Errorf("%q, %v", lines.Text(), lines.Err())
		}
	})
}

func TestAStreamOutlivesItsTurnAndDoesNotHoldTheRoom(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		verb := url.QueryEscape("both header Content-Type text/event-stream; stream then gate do echo from a turn")
		resp, lines := h.stream(t.Context(), "/parties/lab/a/?do="+verb)
		if !lines.Scan() || lines.Text() != "waiting" {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s %v", resp.Status, resp.Header)
		}
		if got := h.verb("lab/a", "echo meanwhile"); got != "meanwhile" {
			t.Errorf("got %q", got)
		}
		h.keptBy("lab/a", "1 Stream")
		h.open("gate")
		for _, want := range []string{"from a turn", "ok"} {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("%q, %v, want %q", lines.Text(), lines.Err(), want)
			}
		}
		if lines.Scan() {
			t.Errorf("more: %q", lines.Text())
		}
		e := await(h, func(e *inspect.Request) bool { return strings.Contains(e.URL, "stream") })
		if e.Status != 200 || e.Error != "" {
			t.Errorf("%+v", e)
		}
	})
}

func TestAStreamReadsTheBodyAfterItsTurn(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		body := repeat(3 << 20)
		resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=stream+mirror", bytes.NewReader(body)))
		if err != nil || resp.status != 200 || resp.body != string(body) {
			t.Errorf("%d, %d bytes, %v", resp.status, len(resp.body), err)
		}
	})
}

func TestAClientThatGoesAwayEndsItsStream(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		ctx, cancel := context.WithCancel(t.Context())
		_, lines := h.stream(ctx, "/parties/lab/a/?do=stream+until-gone")
		if !lines.Scan() || lines.Text() != "waiting" {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
		cancel()
		h.verb("awake/opener", "wait cancelled a")
		e := await(h, func(e *inspect.Request) bool { return e.Room == "lab/a" })
		if e.Error != "the client went away" {
			t.Errorf("%+v", e)
		}
		h.eventuallyAsleep("lab/a", 0)
	})
}

func TestAStreamThatWasCutDoesNotKeepTimersFromEviction(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("lab/a", "after 1h log late")
		ctx, cancel := context.WithCancel(t.Context())
		_, lines := h.stream(ctx, "/parties/lab/a/?do=stream+until-gone")
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		cancel()
		h.verb("awake/opener", "wait cancelled a")
		await(h, func(e *inspect.Request) bool { return e.Error == "the client went away" })
		h.eventually(func() bool { // the stream's function has returned, too
			d, err := h.Room(t.Context(), "lab/a")
			return err == nil && !d.EvictedAt.IsZero()
		})
		for range 5 {
			h.advance(evictSpan / 4)
			h.verb("awake/opener", "echo x")
		}
		if n := len(events(h, in[*inspect.RoomEvicted]("lab/a"))); n != 1 {
			t.Errorf("%d evictions", n)
		}
	})
}

func TestAStreamThatFailsIsCutOff(t *testing.T) {
	for _, verb := range []string{"fail boom", "panic boom", "goexit"} {
		t.Run(verb, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				resp, err := h.do(h.request(http.MethodGet, "/parties/lab/a/?do="+url.QueryEscape("stream both echo half; "+verb), nil))
				if err == nil || resp.body != "half\n" {
					t.Errorf("the client takes %q for a whole answer (%v)", resp.body, err)
				}
				contains(t, await(h, func(e *inspect.Exception) bool { return e.Hook == "Stream" }).Error, "o")
				// Where nothing was sent yet, the status says so.
				if resp := h.get("/parties/lab/a/?do=" + url.QueryEscape("stream "+verb)); resp.status != 500 {
					t.Errorf("status %d", resp.status)
				}
				h.eventuallyAsleep("lab/a", 0)
			})
		})
	}
}

func TestStreamFindsItsRequestBehindMiddlewareAndRefusesOthers(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/parties/lab/a/?do=stream-wrapped+loud").want(t, 200, "LOUD")
		contains(t, h.get("/parties/lab/a/?do=both+stream+echo+x%3B+stream+echo+y").body, "Stream was already called for this request")
		contains(t, h.get("/parties/lab/a/?do=stream-elsewhere").body, "Stream cannot find the request behind a")
	}, inDevelopment)
}
