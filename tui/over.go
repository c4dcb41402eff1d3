package tui

import (
	"slices"
	"strings"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
)

// overlay is something above the page that has the keys.
type overlay interface {
	key(m *model, msg tea.KeyPressMsg) tea.Cmd
	paste(m *model, msg tea.PasteMsg) tea.Cmd
	draw(m *model, f *frame)
	asks() bool // it waits for an answer
}

func (m *model) closeOver() tea.Cmd {
	if n := len(m.overs); n > 0 {
		m.overs = m.overs[:n-1]
	}
	return nil
}

// confirmation asks before something that cannot be taken back.
type confirmation struct {
	role     role
	question string
	answer   string // what yes does
	yes      func(m *model) tea.Cmd
}

func (m *model) confirm(r role, question, answer string, yes func(m *model) tea.Cmd) {
	m.overs = append(m.overs, &confirmation{r, question, answer, yes})
}

func (c *confirmation) asks() bool { return true }

func (c *confirmation) paste(*model, tea.PasteMsg) tea.Cmd { return nil }

func (c *confirmation) key(m *model, msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "y", "Y":
		m.closeOver()
		return c.yes(m)
	case "n", "N", "esc", "q":
		m.closeOver()
	}
	return nil
}

// boxWidth is how wide a box may be on a frame.
func boxWidth(f *frame, most int) int {
	w := f.w - 4
	if f.w >= 80 {
		w = f.w - 8
	}
	return max(min(w, most), min(f.w, 20))
}

// box draws lines of w-4 cells with a border around them.
func (t *theme) box(title string, w int, body []string) []string {
	corner := []string{"╭", "╮", "╰", "╯"}
	if t.wall == asciiGlyphs.wall {
		corner = []string{"+", "+", "+", "+"}
	}
	head := t.line().add(faint, corner[0]+t.rule)
	if title != "" {
		head.add(plain, " ").add(strong, clip(title, w-6, t.dots)).add(plain, " ")
	}
	head.add(faint, strings.Repeat(t.rule, max(w-1-head.w, 0))+corner[1])
	out := []string{head.end(w)}
	for _, s := range body {
		out = append(out, t.say(faint, t.wall)+" "+s+" "+t.say(faint, t.wall))
	}
	return append(out, t.say(faint, corner[2]+strings.Repeat(t.rule, max(w-2, 0))+corner[3]))
}

func (c *confirmation) draw(m *model, f *frame) {
	t := m.th
	w := boxWidth(f, 66)
	var body []string
	lines := wrapped(c.question, w-4)
	if most := max(f.h-6, 1); len(lines) > most {
		lines = append(lines[:most-1], t.dots)
	}
	for _, s := range lines {
		body = append(body, t.line().add(plain, s).end(w-4))
	}
	body = append(body, spaces(w-4))
	l := t.line().add(c.role, "y").add(plain, " "+c.answer).add(plain, "   ").add(accent, "n").add(dim, " leave it")
	if l.w > w-4 {
		body = append(body, t.line().add(c.role, "y").add(plain, " "+clip(c.answer, w-6, t.dots)).end(w-4))
		l = t.line().add(accent, "n").add(dim, " leave it")
	}
	body = append(body, l.end(w-4))
	box := t.box("", w, body)
	y := max((f.h-len(box))/2, 0)
	f.cover((f.w-w)/2, y, w, box)
	f.zones = append(f.zones, zone{x: (f.w - w) / 2, y: y + len(box) - 2, w: w / 2, h: 1, click: func(m *model) tea.Cmd {
		m.closeOver()
		return c.yes(m)
	}})
}

// palette is all commands, found by typing.
type palette struct {
	field textinput.Model
	found []*binding
	list  list
}

func (m *model) openPalette() tea.Cmd {
	p := &palette{field: textinput.New()}
	p.field.Prompt = ""
	p.field.SetVirtualCursor(false)
	p.field.SetStyles(textinput.Styles{})
	cmd := p.field.Focus()
	p.search(m)
	m.overs = append(m.overs, p)
	return cmd
}

