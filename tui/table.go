package tui

import "github.com/charmbracelet/x/ansi"

// ansiCut shortens a painted line.
func ansiCut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	return ansi.Truncate(s, w, "")
}

// list is a cursor in a list of which some lines are seen.
type list struct {
	at  int // the chosen entry
	top int // the first that is seen
	n   int // entries
	h   int // lines
}

// fit takes over how many entries there are and how many lines.
func (l *list) fit(n, h int) {
	l.n, l.h = n, max(h, 1)
	l.at = max(0, min(l.at, n-1))
	l.top = max(0, min(l.top, n-l.h))
	l.top = max(min(l.top, l.at), l.at-l.h+1)
}

// move moves the cursor, and reports whether it moved.
func (l *list) move(by int) bool {
	was := l.at
	l.at = max(0, min(l.at+by, l.n-1))
	l.fit(l.n, l.h)
	return l.at != was
}

// last reports whether the cursor is at the end.
func (l *list) last() bool { return l.at >= l.n-1 }

// column is one column of a table.
type column struct {
	title string
	least int  // cells that it needs
	grow  int  // its share of what is left over
	most  int  // cells that it can use; 0: any number
	drop  int  // the greater, the sooner it is left out; 0: never
	right bool // its values stand at the right
}

// gap is what stands between two columns.
const gap = 2

// layout gives each column its width; 0: it is left out.
func layout(cols []column, w int) []int {
	widths := make([]int, len(cols))
	used := func() int {
		sum, n := 0, 0
		for _, x := range widths {
			if x > 0 {
				sum += x
				n++
			}
		}
		return sum + gap*max(n-1, 0)
	}
	for i, c := range cols {
		widths[i] = c.least
	}
	for used() > w {
		worst := -1
		for i, c := range cols {
			if widths[i] > 0 && c.drop > 0 && (worst < 0 || c.drop > cols[worst].drop) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		widths[worst] = 0
	}
	// What is left over is shared, again where a column has had enough.
	for left := w - used(); left > 0; {
		shares := 0
		for i, c := range cols {
			if widths[i] > 0 && (c.most == 0 || widths[i] < c.most) {
				shares += c.grow
			}
		}
		if shares == 0 {
			break
		}
		given := 0
		for i, c := range cols {
			if widths[i] == 0 || c.grow == 0 || c.most > 0 && widths[i] >= c.most {
				continue
			}
			x := max(left*c.grow/shares, 1)
			if c.most > 0 {
				x = min(x, c.most-widths[i])
			}
			x = min(x, left-given)
			widths[i] += x
			given += x
		}
		left -= given
	}
	if over := used() - w; over > 0 { // too narrow for what must stay
		for i := range widths {
			cut := min(over, max(widths[i]-3, 0))
			widths[i] -= cut
			over -= cut
		}
	}
	return widths
}

// heads writes the titles of a table's columns. marked has a sign of order.
func (t *theme) heads(cols []column, widths []int, w int, marked int, sign string) string {
	l := t.line().add(plain, spaces(margin))
	first := true
	for i, c := range cols {
		if widths[i] == 0 {
			continue
		}
		if !first {
			l.add(plain, spaces(gap))
		}
		first = false
		title, r := c.title, dim
		if i == marked {
			r = accent
			if width(title)+1+width(sign) <= widths[i] {
				title += " " + sign
			} else {
				title = clip(title, widths[i]-width(sign), "") + sign
			}
		}
		if c.right {
			l.right(r, title, widths[i], "")
		} else {
			l.cell(r, title, widths[i], "")
		}
	}
	return l.end(w)
}

// margin is where text begins: before it stands the cursor.
const margin = 3

// begin starts a row with its cursor.
func (t *theme) begin(chosen, focused bool) *line {
	l := t.row(chosen, focused)
	if chosen {
		r := accent
		if !focused {
			r = faint
		}
		return l.add(plain, " ").add(r, t.cursor).add(plain, " ")
	}
	return l.add(plain, spaces(margin))
}

// value is one cell of a table: one text, or several that follow each other.
type value struct {
	role role
	text string
	more []value
}

// fields writes the cells of a row.
func (l *line) fields(cols []column, widths []int, values []value, dots string) *line {
	first := true
	for i, c := range cols {
		if widths[i] == 0 {
			continue
		}
		if !first {
			l.add(plain, spaces(gap))
		}
		first = false
		v := values[i]
		switch {
		case c.right:
			l.right(v.role, v.text, widths[i], dots)
		case v.more == nil:
			l.cell(v.role, v.text, widths[i], dots)
		default:
			end := l.w + widths[i]
			l.add(v.role, clip(v.text, widths[i], dots))
			for _, m := range v.more {
				l.add(m.role, clip(m.text, end-l.w, dots))
			}
			l.to(end)
		}
	}
	return l
}
