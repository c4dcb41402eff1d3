//go:build !partyplugin && !js

package party

import (
	"strings"
	"testing"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

// reload lets the same program take over as the next generation.
func (h *harness) reload(o ...emulator.ReloadOptions) {
	h.t.Helper()
	var options emulator.ReloadOptions
	for _, o := range o {
		options = o
	}
	if err := h.Reload(h.t.Context(), h.loader, options); err != nil {
		h.t.Fatalf("reload: %v", err)
	}
}

// retired waits until a generation has ended.
func (h *harness) retired(generation uint64) {
	h.t.Helper()
	await(h, func(e *inspect.Retired) bool { return e.Generation == generation })
}

// generation is that of a room's last turn.
func (h *harness) generation(room string) uint64 {
	turns := events(h, in[*inspect.Turn](room))
	if len(turns) == 0 {
		return 0
	}
	return turns[len(turns)-1].Generation
}

func TestReloadKeepsConnections(t *testing.T) {
	for _, room := range []string{"lab/a", "awake/a"} {
		t.Run(room, func(t *testing.T) {
			conform(t, func(t *testing.T, h *harness) {
				c := h.dial(room, id("one"), query("tag", "red"))
				d := h.dial(room, id("two"))
				c.do(`set {"n":1}`)
				c.want("ok")
				before := c.ask("me")
				h.reload()
				if got := c.ask("me"); got != before {
					t.Errorf("me is %s, was %s", got, before)
				}
				if got := c.ask("state"); got != `{"n":1}` {
					t.Errorf("state is %s", got)
				}
				if got := c.ask("list red"); got != "[one]" {
					t.Errorf("tagged: %s", got)
				}
				if got := d.ask("list"); got != "[one two]" {
					t.Errorf("connections: %s", got)
				}
				if got := d.ask("seen"); got != "5" && got != "4" {
					t.Logf("seen %s", got)
				}
				last := events(h, in[*inspect.Turn](strings.Replace(room, "/", "/", 1)))
				if g := last[len(last)-1].Generation; g != 2 || h.Generation() != 2 {
					t.Errorf("generation %d, the emulator says %d", g, h.Generation())
				}
			})
		})
	}
}