// search lists the commands of where one is that have what was typed; what
// begins with it comes first.
func (p *palette) search(m *model) {
	p.found = p.found[:0]
	words := strings.Fields(strings.ToLower(p.field.Value()))
	seen := map[string]bool{}
	for _, s := range m.scopes() {
	next:
		for i := range bindings() {
			b := &bindings()[i]
			if b.scope != s || b.name == "" || seen[b.name] {
				continue
			}
			for _, w := range words {
				if !strings.Contains(b.name+" "+strings.ToLower(b.help), w) {
					continue next
				}
			}
			seen[b.name] = true
			p.found = append(p.found, b)
		}
	}
	if len(words) > 0 {
		rank := func(b *binding) int {
			switch {
			case strings.HasPrefix(b.name, words[0]):
				return len(b.name)
			case strings.Contains(b.name, words[0]):
				return 100
			}
			return 200
		}
		slices.SortStableFunc(p.found, func(a, b *binding) int { return rank(a) - rank(b) })
	}
	p.list.at = 0
}

// elsewhere is a command of another place whose name begins with what was typed.
func (p *palette) elsewhere() (b *binding, where string) {
	typed := strings.ToLower(strings.TrimSpace(p.field.Value()))
	if typed == "" {
		return nil, ""
	}
	for _, s := range scopeTitles {
		for i := range bindings() {
			if b := &bindings()[i]; b.scope == s.scope && strings.HasPrefix(b.name, typed) {
				return b, s.title
			}
		}
	}
	return nil, ""
}

func (p *palette) asks() bool { return false }

func (p *palette) key(m *model, msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "esc":
		return m.closeOver()
	case "enter":
		return p.choose(m)
	case "up", "ctrl+p":
		p.list.move(-1)
		return nil
	case "down", "ctrl+n", "tab":
		p.list.move(1)
		return nil
	}
	return p.update(m, msg)
}

func (p *palette) choose(m *model) tea.Cmd {
	m.closeOver()
	if p.list.at >= len(p.found) {
		m.say(warn, "there is no command \""+clean(p.field.Value())+"\" here; ? lists all")
		return nil
	}
	return p.found[p.list.at].use(m)
}

func (p *palette) paste(m *model, msg tea.PasteMsg) tea.Cmd { return p.update(m, msg) }

func (p *palette) update(m *model, msg tea.Msg) tea.Cmd {
	was := p.field.Value()
	var cmd tea.Cmd
	p.field, cmd = p.field.Update(msg)
	if p.field.Value() != was {
		p.search(m)
	}
	return cmd
}

func (p *palette) draw(m *model, f *frame) {
	t := m.th
	w := boxWidth(f, 76)
	h := max(min(f.h-8, 16), 1)
	p.list.fit(len(p.found), h)
	inner := w - 4
	p.field.SetWidth(max(inner-4, 1))
	body := []string{t.line().add(accent, ":").add(plain, " "+p.field.View()).end(inner), spaces(inner)}
	name := 0
	for _, b := range p.found {
		name = max(name, len(b.name))
	}
	x, y := (f.w-w)/2, min(2, max(f.h-h-6, 0))
	var rows []zone
	for i := p.list.top; i < min(p.list.top+h, len(p.found)); i++ {
		b := p.found[i]
		l := t.row(i == p.list.at, true)
		if i == p.list.at {
			l.add(accent, t.cursor)
		}
		l.to(1)
		why, main := b.reason(m), plain
		if why != "" {
			main = dim
		}
		l.cell(main, b.name, name, t.dots).add(plain, "  ")
		key := ""
		if len(b.keys) > 0 {
			key = b.footKey()
		}
		text, r := b.help, dim
		if why != "" {
			text, r = why, warn
		}
		space := inner - l.w - 8
		if space < 12 {
			space = inner - l.w - 1
			key = ""
		}
		l.cell(r, text, space, t.dots)
		if key != "" {
			l.right(accent, key, inner-l.w-1, "")
		}
		body = append(body, l.end(inner))
		rows = append(rows, zone{x: x, y: y + 2 + i - p.list.top + 1, w: w, h: 1, click: func(m *model) tea.Cmd {
			p.list.at = i
			return p.choose(m)
		}})
	}
	if len(p.found) == 0 {
		text := "no command has this; esc leaves"
		if b, where := p.elsewhere(); b != nil {
			text = "not here; " + b.name + " is under " + where
		}
		body = append(body, t.line().add(dim, " "+clip(text, inner-1, t.dots)).end(inner))
	}
	f.cover(x, y, w, t.box("Commands", w, body))
	f.zones = append(f.zones, rows...)
	f.zones = append(f.zones, zone{x: x, y: y, w: w, h: h + 4, wheel: func(_ *model, by int) tea.Cmd { p.list.move(by); return nil }})
	if c := p.field.Cursor(); c != nil {
		f.cursor = tea.NewCursor(min(x+4+c.X, f.w-1), min(y+1, f.h-1))
		f.cursor.Blink = false
	}
}

