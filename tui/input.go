package tui

import (
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
)

// input is a line that is being typed, at the bottom of the screen.
type input struct {
	label   string
	hint    string // while it is empty
	field   textinput.Model
	offered bool // what stands there is a proposal: typing replaces it, any other key keeps it to be changed
	past    *past
	changed func(m *model, text string)
	enter   func(m *model, text string) tea.Cmd // nil: closes it
	escape  func(m *model) tea.Cmd
	stays   bool  // it is not closed by enter
	scope   scope // of its own keys
}

// ask opens a line to type in.
func (m *model) ask(in input, text string) tea.Cmd {
	f := textinput.New()
	f.Prompt = ""
	f.SetVirtualCursor(false)
	f.SetStyles(textinput.Styles{})
	f.SetValue(text)
	f.CursorEnd()
	cmd := f.Focus()
	in.field = f
	m.input = &in
	return cmd
}

// inputKey handles a key while something is typed. handled: it was no text.
func (m *model) inputKey(msg tea.KeyPressMsg) tea.Cmd {
	in := m.input
	switch msg.String() {
	case "enter":
		text := in.field.Value()
		if in.past != nil {
			in.past.add(text)
		}
		if in.stays {
			in.field.Reset()
		} else {
			m.input = nil
		}
		if in.enter == nil {
			return nil
		}
		return in.enter(m, text)
	case "esc":
		m.input = nil
		if in.escape == nil {
			return nil
		}
		return in.escape(m)
	case "up", "down":
		if in.past == nil {
			break
		}
		by := -1
		if msg.String() == "down" {
			by = 1
		}
		in.offered = false
		in.field.SetValue(in.past.step(by, in.field.Value()))
		in.field.CursorEnd()
		return nil
	}
	if cmd, ok := m.pressed(msg, in.scope); ok {
		return cmd
	}
	return m.inputUpdate(msg)
}

// inputUpdate lets the field take a key or what was pasted.
func (m *model) inputUpdate(msg tea.Msg) tea.Cmd {
	in := m.input
	was := in.field.Value()
	if in.offered {
		in.offered = false
		key, pressed := msg.(tea.KeyPressMsg)
		_, pasted := msg.(tea.PasteMsg)
		if pressed && key.Text != "" || pasted {
			in.field.Reset()
		}
	}
	var cmd tea.Cmd
	in.field, cmd = in.field.Update(msg)
	if now := in.field.Value(); now != was && in.changed != nil {
		in.changed(m, now)
	}
	return cmd
}

func (m *model) paste(msg tea.PasteMsg) tea.Cmd {
	if len(m.overs) > 0 {
		return m.overs[len(m.overs)-1].paste(m, msg)
	}
	if m.input == nil {
		return nil
	}
	return m.inputUpdate(msg)
}

// drawInput draws the line with its cursor.
func (m *model) drawInput(a *area, in *input) {
	t := m.th
	l := t.line().add(plain, " ").add(accent, in.label).add(dim, " "+t.input+" ")
	at := l.w
	room := a.w - at - 1
	in.field.SetWidth(max(room-1, 1))
	if in.field.Value() == "" && in.hint != "" {
		l.add(dim, clip(in.hint, room, t.dots))
	} else if in.offered {
		l.add(accent, in.field.View())
	} else {
		l.add(plain, in.field.View())
	}
	y := a.y + a.n
	a.put(l.end(a.w))
	if c := in.field.Cursor(); c != nil {
		a.f.cursor = tea.NewCursor(min(a.x+at+c.X, a.f.w-1), y)
		a.f.cursor.Blink = false
	}
}

// past is what was typed before.
type past struct {
	lines []string
	at    int
	draft string
}

const pastKept = 200

func (p *past) add(s string) {
	if s != "" && (len(p.lines) == 0 || p.lines[len(p.lines)-1] != s) {
		p.lines = append(p.lines, s)
		if len(p.lines) > pastKept {
			p.lines = p.lines[1:]
		}
	}
	p.at, p.draft = len(p.lines), ""
}

// step goes back (-1) or forth in what was typed.
func (p *past) step(by int, now string) string {
	if p.at >= len(p.lines) {
		p.draft = now
	}
	p.at = max(0, min(p.at+by, len(p.lines)))
	if p.at == len(p.lines) {
		return p.draft
	}
	return p.lines[p.at]
}
