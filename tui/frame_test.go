package tui

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"

	"github.com/goparty/party/emulator/inspect"
)

// places are keys that lead to each page, tab and overlay.
var places = []string{
	"", "/ r o", "o o o", "X", ":", "?", "t", "S", "L", "L enter", "B", "n",
	"enter", "enter 1 up enter", "enter 2", "enter 2 enter", "enter 3", "enter 3 enter", "enter 3 right", "enter 3 i", "down down down enter 4", "enter 5 enter", "enter 6",
}

// rich adds to what sample shows what is hard to draw.
func rich(f *fake) {
	now := time.Now().UTC()
	f.snap.Rooms = append(f.snap.Rooms,
		inspect.Room{Room: "chat/日本語の部屋がここにあります", State: inspect.Running, Connections: 1 << 20, Size: 1 << 40, LastError: "エラー: 見つかりません 👩‍👩‍👧‍👦 e\u0301", Waiting: 12345,
			Traffic: inspect.Traffic{In: 1 << 60}, Alarm: &inspect.Alarm{Due: now.Add(1e6 * time.Hour)}},
		inspect.Room{Room: "chat/" + strings.Repeat("long", 100), State: inspect.Starting, SleepsAt: now.Add(time.Second)},
		inspect.Room{Room: "chat/\x1b[31mred\x00\u202e", State: inspect.Reloading},
		inspect.Room{Room: "a", State: "unheard-of"},
	)
	f.details["chat/lobby"].Conns = append(f.details["chat/lobby"].Conns, inspect.Connection{
		ID: "日本" + strings.Repeat("x", 200), URI: "ws://x/\x1b]0;t\x07", Tags: []string{"部", "屋"}, State: json.RawMessage(`{"a":["👩‍👩‍👧‍👦",null,{"b":{}}]}`), Opened: now.Add(-1e6 * time.Hour), Delay: time.Second,
	})
	var many []inspect.Table
	for i := range 40 {
		many = append(many, inspect.Table{Name: fmt.Sprintf("table %d \"日本\"", i), Rows: int64(i)})
	}
	f.details["chat/lobby"].Tables = append(f.details["chat/lobby"].Tables, many...)
}

func TestEveryFrameFillsItsTerminal(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 3 * len(places) {
		keys := places[i%len(places)]
		ascii := i%2 == 1
		t.Run(fmt.Sprintf("%d %s", i, keys), func(t *testing.T) {
			var f *fake
			driveWith(t, Options{Name: "日本", ASCII: ascii}, func() *fake { f = sample(); rich(f); return f }, 80, 24, func(d *driver) {
				f.happen(story()...)
				f.happen(&inspect.MessageIn{Header: at(200, "chat/lobby", 0), Connection: "部屋", Payload: inspect.NewPayload(false, []byte("日本 👩‍👩‍👧‍👦 \x1b[31m \u202e e\u0301 \xff"))},
					&inspect.Log{Header: at(201, "chat/日本語", 0), Level: "ERROR", Text: strings.Repeat("日本語", 300)})
				d.pass(time.Second)
				d.press(keys)
				for range 12 {
					w, h := random.IntN(260)+1, random.IntN(70)+1
					d.m.Update(tea.WindowSizeMsg{Width: w, Height: h})
					frame := d.m.draw()
					if len(frame.lines) != h {
						t.Fatalf("%d×%d: %d lines", w, h, len(frame.lines))
					}
					for y, line := range frame.lines {
						if got := ansi.StringWidth(line); got != w {
							t.Fatalf("%d×%d: line %d has %d cells: %q", w, h, y, got, ansi.Strip(line))
						}
					}
					if c := frame.cursor; c != nil && (c.X < 0 || c.X >= w || c.Y < 0 || c.Y >= h) {
						t.Fatalf("%d×%d: the cursor is at %d, %d", w, h, c.X, c.Y)
					}
				}
			})
		})
	}
}