// keysPage is the page that `?` opens.
type keysPage struct{ top, most int }

func (m *model) openHelp() tea.Cmd {
	m.overs = append(m.overs, &keysPage{})
	return nil
}

func (k *keysPage) asks() bool { return false }

func (k *keysPage) paste(*model, tea.PasteMsg) tea.Cmd { return nil }

func (k *keysPage) key(m *model, msg tea.KeyPressMsg) tea.Cmd {
	by := 0
	switch msg.String() {
	case "esc", "q", "?", "enter":
		return m.closeOver()
	case "up", "k":
		by = -1
	case "down", "j":
		by = 1
	case "pgup", "ctrl+u":
		by = -10
	case "pgdown", "ctrl+d", "space":
		by = 10
	case "home", "g":
		by = -1 << 20
	case "end", "G":
		by = 1 << 20
	}
	k.top = max(0, min(k.top+by, k.most))
	return nil
}

// lines writes all keys, those of where one is first.
func (k *keysPage) lines(m *model, w int) []string {
	t := m.th
	here := m.scopes()
	order := slices.Clone(here)
	for _, s := range scopeTitles {
		if !slices.Contains(order, s.scope) {
			order = append(order, s.scope)
		}
	}
	keys := 0
	for _, b := range bindings() {
		keys = max(keys, width(b.keyText()))
	}
	keys = min(keys, w/3)
	var out []string
	for _, s := range order {
		title := ""
		for _, st := range scopeTitles {
			if st.scope == s {
				title = st.title
			}
		}
		if len(out) > 0 {
			out = append(out, spaces(w))
		}
		out = append(out, t.line().add(strong, title).end(w))
		for _, b := range bindings() {
			if b.scope != s {
				continue
			}
			why := ""
			if slices.Contains(here, s) {
				why = b.reason(m)
			}
			l := t.line().cell(accent, b.keyText(), keys, t.dots).add(plain, "  ")
			if len(b.keys) == 0 {
				l = t.line().cell(dim, ":"+b.name, keys, t.dots).add(plain, "  ")
			}
			indent := l.w
			for i, part := range wrapped(b.help, w-indent) {
				if i > 0 {
					l = t.line().add(plain, spaces(indent))
				}
				r := plain
				if why != "" {
					r = dim
				}
				out = append(out, l.add(r, part).end(w))
			}
			if why != "" {
				out = append(out, t.line().add(plain, spaces(indent)).add(warn, clip("not now: "+why, w-indent, t.dots)).end(w))
			}
		}
	}
	return out
}

func (k *keysPage) draw(m *model, f *frame) {
	w := boxWidth(f, 90)
	all := k.lines(m, w-4)
	h := max(min(f.h-4, len(all)), 1)
	k.most = max(len(all)-h, 0)
	k.top = min(k.top, k.most)
	title := "Keys"
	if k.most > 0 {
		title += " " + m.th.dot + " up and down scroll, esc leaves"
	}
	x, y := (f.w-w)/2, max((f.h-h-2)/2, 0)
	f.cover(x, y, w, m.th.box(title, w, all[k.top:k.top+h]))
	f.zones = append(f.zones, zone{x: x, y: y, w: w, h: h + 2, wheel: func(_ *model, by int) tea.Cmd {
		k.top = max(0, min(k.top+by, k.most))
		return nil
	}})
}
