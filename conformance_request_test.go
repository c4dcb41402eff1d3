//go:build !partyplugin && !js

package party

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/inspect"
)

func TestURLsThatAreNoRoomsAreRefused(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for path, want := range map[string]int{
			"/": 404, "/other/lab/a": 404, "/parties": 404, "/parties/lab": 404, "/parties/lab/": 404,
			"/parties/nosuch/a": 400, "/parties/Lab/a": 400, "/parties/main/a": 400,
		} {
			h.get(path).want(t, want, map[int]string{404: "Not Found", 400: "Invalid request"}[want])
			_, resp, err := h.connectTo(path, "none", dialing{})
			if err == nil || resp == nil || resp.StatusCode != want {
				t.Errorf("WebSocket to %s: %v, %v", path, resp, err)
			}
		}
		await(h, func(e *inspect.Log) bool {
			return e.Level == "ERROR" && strings.Contains(e.Text, `no class answers at /parties/nosuch: bind one in App.Servers, or use one of ["awake" "bare" "lab"]`)
		})
		await(h, func(e *inspect.Log) bool { return strings.Contains(e.Text, "there is no default party") })
		if n := len(events[*inspect.RoomStarted](h, nil)); n > 0 {
			t.Errorf("%d rooms started", n)
		}
	})
}

func TestAClassWithoutOnRequestAnswersNotImplemented(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.get("/parties/bare/a/x?y").want(t, 404, "Not implemented")
		await(h, func(e *inspect.Log) bool {
			return e.Room == "bare/a" && e.Level == "WARN" && strings.Contains(e.Text, "GET /parties/bare/a/x: the class Bare has no OnRequest")
		})
		c := h.dial("bare/a") // and one without any hook lets everybody in
		c.do("anything")
		c.close(4000, "x")
		c.closed(4000, "x")
	})
}

func TestOnRequestThatPanicsAnswers500WithTheStackInDevelopmentOnly(t *testing.T) {
	for _, dev := range []bool{true, false} {
		t.Run(fmt.Sprint("dev=", dev), func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				resp := h.get("/parties/lab/a/?do=panic+boom")
				if resp.status != 500 {
					t.Errorf("status %d", resp.status)
				}
				if dev {
					contains(t, resp.body, "panic: boom", "conformance_failing_app_test.go")
				} else {
					resp.want(t, 500, "Internal Server Error")
				}
				h.logged("lab/a", "OnException panic: boom", 1)
				if e := await(h, in[*inspect.Exception]("lab/a")); e.Hook != "OnRequest" || e.Stack == "" {
					t.Errorf("%+v", e)
				}
				// Once something was sent, the answer is cut off instead.
				resp, err := h.do(h.request(http.MethodGet, "/parties/lab/a/?do=both+flush+half%3B+panic+boom", nil))
				if err == nil || resp.body != "half" {
					t.Errorf("%+v, %v", resp, err)
				}
				if got := h.verb("lab/a", "echo alive"); got != "alive" {
					t.Errorf("got %q", got)
				}
			}, func(s *setup) { s.config.Debug = dev })
		})
	}
}

func TestANameOfAMegabyteIsRefusedAndCostsNobodyAnything(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		long := "/parties/lab/" + string(repeat(1<<20))
		h.get(long).want(t, 414, "the room's name has 1048576 bytes; at most 131072 are allowed: use a shorter one, such as a hash")
		if _, resp, err := h.connectTo(long, "long", dialing{}); err == nil || resp.StatusCode != 414 {
			t.Errorf("%v, %v", resp, err)
		}
		if got := c.ask("echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
		longest := "lab/" + string(repeat(128<<10))
		if got := h.verb(longest, "room"); !strings.HasPrefix(got, "Lab xxx") || len(got) < 128<<10 {
			t.Errorf("got %d bytes", len(got))
		}
	})
}

func TestARoomsNameIsTheSegmentAsItStandsInTheURL(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for path, name := range map[string]string{
			"/parties/lab/plain":              "plain",
			"/parties/lab/plain/more/of/it":   "plain",
			"//parties///lab//spaced//":       "spaced",
			"/parties/lab/a%20b%2Fc":          "a%20b%2Fc",
			"/parties/lab/caf%C3%A9":          "caf%C3%A9",
			"/parties/lab/caf%c3%a9":          "caf%c3%a9", // another room
			"/parties/lab/%E2%98%83":          "%E2%98%83",
			"/parties/lab/a+b":                "a+b",
			"/parties/lab/a:b@c;d=e":          "a:b@c;d=e",
			"/parties/lab/..%2Fsecret":        "..%2Fsecret",
			"/parties/lab/%00":                "%00",
			"/parties/lab/%252e":              "%252e",
			"/parties/lab/" + "é":             "%C3%A9", // as every client sends it
			"/parties/lab/dot.dot/../x":       "dot.dot",
			"/parties/lab/%20":                "%20",
			"/parties/lab/constructor/a?b=/c": "constructor",
		} {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			fields := strings.Fields(h.get(path + sep + "do=room").body)
			if len(fields) != 3 || fields[0] != "Lab" || fields[1] != name || len(fields[2]) != 64 {
				t.Errorf("%s: %q, want the name %q", path, fields, name)
			}
		}
	})
}

