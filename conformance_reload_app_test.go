//go:build !partyplugin && !js

package party

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	for name, verb := range map[string]verb{
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
