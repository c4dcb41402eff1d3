//go:build !partyplugin && !js

package party

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

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
	brokenCode(t, func(t *testing.T, h *harness, c *client, _ string) {
		awaitN[*inspect.GenerationFailed](h, 2, nil)
		c.send("echo waits")
		if err := h.Reload(t.Context(), h.program("lab"), emulator.ReloadOptions{}); err != nil {
			t.Fatal(err)
		}
		c.want("waits")
		c.settle()
		h.ran("lab/a", "message", 2)
	})
}