func TestRequestsPassWholeWithTheirHeaders(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		r := h.request(http.MethodPut, "/parties/lab/a/p%2Fq?do=request&x=1", strings.NewReader("body"))
		resp, err := h.do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.want(t, 200, "PUT /parties/lab/a/p%2Fq?do=request&x=1 host="+h.addr+" length=4")
		h.get("/parties/lab/a/?do=headers+X-", "X-One", "1", "X-One", "2", "X-Partykit-Props", "forged", "x-partykit-namespace", "forged", "X-PartyKit-Jurisdiction", "eu").
			want(t, 200, "X-One=1|2 X-Partykit-Namespace=lab")
		c := h.dial("lab/a", query("connect", "headers X-"), header("X-Two", "2"), header("X-Partykit-Props", "forged"))
		c.want("X-Partykit-Namespace=lab X-Two=2")

		resp = h.get("/parties/lab/a/?do=both+header+X-A+1%3B+both+header+X-A+2%3B+both+status+418%3B+echo+tea")
		resp.want(t, 418, "tea")
		if got := resp.header.Values("X-A"); len(got) != 2 || resp.header.Get("Content-Length") != "3" {
			t.Errorf("%v", resp.header)
		}
	})
}

func TestHeadAndAnswersWithoutABody(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		resp, err := h.do(h.request(http.MethodHead, "/parties/lab/a/?do=write+100000", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.want(t, 200, "")
		if got := resp.header.Get("Content-Length"); got != "100000" {
			t.Errorf("Content-Length %q", got)
		}
		for _, status := range []int{204, 304} {
			resp := h.get(fmt.Sprintf("/parties/lab/a/?do=both+header+X-A+1%%3B+status+%d", status))
			resp.want(t, status, "")
			if resp.header.Get("X-A") != "1" || resp.header.Get("Content-Length") != "" {
				t.Errorf("%d: %v", status, resp.header)
			}
		}
		h.get("/parties/lab/a/?do=").want(t, 200, "")
	})
}

// sum is what the verb body answers.
func sum(b []byte) string { return fmt.Sprintf("%d %x", len(b), sha256.Sum256(b)) }

func TestBodiesOfEverySizeArriveWhole(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for _, n := range []int{0, 1, 32 << 10, 64 << 10, 64<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 9 << 20} {
			body := repeat(n)
			for _, src := range []io.Reader{bytes.NewReader(body), struct{ io.Reader }{bytes.NewReader(body)}} { // the second is chunked
				resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=body", src))
				if err != nil {
					t.Fatal(err)
				}
				resp.want(t, 200, sum(body))
			}
			resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=mirror", bytes.NewReader(body)))
			if err != nil || resp.body != string(body) {
				t.Errorf("%d bytes came back as %d, %v", n, len(resp.body), err)
			}
			h.get(fmt.Sprintf("/parties/lab/a/?do=write+%d", n)).want(t, 200, string(body))
		}
	})
}

func TestAConnectionIsUsedAgainAfterARequestWithABody(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		parallel(t, 4, func(int) error {
			for i := range 500 {
				resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=echo+x", strings.NewReader("not read by anybody")))
				if err != nil || resp.status != 200 || resp.body != "x" {
					return fmt.Errorf("request %d: %+v, %v", i, resp, err)
				}
			}
			return nil
		})
	})
}

func TestAnUploadHoldsTheRoomOnlyOnceAMegabyteOfItIsThere(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		up, src := io.Pipe()
		answer := make(chan response, 1)
		go func() {
			resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=both+log+begun%3B+body", up))
			if err != nil {
				resp.body = err.Error()
			}
			answer <- resp
		}()
		body := repeat(3 << 20)
		write := func(b []byte) {
			if _, err := src.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		write(body[:1<<19])
		if got := h.verb("lab/a", "echo meanwhile"); got != "meanwhile" {
			t.Errorf("got %q", got)
		}
		write(body[1<<19 : 1<<20+1])
		h.logged("lab/a", "begun", 1) // though the body is not whole
		write(body[1<<20+1:])
		_ = src.Close()
		(<-answer).want(t, 200, sum(body))
	})
}

func TestASlowBodyIsReadAsItComesAfterASecond(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		up, src := io.Pipe()
		go func() { _, _ = src.Write([]byte("a")) }()
		resp, err := h.client.Do(h.request(http.MethodPost, "/parties/lab/a/?do=mirror", up))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b := make([]byte, 1)
		for _, part := range []string{"a", "b", "c"} {
			if part != "a" {
				if _, err := src.Write([]byte(part)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != part {
				t.Fatalf("%q, %v, want %q", b, err, part)
			}
		}
		_ = src.Close()
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
	}, slow)
}

