package tui

import (
	"encoding/hex"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
)

func clientsBindings() []binding {
	write := func(m *model) tea.Cmd { return m.writeAsClient() }
	return []binding{
		{scope: inClients, keys: []string{"enter", "i"}, name: "write", short: "write", foot: 1,
			help: "write messages as the chosen client", run: write, off: needClient},
		{scope: inClients, keys: []string{"right", "l"}, name: "next-client", short: "next client", foot: 4,
			help: "the next client of this room", run: func(m *model) tea.Cmd { return m.turnClient(1) }, off: needClient},
		{scope: inClients, keys: []string{"left"}, name: "client-before", short: "client before",
			help: "the one before", run: func(m *model) tea.Cmd { return m.turnClient(-1) }, off: needClient},
		{scope: inClients, keys: []string{"v"}, name: "lay-out-answer", short: "lay out", foot: 4,
			help: "lay the chosen message out, JSON in lines", run: (*model).layOut, off: needClient},
		{scope: inClients, keys: []string{"x"}, name: "leave", short: "close",
			help: "close the chosen client; again takes it off the list", run: func(m *model) tea.Cmd { return m.endClient(false) }, off: needClient},
		{scope: inClients, keys: []string{"D"}, name: "vanish", short: "vanish",
			help: "let it vanish without a close frame", run: func(m *model) tea.Cmd { return m.endClient(true) }, off: needClient},
		{scope: inClients, keys: []string{"y"}, name: "copy-answer", short: "copy",
			help: "copy the chosen message", run: (*model).copyLine, off: needClient},

		{scope: typingToClient, keys: []string{"tab"}, short: "next client", foot: 1,
			help: "write as the next client", run: func(m *model) tea.Cmd { return m.turnClient(1) }},
		{scope: typingToClient, keys: []string{"ctrl+n"}, short: "another", foot: 2,
			help: "connect one more client to this room", run: func(m *model) tea.Cmd { return m.connectTo(m.room.name) }},
		{scope: typingToClient, keys: []string{"ctrl+x"}, short: "hex", foot: 3,
			help: "write bytes in hex, or text again", run: (*model).toggleHex},
		{scope: typingToClient, keys: []string{"pgup"}, short: "page up",
			help: "back in what was said", run: func(m *model) tea.Cmd { return m.move(func(h int) int { return -max(h-1, 1) }) }},
		{scope: typingToClient, keys: []string{"pgdown"}, short: "page down",
			help: "and forth", run: func(m *model) tea.Cmd { return m.move(func(h int) int { return max(h-1, 1) }) }},
	}
}

func (m *model) toggleHex() tea.Cmd {
	c := m.chosenClient()
	if c == nil {
		return nil
	}
	c.hex = !c.hex
	return m.writeAsClient()
}

func parseHex(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, fmt.Errorf("%q is no hex: write two digits for each byte, such as 00 ff; Ctrl-X writes text", clean(s))
	}
	return b, nil
}

func (m *model) copyLine() tea.Cmd {
	c := m.chosenClient()
	if c.list.at >= c.lines.len() {
		return m.copy("", "")
	}
	text := c.lines.get(c.list.at).text()
	return m.copy(text, text)
}

func (l clientLine) text() string {
	switch {
	case l.note != "":
		return l.note
	case l.binary:
		return hex.EncodeToString(l.data)
	}
	return string(l.data)
}

var clientColumns = []column{
	{title: "Time", least: 12, drop: 2},
	{title: "", least: 1},
	{title: "Size", least: 6, right: true, drop: 3},
	{title: "Message", least: 10, grow: 1},
}

// drawClients draws the tab of test clients.
func (p *roomPane) drawClients(m *model, a *area) {
	t := m.th
	all := m.clients.of(p.name)
	c := m.chosenClient()
	if c == nil {
		a.blank()
		l := t.line().add(plain, spaces(margin)).add(dim, "No test client is connected.  ").add(accent, "c").add(dim, " connects one to "+clean(p.name))
		a.put(l.end(a.w))
		return
	}
	l := t.line().add(plain, " ")
	type spot struct{ x, w, i int }
	var spots []spot
	from := max(0, p.client-max(a.w/16-1, 0))
	for i := from; i < len(all); i++ {
		one := all[i]
		sign, r := t.open, good
		switch {
		case one.over != "":
			sign, r = t.shut, dim
		case one.conn == nil:
			sign, r = t.states["starting"], warn
		}
		if l.w+width(one.id)+7 > a.w && i > from {
			l.add(dim, t.dots)
			break
		}
		x := l.w
		if one == c {
			l.add(accent, t.next+" ").add(r, sign).add(accent, " "+one.id)
		} else {
			l.add(plain, "  ").add(r, sign).add(dim, " "+one.id)
		}
		spots = append(spots, spot{x, l.w - x, i})
		l.add(plain, spaces(3))
	}
	a.put(l.end(a.w))
	for _, s := range spots {
		a.on(s.x, s.w, func(m *model) tea.Cmd { return m.turnClient(s.i - m.room.client) })
	}
	c.draw(m, a)
}

func (c *client) draw(m *model, a *area) {
	t := m.th
	widths := layout(clientColumns, a.w-margin-1)
	a.put(t.heads(clientColumns, widths, a.w, -1, ""))
	foot := 0
	if c.lost > 0 && a.left() > 2 {
		foot = 1
	}
	body := a.part(a.left() - foot)
	c.list.fit(c.lines.len(), body.h)
	for i := c.list.top; i < min(c.list.top+c.list.h, c.lines.len()); i++ {
		line := c.lines.get(i)
		sign, r := t.out, outward
		if line.sent {
			sign, r = t.in, inward
		}
		text, size := value{role: plain, text: clean(line.text())}, bytesText(len(line.data))
		if line.note != "" {
			sign, r, size = t.dot, dim, ""
			text.role = dim
			text.text = clean(firstLine(line.note))
		}
		// While something is typed the cursor says where one is all the same.
		l := t.begin(i == c.list.at && m.input == nil, true)
		l.fields(clientColumns, widths, []value{{role: dim, text: stamp(line.at)}, {role: r, text: sign}, {role: dim, text: size}, text}, t.dots)
		body.put(l.end(a.w))
		body.on(0, a.w, func(m *model) tea.Cmd {
			if c.list.at == i && m.input == nil {
				return m.layOut()
			}
			return m.moveBy(i - c.list.at)
		})
	}
	body.rest()
	if foot > 0 {
		a.put(t.line().add(plain, spaces(margin)).add(warn, plural(c.lost, "message")+" came too fast to be kept").end(a.w))
	}
}

func (p *roomPane) layClient(m *model, w int) (string, []string) {
	c := m.chosenClient()
	if c == nil || c.list.at >= c.lines.len() || w <= 0 {
		return "message", nil
	}
	line := c.lines.get(c.list.at)
	if line.binary {
		return "bytes", layBytes(m.th, line.data, w)
	}
	return "message", lay(m.th, line.text(), w)
}
