package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

// How wide a column of stored rows is, at least and at most.
const (
	rowLeast = 4
	rowMost  = 160
)

// rowColumns chooses columns for rows of any kind: as wide as what is seen
// needs, the widest narrowed where there is no room.
func (t *storageTab) rowColumns(w int) ([]column, []int) {
	cols := make([]column, len(t.columns))
	for i, name := range t.columns {
		cols[i] = column{title: clean(name), least: min(max(width(clean(name)), rowLeast), rowMost)}
		for r := t.list.top; r < min(t.list.top+t.list.h, len(t.rows)); r++ {
			if i < len(t.rows[r]) {
				cols[i].least = min(max(cols[i].least, width(t.rows[r][i].short)), rowMost)
			}
		}
		cols[i].drop = i // the first ones stay
	}
	for {
		sum, widest := gap*(len(cols)-1), 0
		for i, c := range cols {
			sum += c.least
			if c.least > cols[widest].least {
				widest = i
			}
		}
		if len(cols) == 0 || sum <= w || cols[widest].least <= 10 {
			break
		}
		cols[widest].least--
	}
	if n := len(cols); n > 0 {
		cols[n-1].grow = 1
	}
	return cols, layout(cols, w)
}

// draw draws the sources and a page of rows.
func (t *storageTab) draw(m *model, a *area) {
	th := m.th
	t.drawSources(m, a)
	say := func(r role, s string) {
		for _, part := range wrapped(s, a.w-margin-1) {
			a.put(th.line().add(plain, spaces(margin)).add(r, part).end(a.w))
		}
	}
	if q := t.source().query; q != "" {
		a.put(th.line().add(plain, spaces(margin)).add(dim, clip(clean(q), a.w-margin-1, th.dots)).end(a.w))
	}
	switch {
	case t.failed != "":
		say(bad, t.failed)
		return
	case len(t.rows) == 0 && t.loading:
		say(dim, "reading "+th.dots)
		return
	case len(t.rows) == 0 && t.source().query != "":
		say(dim, "no rows")
		return
	case len(t.rows) == 0:
		say(dim, "nothing is stored here")
		return
	}
	note := t.note()
	foot := 0
	if note != "" && a.left() > 3 {
		foot = 1
	}
	t.list.fit(len(t.rows), a.left()-1-foot)
	cols, widths := t.rowColumns(a.w - margin - 1)
	a.put(th.heads(cols, widths, a.w, -1, ""))
	body := a.part(a.left() - foot)
	for i := t.list.top; i < min(t.list.top+t.list.h, len(t.rows)); i++ {
		values := make([]value, len(cols))
		for j := range values {
			if j < len(t.rows[i]) {
				values[j] = value{role: t.rows[i][j].role, text: t.rows[i][j].short}
			}
		}
		body.put(th.begin(i == t.list.at, m.input == nil).fields(cols, widths, values, th.dots).end(a.w))
		body.on(0, a.w, func(m *model) tea.Cmd {
			if t.list.at == i {
				return m.layOut()
			}
			return m.moveBy(i - t.list.at)
		})
	}
	body.rest()
	if foot > 0 {
		a.put(th.line().add(plain, spaces(margin)).add(dim, note).end(a.w))
	}
}

func (t *storageTab) note() string {
	if !t.more && t.first == 0 {
		return ""
	}
	s := "rows " + count(t.first+1) + " to " + count(t.first+len(t.rows))
	if n := t.source().rows; n > 0 {
		s += " of " + count(n)
	}
	if t.more {
		if t.source().query != "" {
			return s + "; there are more: narrow the query"
		}
		s += "; down at the end reads on"
	}
	return s
}

// drawSources draws what there is to look at, the chosen one marked.
func (t *storageTab) drawSources(m *model, a *area) {
	th := m.th
	l := th.line().add(plain, " ")
	type spot struct{ x, w, i int }
	var spots []spot
	// The chosen one is to be seen, whatever stands before it.
	from := 0
	for from < t.at {
		w := margin
		for i := from; i <= t.at; i++ {
			w += sourceWidth(t.sources[i]) + 3
		}
		if w <= a.w {
			break
		}
		from++
	}
	for i := from; i < len(t.sources); i++ {
		s := t.sources[i]
		if l.w+sourceWidth(s) > a.w-2 && i > from {
			l.add(dim, th.dots)
			break
		}
		x, r, mark := l.w, dim, " "
		if i == t.at {
			r, mark = accent, th.next
		}
		l.add(r, mark+" "+s.title())
		if s.query == "" {
			l.add(dim, " "+count(s.rows))
		}
		spots = append(spots, spot{x, l.w - x, i})
		l.add(plain, "   ")
	}
	if len(t.sources) == 0 {
		l.add(dim, "  looking "+th.dots)
	}
	a.put(l.end(a.w))
	for _, s := range spots {
		a.on(s.x, s.w, func(m *model) tea.Cmd { return m.room.storage.turnTo(m, s.i) })
	}
}

func sourceWidth(s source) int {
	if s.query != "" {
		return 2 + width(s.title())
	}
	return 2 + width(s.title()) + 1 + width(count(s.rows))
}

// lay lays out the chosen row.
func (t *storageTab) lay(m *model, w int) (string, []string) {
	if t.list.at >= len(t.rows) || w <= 0 {
		return "row", nil
	}
	th := m.th
	row := t.rows[t.list.at]
	show := func(c cell) []string {
		if c.bytes != nil {
			return layBytes(th, c.bytes[:min(len(c.bytes), 4096)], w)
		}
		return lay(th, keep(c.text), w)
	}
	if s := t.source(); s.table == "" && s.query == "" {
		return clip(clean(row[0].text), w, th.dots), show(row[1])
	}
	var lines []string
	for i, c := range row {
		name := ""
		if i < len(t.columns) {
			name = clean(t.columns[i])
		}
		if whole := show(c); len(whole) != 1 || width(name)+2+width(strings.TrimRight(c.text, " ")) > w {
			lines = append(lines, th.line().add(dim, name).end(w))
			lines = append(lines, whole...)
		} else {
			lines = append(lines, th.line().add(dim, name).add(plain, "  ").add(c.role, clean(c.text)).end(w))
		}
	}
	return "row " + count(t.first+t.list.at+1), lines
}
