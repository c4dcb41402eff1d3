//go:build !partyplugin && !js

package party

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

func init() {
	apps["renamed"] = func() App { // without Bare
		app := labApp()
		delete(app.Servers, "Bare")
		app.Servers["Fresh"] = ClassOf[Lab](Options{Hibernate: true})
		return app
	}
	for name, verb := range map[string]func(l *Lab, ctx context.Context, c *cmd, arg string) error{
		// Waits until the test's own door opens, which every process can reach.
		"knock": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			if err := knock(arg); err != nil {
				return err
			}
			c.say("came in")
			return nil
		},
		// Ends when its context does, and then saves.
		"save-at-the-end": func(l *Lab, ctx context.Context, c *cmd, arg string) error {
			c.say("working")
			<-ctx.Done()
			return l.Do(context.WithoutCancel(ctx), func(ctx context.Context) error { return l.run(ctx, c, arg) })
		},
		"note-the-end": func(l *Lab, ctx context.Context, c *cmd, arg string) error {
			c.say("working")
			<-ctx.Done()
			c.say("ended: " + outcome(context.Cause(ctx)))
			return context.Cause(ctx)
		},
	} {
		verbs[name] = verb
	}
}

// doors are gates that code in any process can wait at.
type doors struct {
	*httptest.Server
	mu  sync.Mutex
	all map[string]*door
}

type door struct {
	knocked, opened chan struct{}
	once, twice     sync.Once
}

func (d *door) open() { d.twice.Do(func() { close(d.opened) }) }

func newDoors(t *testing.T) *doors {
	d := &doors{all: map[string]*door{}}
	d.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		at := d.door(r.URL.Path)
		at.once.Do(func() { close(at.knocked) })
		select {
		case <-at.opened:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		d.mu.Lock()
		for _, at := range d.all {
			at.open()
		}
		d.mu.Unlock()
		d.Close()
	})
	return d
}

func (d *doors) door(name string) *door {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all[name] == nil {
		d.all[name] = &door{knocked: make(chan struct{}), opened: make(chan struct{})}
	}
	return d.all[name]
}

func (d *doors) knocked(t *testing.T, name string) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-d.door("/" + name).knocked:
	case <-limit.C:
		t.Fatalf("nobody knocks at %s", name)
	}
}

func (d *doors) at(name string) string { return d.URL + "/" + name }

func (d *doors) unlock(name string) { d.door("/" + name).open() }

func knock(url string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// program is another program for the same loader.
func (h *harness) program(app string) emulator.Loader {
	h.t.Helper()
	if l, ok := h.loader.(selfLoader); ok {
		l.app = app
		return l
	}
	p, err := apps[app]().Program()
	if err != nil {
		h.t.Fatal(err)
	}
	return emulator.InProcess(p)
}

// reload lets the same program take over as the next generation.
func (h *harness) reload(o ...emulator.ReloadOptions) {
	h.t.Helper()
	var options emulator.ReloadOptions
	for _, given := range o {
		options = given
	}
	if err := h.Reload(h.t.Context(), h.loader, options); err != nil {
		h.t.Fatalf("reload: %v", err)
	}
}

// ended waits until older code has ended and no room runs it.
func (h *harness) ended(generation uint64) {
	h.t.Helper()
	await(h, func(e *inspect.Retired) bool { return e.Generation == generation })
}

// ran asserts the generations in which turns of a kind ended in a room, in order.
func (h *harness) ran(room, kind string, want ...uint64) {
	h.t.Helper()
	match := func(e *inspect.Turn) bool { return e.Room == room && e.Kind == kind }
	awaitN(h, len(want), match)
	var got []uint64
	for _, e := range events(h, match) {
		got = append(got, e.Generation)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("turns %s of %s ran in the generations %d, want %d", kind, room, got, want)
	}
}

// soon is a limit for what is to be lost.
const soon = 50 * time.Millisecond

func TestReloadKeepsConnections(t *testing.T) {
	for _, room := range []string{"lab/a", "awake/a"} {
		t.Run(room, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial(room, id("one"), query("tag", "red"))
				d := h.dial(room, id("two"))
				c.do(`set {"n":1}`)
				c.want("ok")
				before := c.ask("me")
				for n := range uint64(3) {
					h.reload()
					for question, want := range map[string]string{"me": before, "state": `{"n":1}`, "list red": "[one]", "list": "[one two]", "ready": "1"} {
						if got := c.ask(question); got != want {
							t.Errorf("%s is %s, want %s", question, got, want)
						}
					}
					if got := h.Generation(); got != n+2 {
						t.Errorf("generation %d, want %d", got, n+2)
					}
				}
				d.send("broadcast all")
				d.want("all")
				c.want("all")
				h.ran(room, "connect", 1, 1)
				if n := len(events[*inspect.ConnectionClosed](h, nil)); n > 0 {
					t.Errorf("%d connections were closed", n)
				}
			})
		})
	}
}

