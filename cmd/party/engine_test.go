//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/goparty/party/watch/bundle"
)

// One program gives one result on both runtimes.
func TestChecksOnBothRuntimes(t *testing.T) {
	t.Parallel()
	dev := setup{}.dev(t, engineServer(t))
	_, names := dev.get("/parties/probe/list/checks")
	all := strings.Fields(names)
	if len(all) < 20 {
		t.Fatalf("checks: %q", names)
	}
	slices.Sort(all)
	run := func(t *testing.T, get func(path string) (int, string)) {
		for _, name := range all {
			room := "check-" + name
			if name == "savepoint" {
				continue // behind sql-tx
			}
			if status, text := get("/parties/probe/" + room + "/" + name); text != "ok" {
				t.Errorf("%s: %d %s", name, status, text)
			}
			if name == "sql-tx" {
				if status, text := get("/parties/probe/" + room + "/savepoint"); text != "ok" {
					t.Errorf("savepoint: %d %s", status, text)
				}
			}
		}
	}
	t.Run("emulator", func(t *testing.T) { run(t, dev.in(t).get) })
	t.Run("workerd", func(t *testing.T) { run(t, onEngine(t, engineServer(t), nil, "probe", "Plain").get) })
}

func TestEngine(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s from outside", r.Method)
	}))
	t.Cleanup(web.Close)
	shared := onEngine(t, engineServer(t), map[string]string{"GREETING": `say "hi"`, "PARTY_TURN_LIMIT": "2s", "WEB": web.URL}, "probe", "Plain")
	for name, test := range map[string]func(e *engine){
		"connections": func(e *engine) {
			for _, party := range []string{"probe", "plain"} {
				a := e.connect("/parties/" + party + "/people?_pk=a&tag=red&tag=green&name=Ada")
				b := e.connect("/parties/" + party + "/people?_pk=b&tag=red")
				a.send("who")
				var who struct {
					Name, URI, Room string
					Tags, Red       []string
				}
				if err := json.Unmarshal([]byte(a.recv()), &who); err != nil {
					e.t.Fatal(err)
				}
				if who.Name != "Ada" || who.Room != "people" || !slices.Equal(who.Tags, []string{"a", "red", "green"}) ||
					!slices.Equal(who.Red, []string{"a", "b"}) || who.URI != e.URL+"/parties/"+party+"/people?_pk=a&tag=red&tag=green&name=Ada" {
					e.t.Errorf("%s: %+v", party, who)
				}
				a.send("ping")
				a.wants("pong")
				if err := b.WriteMessage(websocket.BinaryMessage, []byte{0, 255}); err != nil {
					e.t.Fatal(err)
				}
				if kind, data, err := b.ReadMessage(); err != nil || kind != websocket.BinaryMessage || string(data) != "\x00\xff" {
					e.t.Errorf("%s: %d %q %v", party, kind, data, err)
				}
				_ = b.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4002, "so long"), time.Time{})
				b.gone(4002)
				a.wants("closed b 4002 so long true")
				_ = a.UnderlyingConn().Close()
			}
		},
		"rooms that start at once": func(e *engine) {
			var all sync.WaitGroup
			for i := range 30 {
				all.Go(func() {
					name := fmt.Sprintf("at-once-%d", i)
					resp, err := http.Get(e.URL + "/parties/probe/" + name + "/name")
					if err != nil {
						e.t.Error(err)
						return
					}
					defer resp.Body.Close()
					if b, err := io.ReadAll(resp.Body); string(b) != name || err != nil {
						e.t.Errorf("%s calls itself %q, %v", name, b, err)
					}
				})
			}
			all.Wait()
		},
		"closed in OnConnect": func(e *engine) {
			c := e.connect("/parties/probe/leave?leave=full")
			c.wants("bye")
			c.gone(4005)
		},
		"a room that does not start": func(e *engine) {
			c := e.connect("/parties/probe/broken-ws")
			c.wants(`{"error":"it does not start"}`)
			c.gone(1011)
			if status, text := e.get("/parties/probe/broken-http/status"); status != 500 || !strings.Contains(text, "it does not start") {
				e.t.Errorf("%d %s", status, text)
			}
		},
		"requests": func(e *engine) {
			for path, want := range map[string]string{
				"/":                                  "200 front page\n",
				"/nowhere":                           "404 404 page not found\n",
				"/parties/nobody/x":                  "400 Invalid request\n",
				"/parties/probe/web/props":           "200 from the handler",
				"/parties/probe/web/env":             `200 say "hi"`,
				"/parties/probe/web/status":          "204 ",
				"/parties/probe/web/panic":           "500 Internal Server Error",
				"/parties/probe/web/props?forbidden": "403 not you\n",
				"/panic":                             "500 Internal Server Error",
				"/people":                            "200 42",
				"/echo?a=b":                          "202 GET " + strings.TrimPrefix(e.URL, "http://") + " a=b",
			} {
				if status, text := e.get(path); fmt.Sprintf("%d %s", status, strings.TrimRight(text, "\n")) != strings.TrimRight(want, "\n") {
					e.t.Errorf("%s: %d %q", path, status, text)
				}
			}
			for _, n := range []int{0, 10, 5 << 20} {
				resp, err := http.Post(e.URL+"/parties/probe/web/count", "text/plain", strings.NewReader(strings.Repeat("x", n)))
				if err != nil {
					e.t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(b) != fmt.Sprintf("%d EOF\n", n) || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
					e.t.Errorf("%d bytes: %q %v", n, b, resp.Header)
				}
			}
			if _, text := e.get("/parties/probe/web/large"); len(text) != 4<<20 {
				e.t.Errorf("a large answer of %d bytes", len(text))
			}
		},
		"a name that is long": func(e *engine) {
			room := "/parties/probe/" + strings.Repeat("n", 1500)
			if status, text := e.get(room + "/names"); status != 200 {
				e.t.Errorf("%d %s", status, text)
			}
			c := e.connect(room)
			c.send("alarm 20ms")
			if got := c.recv(); got != "alarm "+strings.Repeat("n", 1500)+" 0 false seen 2" {
				e.t.Error(got)
			}
		},
		"a state as large as can be": func(e *engine) {
			c := e.connect("/parties/probe/full?_pk=a")
			c.send("fill")
			c.wants("full")
		},
		"a message that is too large": func(e *engine) {
			other := e.connect("/parties/probe/large?_pk=b")
			c := e.connect("/parties/probe/large?_pk=a")
			if err := c.WriteMessage(websocket.BinaryMessage, make([]byte, 33<<20)); err != nil {
				e.t.Log(err)
			}
			c.gone(websocket.CloseMessageTooBig)
			if got := other.recv(); !strings.HasPrefix(got, "error of a: ") {
				e.t.Error(got)
			}
		},
		"the web": func(e *engine) {
			if status, text := e.get("/parties/probe/web/outside"); status != 200 || text != "GET from outside" {
				e.t.Errorf("%d %s", status, text)
			}
		},
		"a client that leaves a stream": func(e *engine) {
			ctx, leave := context.WithCancel(e.t.Context())
			defer leave()
			r, err := http.NewRequestWithContext(ctx, "GET", e.URL+"/parties/probe/leaver/stream", nil)
			if err != nil {
				e.t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				e.t.Fatal(err)
			}
			buf := make([]byte, 9)
			if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "data: 0\n\n" {
				e.t.Fatalf("%q %v", buf, err)
			}
			leave()
			_ = resp.Body.Close()
			e.out.line(e.t, "[probe/leaver] the stream ended")
		},
		"work beside the turns": func(e *engine) {
			c := e.connect("/parties/probe/work")
			c.send("after")
			c.wants("after")
			c.send("background")
			c.wants("done")
		},
		"an alarm is tried again": func(e *engine) {
			c := e.connect("/parties/probe/alarms")
			c.send("alarm-fails 1")
			c.wants("alarm-fails 1")
			c.send("alarm 20ms")
			c.wants("alarm alarms 0 false seen 2")
			c.wants("alarm alarms 1 true seen 2")
		},
		"two rooms that call each other at once": func(e *engine) {
			answers := make(chan string, 2)
			for _, pair := range [][2]string{{"left", "right"}, {"right", "left"}} {
				go func() {
					_, text := e.get("/both?room=" + pair[0] + "&other=" + pair[1])
					answers <- text
				}()
			}
			got := []string{<-answers, <-answers}
			if !slices.Contains(got, "cycle") {
				e.t.Errorf("%q", got)
			}
		},
		"an error keeps what was written": func(e *engine) {
			c := e.connect("/parties/probe/failing")
			c.send("write-and-fail")
			c.send("get")
			c.wants("kept")
		},
		"abort": func(e *engine) {
			c := e.connect("/parties/probe/aborted")
			c.send("put before")
			c.send("write-and-abort")
			c.gone(websocket.CloseAbnormalClosure)
			c = e.connect("/parties/probe/aborted")
			c.send("get")
			c.wants("before")
		},
		"a crash resets one room": func(e *engine) {
			other := e.connect("/parties/probe/other")
			other.send("seen")
			other.wants("1")
			c := e.connect("/parties/probe/crashing")
			c.send("put before")
			c.send("write-and-crash")
			c.gone(websocket.CloseAbnormalClosure)
			e.out.line(e.t, "[probe/crashing] the program ended with status 3: last words")
			c = e.connect("/parties/probe/crashing")
			c.send("get")
			c.wants("before")
			other.send("seen")
			other.wants("2")
		},
		"a panic in a goroutine": func(e *engine) {
			c := e.connect("/parties/probe/panicking")
			c.send("go-panic")
			c.gone(websocket.CloseAbnormalClosure)
			e.out.line(e.t, "[probe/panicking] the program ended with status 2: panic: in a goroutine")
			if status, text := e.get("/parties/probe/panicking/seen"); status != 200 || text != "1" {
				e.t.Errorf("%d %s", status, text)
			}
		},
		"a hook that blocks": func(e *engine) {
			c := e.connect("/parties/probe/hanging")
			c.send("hang")
			c.send("waits in vain")
			c.gone(websocket.CloseAbnormalClosure)
			e.out.line(e.t, "[probe/hanging] aborted: a turn took longer than 2s")
			c = e.connect("/parties/probe/hanging")
			c.send("hello")
			c.wants("hello")
		},
		"a handler that ends the program": func(e *engine) {
			if status, _ := e.get("/exit"); status != 500 {
				e.t.Error(status)
			}
			if status, _ := e.get("/"); status != 200 {
				e.t.Error(status)
			}
		},
		"waiting within a Transaction": func(e *engine) {
			c := e.connect("/parties/probe/waiting")
			c.send("put before")
			c.send("wait-in-transaction")
			c.gone(websocket.CloseAbnormalClosure)
			e.out.line(e.t, "[probe/waiting] a turn waited within a Transaction")
			c = e.connect("/parties/probe/waiting")
			c.send("get")
			c.wants("before")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(shared.in(t))
		})
	}
}

