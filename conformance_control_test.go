//go:build !partyplugin && !js

package party

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

// An emulator behind its control socket is the same as the emulator itself.

var errReload = errors.New("nothing to build here")

// whole is an emulator with what a tool adds.
type whole struct{ *emulator.Emulator }

func (whole) Reload(context.Context) error { return errReload }

// control serves the harness's emulator on a socket and returns a client.
func (h *harness) control() (*control.Client, string) {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "party") // shorter than t.TempDir
	if err != nil {
		h.t.Fatal(err)
	}
	path := filepath.Join(dir, "dev.sock")
	ln, err := control.Listen(path)
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := control.Serve(ln, whole{h.Emulator})
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := control.Dial(path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		c.Close()
		_ = s.Close()
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			h.t.Errorf("%s is left", left[0].Name())
		}
		_ = os.RemoveAll(dir)
	})
	return c, path
}

func TestLookingThroughTheSocketShowsTheSame(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, _ := h.control()
		ctx := t.Context()
		h.step("keeper/a", "put")
		h.step("keeper/a", "kinds")
		if _, err := h.Exec(ctx, "keeper/a", "CREATE TABLE t (x, y); INSERT INTO t VALUES (1, 1.0), (2.5, 'two'), (x'00ff', NULL)"); err != nil {
			t.Fatal(err)
		}
		if err := h.SetAlarm(ctx, "keeper/a", epoch.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		h.dial("keeper/a", id("ada"))
		h.dial("plain/b", id("böb"))
		h.step("keeper/cold", "put")
		h.sleep("keeper/cold")
		looks := map[string]func(e inspect.Emulator) (any, error){
			"Snapshot":    func(e inspect.Emulator) (any, error) { return e.Snapshot(ctx) },
			"Room":        func(e inspect.Emulator) (any, error) { return e.Room(ctx, "keeper/a") },
			"cold Room":   func(e inspect.Emulator) (any, error) { return e.Room(ctx, "keeper/cold") },
			"no Room":     func(e inspect.Emulator) (any, error) { return e.Room(ctx, "keeper/nosuch") },
			"Connections": func(e inspect.Emulator) (any, error) { return e.Connections(ctx) },
			"KV":          func(e inspect.Emulator) (any, error) { return e.KV(ctx, "keeper/a", inspect.KVQuery{}) },
			"KV of a key": func(e inspect.Emulator) (any, error) { return e.KV(ctx, "keeper/a", inspect.KVQuery{Key: "bytes"}) },
			"KV by prefix": func(e inspect.Emulator) (any, error) {
				return e.KV(ctx, "keeper/a", inspect.KVQuery{Prefix: "n", After: "null", Limit: 1})
			},
			"no KV":  func(e inspect.Emulator) (any, error) { return e.KV(ctx, "plain/b", inspect.KVQuery{}) },
			"SQL":    func(e inspect.Emulator) (any, error) { return e.SQL(ctx, "keeper/a", "SELECT * FROM t", 0) },
			"less":   func(e inspect.Emulator) (any, error) { return e.SQL(ctx, "keeper/a", "SELECT * FROM t", 2) },
			"writes": func(e inspect.Emulator) (any, error) { return e.SQL(ctx, "keeper/a", "DELETE FROM t", 0) },
			"no SQL": func(e inspect.Emulator) (any, error) { return e.SQL(ctx, "keeper/a", "SELEC", 0) },
		}
		for name, look := range looks {
			want, err1 := look(h.whole())
			got, err2 := look(c)
			if s, ok := want.(*inspect.Snapshot); ok {
				s.Seq, got.(*inspect.Snapshot).Seq = 0, 0
			}
			if fmt.Sprint(err1) != fmt.Sprint(err2) || errors.Is(err1, inspect.ErrNoRoom) != errors.Is(err2, inspect.ErrNoRoom) {
				t.Errorf("%s: %v, and through the socket %v", name, err1, err2)
			}
			a, _ := json.Marshal(want)
			b, _ := json.Marshal(got)
			if err1 == nil && !bytes.Equal(a, b) {
				t.Errorf("%s: %s", name, cmp.Diff(string(a), string(b)))
			}
		}
		if n := h.starts("keeper/cold"); n != 1 {
			t.Errorf("a cold room was started %d times", n)
		}
	}, keeper)
}