func TestReloadDeliversWhatWaitsOnceAndInOrder(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		c.send("knock " + doors.at("a"))
		doors.knocked(t, "a")
		for i := range 100 { // some go to the code at once, the others wait
			c.send(fmt.Sprintf("echo %d", i))
		}
		c.barrier()
		answers := make(chan response, 1)
		go func() {
			resp, err := h.do(h.request(http.MethodPost, "/parties/lab/a/?do=body", strings.NewReader(strings.Repeat("x", 3<<20))))
			if err != nil {
				resp.body = err.Error()
			}
			answers <- resp
		}()
		h.reload()
		doors.unlock("a")
		c.want("came in")
		for i := range 100 {
			c.want(fmt.Sprint(i))
		}
		if got := <-answers; got.status != http.StatusOK || !strings.HasPrefix(got.body, "3145728 ") {
			t.Errorf("%d %s", got.status, got.body)
		}
		h.ended(1)
		turns := events(h, func(e *inspect.Turn) bool { return e.Room == "lab/a" && e.Kind == "message" })
		if len(turns) != 101 || turns[0].Generation != 1 || turns[1].Generation != 2 || turns[100].Generation != 2 {
			t.Errorf("%d turns, the first three in generation %d, %d and %d", len(turns), turns[0].Generation, turns[1].Generation, turns[2].Generation)
		}
		if lost := events[*inspect.TurnLost](h, nil); len(lost) > 0 {
			t.Errorf("%d turns were lost", len(lost))
		}
	})
}

func TestReloadDoesNotWaitForOtherRooms(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		slow, quick := h.dial("lab/slow"), h.dial("lab/quick")
		slow.send("knock " + doors.at("slow"))
		doors.knocked(t, "slow")
		h.reload()
		if from, to, left := h.Reloading(); from != 1 || to != 2 || left != 1 {
			t.Errorf("reloading from %d to %d, %d rooms left", from, to, left)
		}
		if got := quick.ask("echo x"); got != "x" {
			t.Error(got)
		}
		h.ran("lab/quick", "message", 2)
		h.reload() // while the first one has not come to its end
		if got := quick.ask("echo y"); got != "y" {
			t.Error(got)
		}
		h.ran("lab/quick", "message", 2, 3)
		doors.unlock("slow")
		slow.want("came in")
		slow.do("echo z")
		slow.want("z")
		h.ran("lab/slow", "message", 1, 3)
		if _, to, _ := h.Reloading(); to != 0 {
			t.Errorf("still reloading to %d", to)
		}
	})
}

func TestReloadLosesAHookThatHangs(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		c.send("knock " + doors.at("never"))
		doors.knocked(t, "never")
		c.send("echo behind it")
		c.barrier()
		h.reload(emulator.ReloadOptions{Limit: soon})
		c.want("behind it")
		c.settle()
		lost := await[*inspect.TurnLost](h, nil)
		if lost.Kind != "message" || lost.Connection != c.id || !strings.Contains(lost.Reason, "new code") {
			t.Errorf("%+v", lost)
		}
		h.ended(1)
		h.ran("lab/a", "message", 2)
		answer := make(chan response, 1)
		go func() {
			resp, _ := h.do(h.request(http.MethodGet, "/parties/lab/b/?do="+url.QueryEscape("knock "+doors.at("b")), nil))
			answer <- resp
		}()
		doors.knocked(t, "b")
		h.reload(emulator.ReloadOptions{Limit: soon})
		if got := <-answer; got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "replaced by new code") {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestReloadLetsBackgroundWorkEnd(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		c.send("background save-at-the-end both broadcast saved; log saved")
		c.want("working")
		c.settle()
		h.reload()
		c.send("echo after")
		c.want("saved", "after")
		h.logged("lab/a", "saved", 1)
		c.settle()
		h.ran("lab/a", "do", 1)
		h.ran("lab/a", "message", 1, 2)
		// It was awake for its work, so it started at once.
		if started := awaitN(h, 2, in[*inspect.RoomStarted]("lab/a")); started[1].Generation != 2 || started[1].Cause != "reload" {
			t.Errorf("%+v", started[1])
		}
		if n := len(events[*inspect.Exception](h, nil)); n > 0 {
			t.Errorf("%d exceptions", n)
		}
	})
}