// The engine tells nobody that a room has gone to sleep, so that here alone a
// test has to wait: it does so after ten seconds without an event.
const sleepsAfter = 13 * time.Second

func TestHibernationOnTheEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("the engine's rooms sleep after ten seconds")
	}
	t.Parallel()
	e := onEngine(t, engineServer(t), nil, "probe", "Plain")
	a := e.connect("/parties/probe/sleepy?_pk=a&tag=red&name=Ada")
	b := e.connect("/parties/probe/sleepy?_pk=b&tag=red")
	leaky := e.connect("/parties/probe/leaky")
	plain := e.connect("/parties/plain/awake")
	for _, c := range []client{a, leaky, plain} {
		c.send("seen")
		c.wants("1")
	}
	leaky.send("leak")
	leaky.wants("leaked")
	a.send("rename Ada Lovelace")
	a.send("alarm 15s")
	time.Sleep(sleepsAfter)
	a.send("ping") // the engine answers
	a.wants("pong")
	// The alarm finds the room asleep, and its connections.
	a.wants("alarm sleepy 0 false seen 0")
	b.wants("alarm sleepy 0 false seen 0")
	a.send("props")
	a.wants("from the handler")
	a.send("who")
	if got := a.recv(); !strings.Contains(got, `"name":"Ada Lovelace"`) || !strings.Contains(got, `"red":["a","b"]`) || !strings.Contains(got, `"seen":2`) || !strings.Contains(got, `"tags":["a","red"]`) {
		t.Error(got)
	}
	plain.send("seen")
	plain.wants("2")
	// Goroutines that nobody waits for keep a room awake for ten seconds more.
	time.Sleep(sleepsAfter)
	leaky.send("seen")
	leaky.wants("1")
	_ = b.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
	b.gone(1000)
	a.wants("closed b 1000  true")
}