func TestASCIIDrawsNothingElse(t *testing.T) {
	var f *fake
	for _, keys := range places {
		driveWith(t, Options{Name: "chat", ASCII: true}, func() *fake { f = sample(); return f }, 120, 36, func(d *driver) {
			f.happen(story()...)
			d.pass(time.Second)
			d.press(keys)
			for _, r := range d.screen() {
				if r > 0x7e {
					t.Fatalf("after %q there is %q on the screen:\n%s", keys, r, d.screen())
				}
			}
		})
	}
}

func TestColours(t *testing.T) {
	sgr := regexp.MustCompile(`\x1b\[([0-9;:]*)m`)
	// codes lists what a frame does with the terminal's style.
	codes := func(profile colorprofile.Profile, dark bool) map[string]bool {
		found := map[string]bool{}
		driveSample(t, 120, 36, func(d *driver, f *fake) {
			f.happen(story()...)
			d.pass(time.Second)
			d.send(tea.ColorProfileMsg{Profile: profile})
			d.m.theme.dark = dark
			d.m.restyle()
			for _, m := range sgr.FindAllStringSubmatch(d.m.draw().String(), -1) {
				found[m[1]] = true
			}
		})
		return found
	}
	for c := range codes(colorprofile.ASCII, true) {
		if !map[string]bool{"": true, "1": true, "2": true, "7": true}[c] {
			t.Errorf("without colour there is style %q", c)
		}
	}
	if c := codes(colorprofile.ASCII, true); !c["7"] {
		t.Error("without colour nothing shows the chosen row but its sign")
	}
	for c := range codes(colorprofile.ANSI, true) {
		if strings.Contains(c, "38") || strings.Contains(c, "48") {
			t.Errorf("with 16 colours there is style %q", c)
		}
	}
	if fmt.Sprint(codes(colorprofile.TrueColor, true)) == fmt.Sprint(codes(colorprofile.TrueColor, false)) {
		t.Error("light and dark terminals look the same")
	}
}

// mouse sends an event of the mouse as Bubble Tea does.
func (d *driver) mouse(msg tea.MouseMsg) {
	d.t.Helper()
	cmd := d.m.View().OnMouse(msg)
	d.run(cmd)
	d.settle()
}

// click clicks on a text.
func (d *driver) click(text string) {
	d.t.Helper()
	for y, line := range strings.Split(d.screen(), "\n") {
		if x, _, ok := strings.Cut(line, text); ok {
			d.mouse(tea.MouseClickMsg{X: ansi.StringWidth(x), Y: y, Button: tea.MouseLeft})
			return
		}
	}
	d.t.Fatalf("there is no %q to click on:\n%s", text, d.screen())
}

func TestTheMouse(t *testing.T) {
	driveSample(t, 120, 30, func(d *driver, f *fake) {
		f.happen(story()...)
		d.pass(time.Second)
		d.click("reminder/ada")
		d.sees("▌ reminder/ada")
		d.click("reminder/ada")
		d.sees("‹ reminder/ada", "1 Messages")
		d.click("4 Alarm")
		d.sees("fires")
		d.click("‹ reminder/ada")
		d.sees("6 rooms")
		d.click("Conns")
		d.sees("Conns ▾")
		d.mouse(tea.MouseWheelMsg{X: 10, Y: 6, Button: tea.MouseWheelDown})
		d.lacks("▌ reminder/ada")
		d.click("h hibernate")
		if len(f.asked) != 1 {
			t.Errorf("asked: %q", f.asked)
		}
		d.click(": commands")
		d.sees("Commands")
		d.click("evict")
		if len(f.asked) != 2 || !strings.HasPrefix(f.asked[1], "evict ") {
			t.Errorf("asked: %q", f.asked)
		}
		d.press("X")
		d.mouse(tea.MouseClickMsg{X: 1, Y: 1, Button: tea.MouseLeft}) // beside it
		d.lacks("There is no way back")
		d.press("M")
		if v := d.m.View(); v.MouseMode != tea.MouseModeNone || v.OnMouse != nil {
			t.Error("the mouse is not released")
		}
		d.sees("mouse released")
		d.press("M")
		if v := d.m.View(); v.MouseMode == tea.MouseModeNone {
			t.Error("the mouse is not taken back")
		}
	})
}