func TestReloadLosesBackgroundWorkThatDoesNotEnd(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		c.send("background knock " + doors.at("never"))
		doors.knocked(t, "never")
		c.settle()
		h.reload(emulator.ReloadOptions{Limit: soon})
		c.send("echo waits meanwhile")
		c.want("waits meanwhile")
		c.settle()
		if e := await[*inspect.WorkLost](h, nil); e.Room != "lab/a" || fmt.Sprint(e.What) != "[WaitUntil]" {
			t.Errorf("%+v", e)
		}
		h.ran("lab/a", "message", 1, 2)
	})
}

func TestReloadStartsAtOnceWhatWasAwake(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("lab/timer", "after 1h log it rang")
		h.verb("lab/idle", "nop")
		open := h.dial("awake/open")
		h.dial("lab/sleeper")
		h.reload()
		for _, room := range []string{"lab/timer", "awake/open"} {
			if e := awaitN(h, 2, in[*inspect.RoomStarted](room))[1]; e.Generation != 2 || e.Cause != "reload" {
				t.Errorf("%s: %+v", room, e)
			}
		}
		h.advance(2 * time.Hour) // what was set by the old code has gone with it
		if n := len(h.logs("lab/timer", "it rang")); n > 0 {
			t.Error("the old code's timer rang")
		}
		if n := h.starts("lab/idle") + h.starts("lab/sleeper"); n != 2 {
			t.Errorf("rooms that nothing kept awake started %d times", n)
		}
		if got := open.ask("list"); got != "["+open.id+"]" {
			t.Error(got)
		}
	})
}

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

func TestReloadKeepsProps(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("lab/b", "stub-props a parent")
		h.reload()
		if got := h.verb("lab/a", "props"); got != "map[from:parent]" {
			t.Error(got)
		}
	})
}

func TestReloadWhileRoomsCallRooms(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		h.verb("lab/b", "nop")
		c.send("both knock " + doors.at("a") + "; ask b echo from b")
		doors.knocked(t, "a")
		h.reload()
		doors.unlock("a")
		c.want("came in", "from b") // the old code of a calls the new code of b
		h.turns("lab/b", "call", 1)
		h.ran("lab/b", "call", 2)
		c.settle()
		h.ran("lab/a", "message", 1)
	})
}

func TestReloadRefusesAClassThatIsGone(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c := h.dial("bare/a")
		d := h.dial("lab/a")
		err := h.Reload(t.Context(), h.program("renamed"), emulator.ReloadOptions{})
		if err == nil || !strings.Contains(err.Error(), `no class bound to "Bare" (1 connection)`) {
			t.Fatalf("%v", err)
		}
		if got := h.Generation(); got != 1 {
			t.Errorf("generation %d", got)
		}
		if e := await[*inspect.ReloadFailed](h, nil); e.Generation != 1 || e.Reason != err.Error() {
			t.Errorf("%+v", e)
		}
		if got := d.ask("echo x"); got != "x" {
			t.Error(got)
		}
		h.ran("lab/a", "message", 1)
		c.close(1000, "")
		await(h, in[*inspect.ConnectionClosed]("bare/a"))
		if err := h.Reload(t.Context(), h.program("renamed"), emulator.ReloadOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := h.Generation(); got != 2 { // the refused one took no number
			t.Errorf("generation %d", got)
		}
		if resp := h.get("/parties/bare/a"); resp.status != http.StatusBadRequest {
			t.Errorf("%d %s", resp.status, resp.body)
		}
		if got := h.verb("fresh/a", "echo new"); got != "new" {
			t.Error(got)
		}
		if got := d.ask("echo y"); got != "y" {
			t.Error(got)
		}
	})
}

