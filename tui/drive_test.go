package tui

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// driver runs a dashboard as Bubble Tea does, with time standing still until
// all is quiet.
type driver struct {
	t    *testing.T
	m    *model
	msgs chan tea.Msg
	quit bool
	copy string
}

// drive runs a test of the dashboard on an emulator.
func drive(t *testing.T, f *fake, w, h int, test func(d *driver)) {
	t.Helper()
	driveWith(t, Options{Name: "chat"}, func() *fake { return f }, w, h, test)
}

// driveSample runs one on what sample shows; its times begin within the test.
func driveSample(t *testing.T, w, h int, test func(d *driver, f *fake)) {
	t.Helper()
	var f *fake
	driveWith(t, Options{Name: "chat"}, func() *fake { f = sample(); return f }, w, h, func(d *driver) { test(d, f) })
}

func driveWith(t *testing.T, o Options, make_ func() *fake, w, h int, test func(d *driver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		o.Emulator = make_()
		d := &driver{t: t, m: newModel(ctx, o), msgs: make(chan tea.Msg, 10000)}
		defer func() {
			cancel()
			d.m.close()
			time.Sleep(time.Minute) // for what still ticks
			synctest.Wait()
		}()
		d.run(d.m.Init())
		d.send(tea.WindowSizeMsg{Width: w, Height: h})
		test(d)
	})
}

// run runs a command as Bubble Tea does.
func (d *driver) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go func() {
		switch msg := cmd().(type) {
		case nil:
		case tea.BatchMsg:
			for _, c := range msg {
				d.run(c)
			}
		default:
			d.msgs <- msg
		}
	}()
}

// send hands the dashboard a message and lets everything come to rest.
func (d *driver) send(msg tea.Msg) {
	d.t.Helper()
	d.update(msg)
	d.settle()
}

func (d *driver) update(msg tea.Msg) {
	switch msg := msg.(type) {
	case tea.QuitMsg:
		d.quit = true
		return
	default:
		if s := textOf(msg); s != "" { // what goes to the clipboard
			d.copy = s
			return
		}
	}
	_, cmd := d.m.Update(msg)
	d.run(cmd)
}

// textOf is the text of a message that is one.
func textOf(msg tea.Msg) string {
	copied := tea.SetClipboard("x")()
	if sameType(msg, copied) {
		return stringOf(msg)
	}
	return ""
}

func (d *driver) settle() {
	for {
		synctest.Wait()
		select {
		case msg := <-d.msgs:
			d.update(msg)
		default:
			d.m.View()
			return
		}
	}
}

// pass lets time go by.
func (d *driver) pass(by time.Duration) {
	for by > 0 {
		step := min(by, 50*time.Millisecond)
		time.Sleep(step)
		d.settle()
		by -= step
	}
}

// press presses keys, which are separated by spaces.
func (d *driver) press(keys string) {
	d.t.Helper()
	for _, k := range strings.Fields(keys) {
		d.send(keyOf(k))
	}
}

// text types a text.
func (d *driver) text(s string) {
	d.t.Helper()
	for _, r := range s {
		d.send(tea.KeyPressMsg{Code: r, Text: string(r)})
	}
}

// keyOf makes the message for a key by its name.
func keyOf(name string) tea.KeyPressMsg {
	special := map[string]rune{
		"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight,
		"pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd, "backspace": tea.KeyBackspace,
	}
	if name == "space" {
		return tea.KeyPressMsg{Code: ' ', Text: " "}
	}
	if r, ok := strings.CutPrefix(name, "ctrl+"); ok {
		return tea.KeyPressMsg{Code: rune(r[0]), Mod: tea.ModCtrl}
	}
	if r, ok := strings.CutPrefix(name, "shift+"); ok {
		return tea.KeyPressMsg{Code: special[r], Mod: tea.ModShift}
	}
	if r, ok := special[name]; ok {
		return tea.KeyPressMsg{Code: r}
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

// screen is what is seen, without colours.
func (d *driver) screen() string {
	lines := strings.Split(ansi.Strip(d.m.draw().String()), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// sees fails unless all texts are on the screen.
func (d *driver) sees(texts ...string) {
	d.t.Helper()
	screen := d.screen()
	for _, s := range texts {
		if !strings.Contains(screen, s) {
			d.t.Fatalf("the screen lacks %q:\n%s", s, screen)
		}
	}
}

// lacks fails if one of the texts is on the screen.
func (d *driver) lacks(texts ...string) {
	d.t.Helper()
	screen := d.screen()
	for _, s := range texts {
		if strings.Contains(screen, s) {
			d.t.Fatalf("the screen has %q:\n%s", s, screen)
		}
	}
}