// What a room has stored and its alarm outlive the engine; so does its name.
func TestRestartOfTheEngine(t *testing.T) {
	t.Parallel()
	e := onEngine(t, engineServer(t), nil, "probe", "Plain")
	for _, room := range []string{"restarted", strings.Repeat("n", 1100)} {
		c := e.connect("/parties/probe/" + room)
		c.send("put before")
		c.send("alarm 50ms")
		c.wants("alarm " + room + " 0 false seen 2")
		c.send("alarm 2s")
		c.send("get")
		c.wants("before")
	}
	e.restart()
	for _, room := range []string{"restarted", strings.Repeat("n", 1100)} {
		c := e.connect("/parties/probe/" + room)
		c.wants("alarm " + room + " 0 false seen 0")
	}
}

func TestPartySocketOnTheEngine(t *testing.T) {
	t.Parallel()
	node(t)
	shared := onEngine(t, testServer(t), nil, "test", "MyServer")
	for _, name := range []string{
		"id is kept over a reconnect", "text and binary both ways", "broadcast reaches the others", "query parameters",
		"PartySocket.fetch", "headers of a stream", "close codes of the server", "close codes of the client",
		"abort and the queue", "sent before it is open", "OnConnect fails", "subprotocols", "a hook that fails costs nobody anything",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodeScript(t, shared.URL, nil, "partysocket.mjs", name)
		})
	}
}

