package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

// logPane shows what the server wrote and logged, and what went wrong.
type logPane struct {
	list   list
	shown  []entry
	total  int // of the log when shown was made
	filter string
	least  level
	loose  bool // it does not follow what comes
	laid   bool
	scroll int
}

func logBindings() []binding {
	return []binding{
		{scope: inLog, keys: []string{"enter"}, name: "show-line", short: "show", foot: 1,
			help: "show all of the chosen line, such as a stack", run: func(m *model) tea.Cmd { m.log.laid, m.log.scroll = !m.log.laid, 0; return nil }},
		{scope: inLog, keys: []string{"/"}, name: "filter", short: "filter", foot: 2,
			help: "show only lines that have what is typed, also in the room's name", run: (*model).filterLog},
		{scope: inLog, keys: []string{"v"}, name: "level", short: "level", foot: 3,
			help: "show lines from the next level on: debug, info, warn, error", run: func(m *model) tea.Cmd {
				m.log.least = (m.log.least + 1) % level(len(levelNames))
				m.log.refresh(m)
				return nil
			}},
		{scope: inLog, keys: []string{"F"}, name: "follow", short: "follow", foot: 4,
			help: "follow what comes, or stay", run: func(m *model) tea.Cmd {
				m.log.loose = !m.log.loose
				m.log.refresh(m)
				return nil
			}},
		{scope: inLog, keys: []string{"y"}, name: "copy-line", short: "copy",
			help: "copy the chosen line with all that belongs to it", run: (*model).copyEntry},
		{scope: inLog, keys: []string{"esc", "backspace"}, name: "back", short: "back", foot: wayBack,
			help: "back; closes first what is laid out", run: func(m *model) tea.Cmd {
				if m.log.laid {
					m.log.laid = false
				} else {
					m.back()
				}
				return nil
			}},
	}
}

func (m *model) filterLog() tea.Cmd {
	set := func(m *model, text string) {
		m.log.filter = text
		m.log.refresh(m)
	}
	return m.ask(input{label: "filter", hint: "part of a line, or of a room's name", changed: set,
		escape: func(m *model) tea.Cmd { set(m, ""); return nil }}, m.log.filter)
}

func (m *model) copyEntry() tea.Cmd {
	p := &m.log
	if p.list.at >= len(p.shown) {
		return m.copy("", "")
	}
	e := p.shown[p.list.at]
	text := e.text
	if e.rest != "" {
		text += "\n" + e.rest
	}
	return m.copy(text, text)
}

// any reports whether there is something to show.
func (p *logPane) any(m *model) bool { return m.store.logs.len() > 0 }

// refresh looks again for what is to be shown. Where it does not follow, the
// cursor stays on its line.
func (p *logPane) refresh(m *model) {
	var seq uint64
	if p.list.at < len(p.shown) {
		seq = p.shown[p.list.at].Seq
	}
	words := strings.Fields(strings.ToLower(p.filter))
	p.shown = p.shown[:0]
	at := -1
next:
	for i := range m.store.logs.len() {
		e := m.store.logs.get(i)
		if e.level < p.least {
			continue
		}
		for _, w := range words {
			if !strings.Contains(strings.ToLower(e.Room), w) && !strings.Contains(strings.ToLower(e.text), w) {
				continue next
			}
		}
		if at < 0 && e.Seq >= seq {
			at = len(p.shown)
		}
		p.shown = append(p.shown, e)
	}
	p.list.at = max(at, 0)
	if !p.loose {
		p.list.at = len(p.shown) - 1
	}
	p.list.fit(len(p.shown), p.list.h)
}

func (p *logPane) moved() {
	p.scroll = 0
	p.loose = !p.list.last()
}

var logColumns = []column{
	{title: "Time", least: 12, drop: 3},
	{title: "Level", least: 5, drop: 2},
	{title: "Room", least: 10, grow: 1, most: 28, drop: 4},
	{title: "", least: 10, grow: 10},
}

// quietly is a level's colour; what is as usual has none.
func quietly(l level) role {
	if l == info {
		return dim
	}
	return l.role()
}

// row is one line of the log.
func (e entry) row(t *theme, l *line, widths []int) *line {
	text := value{role: e.level.role(), text: clean(e.text)}
	if e.level == info {
		text.role = plain
	}
	if e.rest != "" {
		text.more = []value{{role: dim, text: " " + t.dots}}
	}
	name := levelNames[e.level]
	if e.from != "" {
		name = e.from
	}
	return l.fields(logColumns, widths, []value{
		{role: dim, text: stamp(e.Time)}, {role: quietly(e.level), text: name}, {role: dim, text: clean(e.Room)}, text,
	}, t.dots)
}

// drawStrip draws the end of the log below the rooms.
func (p *logPane) drawStrip(m *model, a *area) {
	t := m.th
	a.put(t.title("log", "L opens it", a.w))
	a.on(0, a.w, func(m *model) tea.Cmd { m.visit(pageLog); return nil })
	widths := layout(logColumns, a.w-margin-1)
	n := len(p.shown)
	for i := max(0, n-a.left()); i < n; i++ {
		a.put(p.shown[i].row(t, t.line().add(plain, spaces(margin)), widths).end(a.w))
	}
	a.rest()
}

func (p *logPane) draw(m *model, a *area) {
	t := m.th
	note := "from " + levelNames[p.least] + " on"
	if p.filter != "" {
		note = "with \"" + clean(p.filter) + "\", " + note
	}
	if p.loose {
		note += ", stays; F follows"
	} else {
		note += ", follows"
	}
	a.put(t.title("log", note, a.w))
	body := a.part(a.left())
	main := body
	var side *area
	if p.laid {
		h := min(max(body.h/2, 1), body.h)
		main, side = body.part(body.h-h), body.f.area(body.x, body.y+body.h-h, body.w, h)
	}
	main.scroll(func(m *model, by int) tea.Cmd { return m.moveBy(by) })
	widths := layout(logColumns, main.w-margin-1)
	main.put(t.heads(logColumns, widths, main.w, -1, ""))
	p.list.fit(len(p.shown), main.left())
	if len(p.shown) == 0 {
		text := "nothing was written or logged since this dashboard looks"
		if m.store.logs.len() > 0 {
			text = "no line is like that; esc or v shows others"
		}
		main.put(t.line().add(plain, spaces(margin)).add(dim, text).end(main.w))
	}
	for i := p.list.top; i < min(p.list.top+p.list.h, len(p.shown)); i++ {
		l := t.begin(i == p.list.at, m.input == nil)
		main.put(p.shown[i].row(t, l, widths).end(main.w))
		main.on(0, main.w, func(m *model) tea.Cmd {
			if p.list.at == i {
				p.laid, p.scroll = !p.laid, 0
				return nil
			}
			return m.moveBy(i - p.list.at)
		})
	}
	main.rest()
	if side != nil {
		title, lines := p.lay(m, side.w-3)
		p.scroll = drawDetail(m, side, false, title, lines, p.scroll)
		side.scroll(func(m *model, by int) tea.Cmd { m.scrollDetail(by); return nil })
	}
	body.n = body.h
}

func (p *logPane) lay(m *model, w int) (string, []string) {
	if p.list.at >= len(p.shown) {
		return "line", nil
	}
	e := p.shown[p.list.at]
	text := e.text
	if e.rest != "" {
		text += "\n" + e.rest
	}
	title := levelNames[e.level]
	if e.Room != "" {
		title += " " + m.th.dot + " " + clean(e.Room)
	}
	return title, lay(m.th, text, w)
}