func (h *harness) whole() inspect.Emulator { return whole{h.Emulator} }

func TestActingThroughTheSocketDoesTheSame(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, _ := h.control()
		ctx := t.Context()
		const room = "keeper/a"
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		count := func(want int) func(int, error) {
			return func(n int, err error) {
				t.Helper()
				if n != want || err != nil {
					t.Errorf("%d, %v; want %d", n, err, want)
				}
			}
		}
		h.step(room, "put")
		must(c.Put(ctx, room, "a b/ü&c", []byte(`"x"`)))
		if got := h.kept(room, "a b/ü&c"); got != `"x"` {
			t.Errorf("got %s", got)
		}
		must(c.Put(ctx, room, "a b/ü&c", nil))
		if got := h.kept(room, "a b/ü&c"); got != "none" {
			t.Errorf("got %s", got)
		}
		if err := c.Put(ctx, room, "b", []byte{}); err == nil || !strings.Contains(err.Error(), "no JSON") {
			t.Errorf("%v", err)
		}
		rows, err := c.Exec(ctx, room, "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2) RETURNING x")
		if err != nil || fmt.Sprint(rows.Rows, rows.Affected) != "[[1] [2]] 2" {
			t.Errorf("%+v, %v", rows, err)
		}
		ada, bob := h.dial(room, id("ada")), h.dial(room, id("bob"))
		count(2)(c.Send(ctx, room, "", false, []byte("hello")))
		count(1)(c.Send(ctx, room, "bob", true, []byte{0, 1}))
		ada.want("hello")
		bob.want("hello", "binary:\x00\x01")
		count(1)(c.Delay(ctx, room, "ada", time.Hour))
		count(2)(c.Delay(ctx, room, "", 0))
		count(1)(c.Cut(ctx, room, "bob"))
		bob.closed(1006, "")
		must(c.Hibernate(ctx, room, true))
		must(c.SetAlarm(ctx, room, epoch.Add(time.Minute)))
		now, err := c.Advance(ctx, 30*time.Second)
		if !now.Equal(epoch.Add(30*time.Second)) || err != nil {
			t.Errorf("%s, %v", now, err)
		}
		if k, err := c.Clock(ctx); !k.Time.Equal(now) || !k.Manual || err != nil {
			t.Errorf("%+v, %v", k, err)
		}
		must(c.Fire(ctx, room))
		ada.want("alarm 0 false 1m0s")
		must(c.SetAlarm(ctx, room, epoch.Add(time.Hour)))
		must(c.SetAlarm(ctx, room, time.Time{}))
		must(c.FailCommit(ctx, room))
		must(c.Evict(ctx, room))
		must(c.Abort(ctx, room))
		ada.closed(1006, "")
		must(c.Reset(ctx, room))
		if err := c.Reset(ctx, room); !errors.Is(err, inspect.ErrNoRoom) {
			t.Errorf("%v", err)
		}
		if err := c.Reload(ctx); err == nil || err.Error() != errReload.Error() {
			t.Errorf("%v", err)
		}
		err = c.Crash(ctx)
		if h.process {
			must(err)
			if e := await[*inspect.Crash](h, nil); !e.Forced {
				t.Errorf("%+v", e)
			}
		} else if err == nil {
			t.Error("this process has crashed")
		}
	}, keeper)
}

func TestForcingThroughTheSocketWorksOnARoomWhoseHookHangs(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, _ := h.control()
		for room, force := range map[string]func(ctx context.Context, room string) error{
			"lab/hibernated": func(ctx context.Context, room string) error { return c.Hibernate(ctx, room, true) },
			"lab/evicted":    c.Evict,
			"lab/aborted":    c.Abort,
			"lab/reset":      c.Reset,
		} {
			client := h.dial(room)
			client.send("wait gate")
			client.want("waiting")
			if err := c.Hibernate(t.Context(), room, false); err == nil || !strings.Contains(err.Error(), "1 turn running") {
				t.Errorf("%v", err)
			}
			if err := force(t.Context(), room); err != nil {
				t.Errorf("%s: %v", room, err)
			}
			await(h, in[*inspect.TurnLost](room))
			h.verb(room, "echo it goes on")
		}
		// One that is starting.
		for i, force := range []func(ctx context.Context, room string) error{
			func(ctx context.Context, room string) error { return c.Hibernate(ctx, room, true) }, c.Evict, c.Abort, c.Reset,
		} {
			room := fmt.Sprintf("lab/starting%d", i)
			h.verb("awake/opener", fmt.Sprintf("plan starting%d 1 wait gate", i))
			answer := make(chan response, 1)
			go func() {
				resp, _ := h.do(h.request(http.MethodGet, "/parties/"+room+"/?do=echo+x", nil))
				answer <- resp
			}()
			h.logged(room, "OnStart waiting", 1)
			if err := force(t.Context(), room); err != nil {
				t.Errorf("%s: %v", room, err)
			}
			<-answer
			h.verb(room, "echo it goes on")
		}
		h.open("gate")
	})
}