func TestFixturesOnTheEngine(t *testing.T) {
	t.Parallel()
	node(t)
	for name, classes := range map[string][]string{
		"chat": {"chat"}, "cursors": {"cursors"}, "counter": {"Counter", "Total"}, "todo": {"todo"}, "reminder": {"reminder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := onEngine(t, filepath.Join(repo(t), "fixtures", name), nil, classes...)
			nodeScript(t, e.URL, map[string]func(){
				"kill": func() { _ = e.Close() }, "start": func() { e.restart() }, "hibernated": func() {},
			}, "fixtures.mjs", name)
			small(t, e.options.Bundle)
		})
	}
	t.Run("bank", func(t *testing.T) {
		t.Parallel()
		e := onEngine(t, filepath.Join(repo(t), "fixtures", "bank"), nil, "account")
		small(t, e.options.Bundle)
		e.pays()
	})
}

// small fails for bundles that the platform's free plan does not take.
func small(t testing.TB, dir string) {
	t.Helper()
	b, err := bundle.Weigh(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes, %d compressed", filepath.Base(dir), b.Size, b.Zipped)
	if b.Zipped > bundle.MostFree {
		t.Errorf("the bundle of %s has %d bytes compressed", dir, b.Zipped)
	}
}

// pays moves money between two accounts while the engine is killed.
func (e *engine) pays() {
	e.t.Helper()
	post := func(path string) (string, bool) {
		resp, err := http.Post(e.URL+"/parties/account/"+path, "", nil)
		if err != nil {
			return err.Error(), false
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err == nil && resp.StatusCode == http.StatusOK
	}
	if text, ok := post("ada/deposit?amount=100&id=1"); !ok || !strings.Contains(text, `"balance":100`) {
		e.t.Fatal(text)
	}
	for i := range 10 {
		if i == 5 {
			e.restart()
		}
		path := fmt.Sprintf("ada/pay?to=bob&amount=7&id=p%d", i)
		for _, again := range []bool{false, true} { // what is sent twice counts once
			if text, ok := post(path); !ok {
				e.t.Fatalf("%v: %s", again, text)
			}
		}
	}
	for name, want := range map[string]string{"ada": `{"balance":30,"pending":0}`, "bob": `{"balance":70,"pending":0}`} {
		if _, text := e.get("/parties/account/" + name); strings.TrimSpace(text) != want {
			e.t.Errorf("%s: %s", name, text)
		}
	}
	if text, ok := post("ada/pay?to=bob&amount=1000&id=much"); ok || !strings.Contains(text, "not enough money") {
		e.t.Error(text)
	}
}
