//go:build !partyplugin && !js

package party

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// response is a whole answer.
type response struct {
	status int
	header http.Header
	body   string
}

// do sends a request and reads its answer.
func (h *harness) do(r *http.Request) (response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*patience)
	defer cancel()
	resp, err := h.client.Do(r.WithContext(ctx))
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(b)}, err
}

func (h *harness) request(method, path string, body io.Reader, header ...string) *http.Request {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.addr+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func (h *harness) get(path string, header ...string) response {
	h.t.Helper()
	resp, err := h.do(h.request(http.MethodGet, path, nil, header...))
	if err != nil {
		h.t.Fatalf("GET %s: %v", path, err)
	}
	return resp
}

// want asserts an answer.
func (r response) want(t *testing.T, status int, body string) {
	t.Helper()
	if r.status != status || strings.TrimSuffix(r.body, "\n") != body {
		t.Errorf("answer %d %.300q, want %d %q", r.status, r.body, status, body)
	}
}

// tcp connects to the gateway.
func (h *harness) tcp() net.Conn {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// verb asks room, as in lab/a, to do something by a plain request, and returns
// what it said.
func (h *harness) verb(room, verb string) string {
	h.t.Helper()
	resp := h.get("/parties/" + room + "/?do=" + url.QueryEscape(verb))
	if resp.status != http.StatusOK {
		h.t.Fatalf("%s of %s: %d %s", verb, room, resp.status, resp.body)
	}
	return resp.body
}

// open opens a gate that hooks wait at.
func (h *harness) open(gate string) {
	h.t.Helper()
	h.verb("awake/opener", "open "+gate)
}