func TestASmallBodyThatComesSlowlyHoldsUpNobody(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		conn := h.tcp()
		fmt.Fprint(conn, "POST /parties/lab/a/?do=body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nsma")
		if got := h.verb("lab/a", "echo meanwhile"); got != "meanwhile" {
			t.Errorf("got %q", got)
		}
		fmt.Fprint(conn, "ll body")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(got) != sum([]byte("small body")) {
			t.Errorf("%d %q, %v", resp.StatusCode, got, err)
		}
	})
}

func TestASmallBodyThatBreaksOffReachesNoHook(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		conn := h.tcp()
		fmt.Fprint(conn, "POST /parties/lab/a/?do=both+log+begun%3B+body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nsma")
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%v, %v", resp, err)
		}
		h.verb("lab/a", "echo alive")
		h.turns("lab/a", "request", 1) // of that alone
		if said := events(h, in[*inspect.Log]("lab/a")); len(said) > 0 {
			t.Errorf("a hook ran for it: %+v", said[0])
		}
	})
}

func TestABodyThatBreaksOffIsAnErrorForItsReader(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		conn := h.tcp()
		fmt.Fprintf(conn, "POST /parties/lab/a/?do=both+log+begun%%3B+body HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n%s", repeat(2<<20))
		h.logged("lab/a", "begun", 1)
		_ = conn.Close()
		h.turns("lab/a", "request", 1)
		if got := h.verb("lab/a", "echo alive"); got != "alive" {
			t.Errorf("got %q", got)
		}
		if turn := events(h, in[*inspect.Turn]("lab/a"))[0]; turn.Error == "" {
			t.Error("the reader saw no error")
		}
	})
}

func TestAClientThatGoesAwayInTheMiddleOfItsBodyEndsItsStream(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		conn := h.tcp()
		fmt.Fprintf(conn, "POST /parties/lab/a/?do=stream+until-gone HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n%s", repeat(1<<20+1000))
		h.turns("lab/a", "request", 1)
		h.keptBy("lab/a", "1 Stream")
		_ = conn.Close()
		h.verb("awake/opener", "wait cancelled a")
		h.eventuallyAsleep("lab/a", 0)
	})
}

func TestEvictionEndsAHookThatWritesMoreThanIsRead(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		conn := h.tcp() // which nobody reads
		fmt.Fprint(conn, "GET /parties/lab/a/?do=both+log+begun%3B+both+write+50000000%3B+open+written HTTP/1.1\r\nHost: x\r\n\r\n")
		h.logged("lab/a", "begun", 1)
		if err := h.Evict(t.Context(), "lab/a"); err != nil {
			t.Fatal(err)
		}
		h.verb("awake/opener", "wait written")
	})
}

func TestAnAnswerIsNoFasterThanItsReader(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := h.client.Do(h.request(http.MethodGet, "/parties/lab/a/?do=write+50000000", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		// Nobody reads: the turn waits, and other rooms do not.
		if got := h.verb("lab/other", "echo x"); got != "x" {
			t.Errorf("got %q", got)
		}
		h.keptBy("lab/a", "1 turn running")
		cancel()
		h.turns("lab/a", "request", 1)
		if got := h.verb("lab/a", "echo alive"); got != "alive" {
			t.Errorf("got %q", got)
		}
	})
}

func TestEvictionCutsAnAnswerThatIsOnItsWay(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		for _, verb := range []string{"both flush half\n; wait gate", "stream both echo half; wait gate"} {
			_, lines := h.stream(t.Context(), "/parties/lab/a/?do="+url.QueryEscape(verb))
			if !lines.Scan() || lines.Text() != "half" {
				t.Fatalf("%q, %v", lines.Text(), lines.Err())
			}
			if err := h.Evict(t.Context(), "lab/a"); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() {
			}
			if err := lines.Err(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: the client sees %v", verb, err)
			}
		}
	})
}

func TestTenThousandRoomsOfOneClientAllGoColdAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 rooms")
	}
	conform(t, func(t *testing.T, h *harness) {
		const n, workers = 10000, 16
		parallel(t, workers, func(w int) error {
			for i := w; i < n; i += workers {
				resp, err := h.do(h.request(http.MethodGet, fmt.Sprintf("/parties/lab/r%d/?do=seen", i), nil))
				if err != nil || resp.body != "0" {
					return fmt.Errorf("r%d: %v, %v", i, resp, err)
				}
			}
			return nil
		})
		awaitN(h, n, func(e *inspect.Turn) bool { return e.Kind == "request" })
		h.advance(idleSpan)
		for _, e := range awaitN[*inspect.RoomHibernated](h, n, nil) {
			if e.Connections != 0 || at(e) != idleSpan {
				t.Fatalf("%+v", e)
			}
		}
		if got := h.verb("lab/r77", "started r77"); got != "2" {
			t.Errorf("the room has started %s times", got)
		}
	})
}
