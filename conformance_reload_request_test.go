//go:build !partyplugin && !js

package party

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/goparty/party/emulator"
)

func TestReloadEndsStreams(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		resp, err := h.client.Get("http://" + h.addr + "/parties/lab/a/?do=" + url.QueryEscape("stream note-the-end"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		if s, err := lines.ReadString('\n'); s != "working\n" {
			t.Fatalf("%q, %v", s, err)
		}
		h.turns("lab/a", "request", 1)
		h.reload()
		rest, err := io.ReadAll(lines) // it may say farewell, and the answer is whole
		if !strings.HasPrefix(string(rest), "ended: error [cancelled closed]") && !strings.HasPrefix(string(rest), "ended: error [closed]") || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		if got := h.verb("lab/a", "echo x"); got != "x" {
			t.Error(got)
		}
		h.ran("lab/a", "request", 1, 2)
	})
}

func TestReloadCutsStreamsThatDoNotEnd(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		resp, err := h.client.Get("http://" + h.addr + "/parties/lab/a/?do=" + url.QueryEscape("stream both echo begun; knock "+doors.at("never")))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		doors.knocked(t, "never")
		h.turns("lab/a", "request", 1)
		h.reload(emulator.ReloadOptions{Limit: soon})
		if b, err := io.ReadAll(resp.Body); string(b) != "begun\n" || err == nil {
			t.Errorf("%q, %v: it should be cut off", b, err)
		}
	})
}

func TestReloadWhileABodyIsRead(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		body, more := io.Pipe()
		answer := make(chan response, 1)
		go func() {
			resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do="+url.QueryEscape("both knock "+doors.at("a")+"; body"), body))
			if err != nil {
				resp.body = err.Error()
			}
			answer <- resp
		}()
		if _, err := more.Write(repeat(2 << 20)); err != nil {
			t.Fatal(err)
		}
		doors.knocked(t, "a") // its turn has begun
		h.reload()
		doors.unlock("a")
		for range 4 {
			if _, err := more.Write(repeat(1 << 20)); err != nil {
				t.Fatal(err)
			}
		}
		if err := more.Close(); err != nil {
			t.Fatal(err)
		}
		if got := <-answer; got.status != http.StatusOK || !strings.HasPrefix(got.body, "came in6291456 ") {
			t.Errorf("%d: %.100s", got.status, got.body)
		}
		h.turns("lab/a", "request", 1)
		h.ran("lab/a", "request", 1)
		if got := h.verb("lab/a", "echo x"); got != "x" {
			t.Error(got)
		}
		h.ran("lab/a", "request", 1, 2)
	})
}

func TestReloadOfAHandler(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		// One that waits at the door of a room whose old turn takes its time.
		h.verb("lab/b", "nop")
		busy := h.dial("lab/a")
		busy.send("knock " + doors.at("a"))
		doors.knocked(t, "a")
		dialed := make(chan error, 1)
		var late *client
		go func() {
			var err error
			late, _, err = h.connect("lab/a", id("late"))
			dialed <- err
		}()
		answer := make(chan response, 1)
		go func() {
			resp, err := h.do(h.request(http.MethodGet, "/parties/lab/b/?do="+url.QueryEscape("knock "+doors.at("b")), nil))
			if err != nil {
				resp.body = err.Error()
			}
			answer <- resp
		}()
		doors.knocked(t, "b")
		h.reload()
		doors.unlock("a")
		doors.unlock("b")
		if err := <-dialed; err != nil {
			t.Fatal(err)
		}
		late.send("echo in")
		late.want("in")
		if got := <-answer; got.status != http.StatusOK || got.body != "came in" {
			t.Errorf("%d %s", got.status, got.body)
		}
		h.ended(1)
	}, routed)
}

func TestReloadEndsAnswersOfAHandler(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		body, more := io.Pipe()
		go func() { _, _ = more.Write([]byte("one")) }()
		resp, err := h.client.Do(h.request(http.MethodPost, "/plain", body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		defer more.Close()
		b := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "one" {
			t.Fatalf("%q, %v", b, err)
		}
		h.reload(emulator.ReloadOptions{Limit: soon}) // it ignores its context, and so is cut off
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("the answer looks whole")
		}
		h.get("/plain").want(t, http.StatusOK, "")
	}, routed)
}