func TestReloadAsADeployCutsConnections(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		c, d := h.dial("lab/a"), h.dial("awake/b")
		h.reload(emulator.ReloadOptions{Disconnect: true})
		c.closed(1006, "")
		d.closed(1006, "")
		if e := await[*inspect.Swapped](h, nil); e.Cut != 2 || e.From != 1 || e.Generation != 2 {
			t.Errorf("%+v", e)
		}
		if got := h.dial("lab/a").ask("list"); strings.Contains(got, c.id+" ") {
			t.Error(got)
		}
	})
}

func TestReloadOfCodeThatDoesNotStart(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		for app, want := range map[string]string{
			"exits": "out of luck", "returns": "without calling party.Main", "wrong app": "", "wrong hello": "LAB", "another version": "protocol",
		} {
			err := h.Reload(t.Context(), h.program(app), emulator.ReloadOptions{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", app, err)
			}
		}
		if got := c.ask("echo x"); got != "x" || h.Generation() != 1 {
			t.Errorf("%s, generation %d", got, h.Generation())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Reload(ctx, h.program("silent"), emulator.ReloadOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		h.reload()
		if got := c.ask("echo y"); got != "y" || h.Generation() != 2 {
			t.Errorf("%s, generation %d", got, h.Generation())
		}
	})
}

func TestACrashAfterAReloadStartsTheNewestCode(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		if err := h.Reload(t.Context(), h.program("renamed"), emulator.ReloadOptions{}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := h.Crash(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := c.ask("echo x"); got != "x" {
				t.Error(got)
			}
			if got := h.verb("fresh/a", "echo x"); got != "x" {
				t.Error(got)
			}
		}
		if got := h.Generation(); got != 2 {
			t.Errorf("generation %d", got)
		}
		h.reload()
		if got := c.ask("echo x"); got != "x" || h.Generation() != 3 {
			t.Errorf("%s, generation %d", got, h.Generation())
		}
	})
}

func TestACrashOfOldCodeThatIsLeaving(t *testing.T) {
	needsProcess(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c, d := h.dial("lab/a"), h.dial("awake/b")
		pid := await[*inspect.GenerationStarted](h, nil).PID
		for i, c := range []*client{c, d} {
			c.send("knock " + doors.at(fmt.Sprint(i)))
			doors.knocked(t, fmt.Sprint(i))
			c.send("echo behind")
			c.barrier()
		}
		h.reload()
		p, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		c.want("behind") // only the turns that ran are lost, and no connection
		d.want("behind")
		c.settle()
		d.settle()
		if e := await[*inspect.Crash](h, nil); e.Generation != 1 || e.Turns != 2 || e.Cut != 0 || e.Restarts {
			t.Errorf("%+v", e)
		}
		h.ran("lab/a", "message", 2)
		h.ran("awake/b", "message", 2)
		if got := h.Generation(); got != 2 {
			t.Errorf("generation %d", got)
		}
	})
}

func TestReloadGoesBeforeStartingBrokenCodeAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broken")
	needsProcess(t, func(t *testing.T, h *harness) {
		c := h.dial("lab/a")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := h.Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitN[*inspect.GenerationFailed](h, 2, nil)
		c.send("echo waits")
		if err := h.Reload(t.Context(), h.program("lab"), emulator.ReloadOptions{}); err != nil {
			t.Fatal(err)
		}
		c.want("waits")
		c.settle()
		h.ran("lab/a", "message", 2)
	}, func(s *setup) {
		s.app = "flaky"
		s.env = []string{fileVariable + "=" + file}
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

func TestReloadWhileAlarmsRun(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.verb("keeper/a", "alarm in 1m")
		c := h.dial("keeper/a")
		h.reload()
		h.advance(time.Minute)
		contains(t, c.recv(), "alarm 0 false")
		h.turns("keeper/a", "alarm", 1)
		h.ran("keeper/a", "alarm", 2)
	}, keeper)
}

func TestCloseDuringAReload(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		doors := newDoors(t)
		c := h.dial("lab/a")
		c.send("knock " + doors.at("never"))
		doors.knocked(t, "never")
		h.reload()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Close(ctx); err != nil { // the harness fails where something is left
			t.Error(err)
		}
		if err := h.Reload(t.Context(), h.loader, emulator.ReloadOptions{}); err == nil {
			t.Error("a closed emulator reloads")
		}
	})
}