func TestForcingThroughTheSocketWorksOnARoomThatIsBeingReloaded(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, _ := h.control()
		forces := map[string]func(ctx context.Context, room string) error{
			"lab/hibernated": func(ctx context.Context, room string) error { return c.Hibernate(ctx, room, true) },
			"lab/evicted":    c.Evict,
			"lab/aborted":    c.Abort,
			"lab/reset":      c.Reset,
		}
		for room := range forces {
			client := h.dial(room)
			client.send("wait gate")
			client.want("waiting")
		}
		h.reload(emulator.ReloadOptions{Limit: -1}) // the hooks may hang for ever
		for room, force := range forces {
			if d, err := c.Room(t.Context(), room); err != nil || d.State != inspect.Reloading || d.Generation != 1 {
				t.Errorf("%+v, %v", d, err)
			}
			if err := c.Hibernate(t.Context(), room, false); err == nil || !strings.Contains(err.Error(), "1 turn running") {
				t.Errorf("%v", err)
			}
			if err := force(t.Context(), room); err != nil {
				t.Errorf("%s: %v", room, err)
			}
			await(h, in[*inspect.TurnLost](room))
			h.verb(room, "echo it goes on")
			if d, err := c.Room(t.Context(), room); err != nil || d.Generation != 2 {
				t.Errorf("%+v, %v", d, err)
			}
		}
		h.open("gate")
	})
}

func TestTheSocketAnswersBadCallsClearly(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		_, path := h.control()
		h.verb("lab/a", "nop")
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}}}
		defer client.CloseIdleConnections()
		for call, want := range map[string]string{
			"GET /v1/nosuch":                    "400 usage there is no /v1/nosuch; GET /v1 lists what there is",
			"GET /":                             "400 usage there is no /; GET /v1 lists what there is",
			"GET /v1/evict":                     "400 usage /v1/evict is for POST",
			"POST /v1/evict":                    `400 usage /v1/evict needs the parameter "room"`,
			"POST /v1/evict?room=lab/a&force=1": `400 usage /v1/evict has no parameter "force"; it takes ["room"]`,
			"POST /v1/evict?room=lab/nosuch":    "404 no_room lab/nosuch: no such room",
			"POST /v1/evict?room=nosuch":        `409 refused "nosuch" is no room: write party/name, such as `,
			"POST /v1/clock?by=soon":            "400 usage by=soon is no duration: write one like 1m30s",
			"POST /v1/clock?by=-1s":             "400 usage by=-1s is no duration: write one like 1m30s",
			"PUT /v1/alarm?room=lab/a&at=soon":  "400 usage at=soon is no time: write one like 2030-01-02T15:04:05Z",
			"GET /v1/kv?room=lab/a&limit=x":     "400 usage limit=x is no number",
			"GET /v1/events?limit=-1":           "400 usage limit=-1 is no number",
			"POST /v1/hibernate?room=lab/a":     "204 ",
			"GET /v1/connections":               "200",
		} {
			method, at, _ := strings.Cut(call, " ")
			req, err := http.NewRequestWithContext(t.Context(), method, "http://party"+at, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			var f struct{ Error, Kind string }
			_ = json.Unmarshal(body, &f)
			if got := fmt.Sprintf("%d %s %s", resp.StatusCode, f.Kind, f.Error); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s, want %s", call, got, want)
			}
			if resp.StatusCode != http.StatusNoContent && resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s", call, resp.Header)
			}
		}
	})
}
