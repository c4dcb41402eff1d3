package tui

import (
	"image/color"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"

	"github.com/goparty/party/emulator/inspect"
)

// role is what a piece of text is for. Colours are chosen by role alone, and
// none says what glyph or word does not say too.
type role int

const (
	plain   role = iota
	strong       // what the eye looks for: names, titles
	dim          // what is there to be read when needed
	faint        // rules, what holds no information of its own
	accent       // the product, what is chosen, keys
	good         // runs
	asleep       // hibernates
	warn         // wants attention
	bad          // failed
	inward       // from a client
	outward      // to a client
	roles
)

// paint is a style as what stands before and behind the text: styling a table
// is then no more than joining strings.
type paint struct{ open, close string }

func (p paint) text(s string) string {
	if s == "" {
		return ""
	}
	return p.open + s + p.close
}

// theme is how things look.
type theme struct {
	paints   [roles]paint
	selected [roles]paint // in the row that is chosen
	quiet    [roles]paint // in the row that is chosen where the keys go elsewhere
	glyphs
	profile colorprofile.Profile
	dark    bool
}

// glyphs are the signs. Each takes one cell, but those for pairs.
type glyphs struct {
	states                  map[string]string
	cursor                  string
	in, out                 string
	rule, thick             string
	bar, track              string
	dots                    string // something is left out
	yes, no, alert          string
	up, down                string
	next, back              string
	dot                     string // between facts
	bars                    []string
	spinner                 []string
	record                  string
	open, shut, input, wall string
}

var unicodeGlyphs = glyphs{
	states: map[string]string{
		inspect.Running: "●", inspect.Hibernated: "◐", inspect.Cold: "○",
		inspect.Starting: "◔", inspect.Reloading: "↻", inspect.Crashed: "✗",
	},
	cursor: "▌", in: "→", out: "←", rule: "─", thick: "━", bar: "━", track: "─", dots: "…",
	yes: "✓", no: "✗", alert: "!", up: "▴", down: "▾", next: "›", back: "‹", dot: "·",
	bars:    []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
	spinner: []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"},
	record:  "●", open: "●", shut: "○", input: "❯", wall: "│",
}

var asciiGlyphs = glyphs{
	states: map[string]string{
		inspect.Running: "*", inspect.Hibernated: "z", inspect.Cold: ".",
		inspect.Starting: "+", inspect.Reloading: "~", inspect.Crashed: "x",
	},
	cursor: ">", in: ">", out: "<", rule: "-", thick: "=", bar: "=", track: "-", dots: "~",
	yes: "+", no: "x", alert: "!", up: "^", down: "v", next: ">", back: "<", dot: "-",
	bars:    []string{" ", "_", ".", "-", "=", "+", "*", "#"},
	spinner: []string{"|", "/", "-", "\\"},
	record:  "*", open: "*", shut: ".", input: ">", wall: "|",
}

// newTheme chooses colours for a terminal. With 16 colours they are the
// terminal's own; with none, rows are chosen by reversing them.
func newTheme(profile colorprofile.Profile, dark, ascii bool) *theme {
	t := &theme{glyphs: unicodeGlyphs, profile: profile, dark: dark}
	if ascii {
		t.glyphs = asciiGlyphs
	}
	pick := func(light, darkHex string, basic int) color.Color {
		switch {
		case profile <= colorprofile.ASCII:
			return lipgloss.NoColor{}
		case profile <= colorprofile.ANSI:
			if basic < 0 {
				return lipgloss.NoColor{}
			}
			return ansi.BasicColor(basic) //nolint:gosec // small
		case dark:
			return lipgloss.Color(darkHex)
		}
		return lipgloss.Color(light)
	}
	colours := [roles]color.Color{
		plain:   lipgloss.NoColor{},
		strong:  lipgloss.NoColor{},
		dim:     pick("#656d76", "#8b949e", -1),
		faint:   pick("#c4cad1", "#3f4752", 8),
		accent:  pick("#7c3aed", "#b79cff", 5),
		good:    pick("#1a7f37", "#6fd08c", 2),
		asleep:  pick("#2f6fd0", "#79b0ff", 4),
		warn:    pick("#9a6700", "#e3b341", 3),
		bad:     pick("#cf222e", "#ff7b72", 1),
		inward:  pick("#0b7285", "#67d3e0", 6),
		outward: pick("#8250df", "#cba6f7", 5),
	}
	ground := pick("#e7ecf3", "#262c36", -1)
	weak := pick("#f0f3f7", "#1c2129", -1)
	basic := profile <= colorprofile.ANSI
	for r := range roles {
		s := lipgloss.NewStyle().Foreground(colours[r])
		if r == strong {
			s = s.Bold(true)
		}
		if basic && r == dim || profile <= colorprofile.ASCII && r == faint {
			s = s.Faint(true)
		}
		t.paints[r] = newPaint(s)
		if basic {
			// On a reversed row colours are hard to read: one style for all.
			t.selected[r] = newPaint(lipgloss.NewStyle().Reverse(true))
			t.quiet[r] = t.paints[r]
			continue
		}
		t.selected[r] = newPaint(s.Background(ground))
		t.quiet[r] = newPaint(s.Background(weak))
	}
	return t
}

func newPaint(s lipgloss.Style) paint {
	const mark = "x"
	before, after, _ := strings.Cut(s.Render(mark), mark)
	return paint{before, after}
}

// say paints a text.
func (t *theme) say(r role, s string) string { return t.paints[r].text(s) }

// stateRole is the colour of a room's state.
func stateRole(state string) role {
	switch state {
	case inspect.Running:
		return good
	case inspect.Hibernated:
		return asleep
	case inspect.Starting, inspect.Reloading:
		return warn
	case inspect.Crashed:
		return bad
	}
	return dim
}

func (t *theme) state(state string) string {
	if g, ok := t.states[state]; ok {
		return g
	}
	return t.alert
}

// animate is the spinner's frame for a time in milliseconds.
func (t *theme) animate(ms int64) string {
	return t.spinner[int(ms/120)%len(t.spinner)]
}

// line puts together a line of painted pieces and knows its width.
type line struct {
	paints *[roles]paint
	b      strings.Builder
	w      int
}

func (t *theme) line() *line { return &line{paints: &t.paints} }

// row is a line that may be chosen. focused: the keys move this cursor.
func (t *theme) row(chosen, focused bool) *line {
	switch {
	case chosen && focused:
		return &line{paints: &t.selected}
	case chosen:
		return &line{paints: &t.quiet}
	}
	return &line{paints: &t.paints}
}

// add writes s, which must be one line without escape sequences.
func (l *line) add(r role, s string) *line {
	if s == "" {
		return l
	}
	p := l.paints[r]
	l.b.WriteString(p.open)
	l.b.WriteString(s)
	l.b.WriteString(p.close)
	l.w += width(s)
	return l
}

// cell writes s in exactly w cells.
func (l *line) cell(r role, s string, w int, dots string) *line {
	return l.add(r, pad(clip(s, w, dots), w))
}

// right writes s in exactly w cells, at their right end.
func (l *line) right(r role, s string, w int, dots string) *line {
	s = clip(s, w, dots)
	return l.add(plain, spaces(w-width(s))).add(r, s)
}

// to fills up to a column.
func (l *line) to(w int) *line { return l.add(plain, spaces(w-l.w)) }

// end closes a line of w cells.
func (l *line) end(w int) string {
	if l.w > w {
		return ansiCut(l.b.String(), w)
	}
	return l.to(w).b.String()
}
