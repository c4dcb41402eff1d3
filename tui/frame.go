package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// frame is one picture of the dashboard, and what a click in it means.
type frame struct {
	w, h   int
	lines  []string
	zones  []zone
	cursor *tea.Cursor
}

// zone is a part of the frame that answers the mouse.
type zone struct {
	x, y, w, h int
	click      func(m *model) tea.Cmd
	wheel      func(m *model, by int) tea.Cmd
}

// clicked is the message for a zone that was hit.
type clicked struct {
	do func(m *model) tea.Cmd
}

func (m *model) click(c clicked) tea.Cmd { return c.do(m) }

func newFrame(w, h int) *frame { return &frame{w: w, h: h, lines: make([]string, h)} }

// String is the frame as the terminal gets it.
func (f *frame) String() string { return strings.Join(f.lines, "\n") }

// wheelStep is how far one notch of a wheel goes.
const wheelStep = 3

// mouse finds what an event of the mouse means.
func (f *frame) mouse(msg tea.MouseMsg) tea.Cmd {
	at := msg.Mouse()
	for i := len(f.zones) - 1; i >= 0; i-- {
		z := f.zones[i]
		if at.X < z.x || at.X >= z.x+z.w || at.Y < z.y || at.Y >= z.y+z.h {
			continue
		}
		var do func(m *model) tea.Cmd
		switch msg := msg.(type) {
		case tea.MouseClickMsg:
			if at.Button == tea.MouseLeft {
				do = z.click
			}
		case tea.MouseWheelMsg:
			by := 0
			switch msg.Button {
			case tea.MouseWheelUp:
				by = -wheelStep
			case tea.MouseWheelDown:
				by = wheelStep
			}
			if z.wheel != nil && by != 0 {
				do = func(m *model) tea.Cmd { return z.wheel(m, by) }
			}
		}
		if do != nil {
			return func() tea.Msg { return clicked{do} }
		}
	}
	return nil
}

// area is a rectangle of a frame that is filled from above. Areas beside each
// other are drawn from left to right, each to its end.
type area struct {
	f          *frame
	x, y, w, h int
	n          int // lines drawn
}

func (f *frame) area(x, y, w, h int) *area { return &area{f: f, x: x, y: y, w: w, h: max(h, 0)} }

// put draws a line, which must have the width of the area.
func (a *area) put(s string) {
	if a.n >= a.h {
		return
	}
	a.f.lines[a.y+a.n] += s
	a.n++
}

// blank draws an empty line.
func (a *area) blank() { a.put(spaces(a.w)) }

// rest fills the area.
func (a *area) rest() {
	for a.n < a.h {
		a.blank()
	}
}

func (a *area) left() int { return a.h - a.n }

// part takes the next h lines as an area of its own.
func (a *area) part(h int) *area {
	h = max(min(h, a.left()), 0)
	p := a.f.area(a.x, a.y+a.n, a.w, h)
	a.n += h
	return p
}

// on says what a click on the last line does, from cell x on.
func (a *area) on(x, w int, do func(m *model) tea.Cmd) {
	if a.n > 0 && do != nil {
		a.f.zones = append(a.f.zones, zone{x: a.x + x, y: a.y + a.n - 1, w: w, h: 1, click: do})
	}
}

// scroll says what the wheel does over the area.
func (a *area) scroll(do func(m *model, by int) tea.Cmd) {
	a.f.zones = append(a.f.zones, zone{x: a.x, y: a.y, w: a.w, h: a.h, wheel: do})
}

// cover draws lines over what is there, and takes the mouse from it.
func (f *frame) cover(x, y, w int, lines []string) {
	for i, s := range lines {
		if y+i < 0 || y+i >= f.h {
			continue
		}
		under := f.lines[y+i]
		right := ansi.TruncateLeft(under, x+w, "")
		if over := width(right) - (f.w - x - w); over > 0 { // half of a wide sign is covered
			right = spaces(1) + ansi.TruncateLeft(under, x+w+1, "")
		}
		f.lines[y+i] = pad(ansi.Truncate(under, x, ""), x) + s + right
	}
	f.zones = append(f.zones, zone{x: 0, y: 0, w: f.w, h: f.h, click: func(m *model) tea.Cmd { return m.closeOver() }},
		zone{x: x, y: y, w: w, h: len(lines), click: func(*model) tea.Cmd { return nil }})
}

// fact is something short to know. Where there is no room for all, those with
// the greatest drop are left out first.
type fact struct {
	value
	drop int
}

// facts writes what fits of them into w cells, and returns the width it took.
func (l *line) facts(all []fact, w int, between string) {
	left := make([]fact, 0, len(all))
	for _, f := range all {
		if f.text != "" {
			left = append(left, f)
		}
	}
	for len(left) > 0 && factsWidth(left, between) > w {
		worst := 0
		for i, f := range left {
			if f.drop > left[worst].drop || f.drop == left[worst].drop && i > worst {
				worst = i
			}
		}
		if left[worst].drop == 0 {
			break // it is clipped
		}
		left = append(left[:worst:worst], left[worst+1:]...)
	}
	for i, f := range left {
		if i > 0 {
			l.add(plain, between)
			w -= width(between)
		}
		l.add(f.role, clip(f.text, w, ""))
		w -= width(f.text)
		for _, m := range f.more {
			l.add(m.role, clip(m.text, w, ""))
			w -= width(m.text)
		}
	}
}

func factsWidth(all []fact, between string) int {
	n := 0
	for i, f := range all {
		if i > 0 {
			n += width(between)
		}
		n += width(f.text)
		for _, m := range f.more {
			n += width(m.text)
		}
	}
	return n
}
