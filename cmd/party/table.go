package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// table is lines of cells that stand below each other.
type table struct {
	head  []string
	rows  [][]string
	right map[int]bool // columns of numbers
	flex  []int        // columns that give way where it gets narrow, in this order

	widths   []int // at least; afterwards those that were used
	headless bool
	grows    bool // more lines will follow
}

func (t *table) add(cells ...string) {
	for i, c := range cells {
		cells[i] = clean(c)
	}
	t.rows = append(t.rows, cells)
}

// narrowest is what a column that gives way keeps.
const narrowest = 8

// write prints the table, at most width wide; 0: as wide as it is.
func (t *table) write(out io.Writer, s style, width int) error {
	widths := make([]int, len(t.head))
	copy(widths, t.widths)
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, c := range row {
			widths[i] = max(widths[i], ansi.StringWidth(c))
		}
	}
	const gap = 2
	if width > 0 && !t.grows && len(t.rows) > 0 {
		t.dropEmpty(widths, width, gap)
	}
	if width > 0 {
		over := -gap - width
		for _, w := range widths {
			if w > 0 {
				over += w + gap
			}
		}
		for _, i := range t.flex {
			if give := min(over, widths[i]-max(narrowest, ansi.StringWidth(t.head[i]))); give > 0 {
				widths[i] -= give
				over -= give
			}
		}
	}
	t.widths = widths
	w := bufio.NewWriter(out)
	line := func(cells []string, paint func(string) string) {
		var b strings.Builder
		for i, c := range cells {
			if widths[i] == 0 {
				continue // dropped
			}
			c = ansi.Truncate(c, widths[i], "…")
			pad := strings.Repeat(" ", widths[i]-ansi.StringWidth(c))
			if b.Len() > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			if t.right[i] {
				b.WriteString(pad + c)
			} else {
				b.WriteString(c + pad)
			}
		}
		text := strings.TrimRight(b.String(), " ")
		if width > 0 {
			text = ansi.Truncate(text, width, "…")
		}
		fmt.Fprintln(w, paint(text))
	}
	if !t.headless {
		line(t.head, s.dim)
	}
	for _, row := range t.rows {
		line(row, func(s string) string { return s })
	}
	return w.Flush()
}

// dropEmpty makes room by columns that say nothing.
func (t *table) dropEmpty(widths []int, width, gap int) {
	total := -gap
	for _, w := range widths {
		total += w + gap
	}
	for i := range widths {
		empty := true
		for _, row := range t.rows {
			empty = empty && row[i] == ""
		}
		if total > width && empty {
			total -= widths[i] + gap
			widths[i] = 0
		}
	}
}

// style paints where somebody sees it.
type style struct{ colour bool }

func (s style) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) dim(text string) string  { return s.paint("2", text) }
func (s style) bold(text string) string { return s.paint("1", text) }
func (s style) red(text string) string  { return s.paint("31", text) }
func (s style) green(text string) string {
	return s.paint("32", text)
}
func (s style) blue(text string) string { return s.paint("34", text) }

func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// styleOf is how to print to w: in colour on a terminal, unless NO_COLOR is set.
func styleOf(w io.Writer) style {
	return style{colour: isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// widthOf is how wide w is; 0: as wide as one likes.
func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// clean makes text of others harmless to a terminal: on one line, and without
// what would move its cursor.
func clean(s string) string { return cleanBut(s, "") }

// cleanBut is clean but for the characters in keep.
func cleanBut(s, keep string) string {
	bad := func(r rune) bool { return !unicode.IsPrint(r) && !strings.ContainsRune(keep, r) }
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if bad(r) {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// sizeText is a size for people.
func sizeText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1000_000)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1000_000_000)
}

// span is a duration for people: its two largest parts.
func span(d time.Duration) string {
	if d >= 10*time.Second {
		d = d.Round(time.Second)
	}
	switch d = max(d, 0); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// when is a time as seen from now.
func when(t, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return "in " + span(d)
	}
	return span(now.Sub(t)) + " ago"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
