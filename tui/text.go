package tui

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// width is how many cells s takes. It knows escape sequences.
func width(s string) int {
	if plainASCII(s) {
		return len(s)
	}
	return ansi.StringWidth(s)
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// clip shortens s to at most w cells, with tail where something is missing.
func clip(s string, w int, tail string) string {
	switch {
	case w <= 0:
		return ""
	case len(s) <= w && plainASCII(s):
		return s
	case plainASCII(s):
		if n := width(tail); n < w {
			return s[:w-n] + tail
		}
		return s[:w]
	}
	if width(tail) >= w {
		tail = ""
	}
	return ansi.Truncate(s, w, tail)
}

// pad fills s with spaces up to w cells.
func pad(s string, w int) string {
	if n := w - width(s); n > 0 {
		return s + spaces(n)
	}
	return s
}

const blanks = "                                                                                                                                                                                                                                                                "

func spaces(n int) string {
	if n <= 0 {
		return ""
	}
	if n <= len(blanks) {
		return blanks[:n]
	}
	return strings.Repeat(" ", n)
}

// clean makes text that anybody may have sent fit to be shown on one line: no
// control character of it reaches the terminal.
func clean(s string) string {
	if plainASCII(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteByte(' ')
		case r == '\r':
			b.WriteString(`\r`)
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			} else {
				b.WriteRune(r)
			}
		case r < 0x80 && unicode.IsControl(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// wrapped breaks a text into lines of at most w cells, at spaces where it can.
func wrapped(text string, w int) []string {
	w = max(w, 1)
	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line = strings.ReplaceAll(line, "\t", "    ")
		out = append(out, strings.Split(ansi.Wrap(clean(line), w, ""), "\n")...)
	}
	return out
}

// count writes a number with separators.
func count[T int | int64 | uint64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural[T int | int64 | uint64](n T, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return count(n) + " " + what + "s"
}

// bytesText writes a size in at most six cells, such as 4.2 kB.
func bytesText[T int | int64 | uint64](n T) string {
	f := float64(n)
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case f < 999.5e3:
		return digits(f/1e3) + " kB"
	case f < 999.5e6:
		return digits(f/1e6) + " MB"
	}
	return digits(f/1e9) + " GB"
}

// digits writes a number below a thousand with about two digits.
func digits(f float64) string {
	if f < 9.95 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

// rateText writes a rate without jitter.
func rateText(f float64) string {
	switch {
	case f <= 0:
		return ""
	case f < 0.1:
		return "0.1"
	case f < 9.95:
		return fmt.Sprintf("%.1f", f)
	}
	return count(int(math.Round(f)))
}

// span writes a duration with one unit, or two where that says much more.
func span(d time.Duration) string {
	if d < 0 {
		return "-" + span(-d)
	}
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return wholeSpan(d)
}

// wholeSpan writes a duration in whole seconds or more.
func wholeSpan(d time.Duration) string {
	s := int64(math.Round(d.Seconds()))
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 10*60:
		return fmt.Sprintf("%dm %02ds", s/60, s%60)
	case s < 3600:
		return fmt.Sprintf("%d m", s/60)
	case s < 24*3600:
		return fmt.Sprintf("%dh %02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd %02dh", s/86400, s/3600%24)
}

// until writes how long it is to a time, rounded up as countdowns are.
func until(d time.Duration) string {
	if d <= 0 {
		return "now"
	}
	return "in " + wholeSpan((d + time.Second - 1).Truncate(time.Second))
}

// clock writes a time of day.
func clock(t time.Time) string { return t.Local().Format("15:04:05") }

// stamp writes a time of day to the millisecond.
func stamp(t time.Time) string { return t.Local().Format("15:04:05.000") }

// spark draws values as a row of w bars, the last at the right. The tallest is
// the greatest value, or least where that is more.
func spark(values []float32, w int, bars []string, least float32) string {
	top := least
	if len(values) > w {
		values = values[len(values)-w:]
	}
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	b.WriteString(spaces(w - len(values)))
	for _, v := range values {
		if v <= 0 {
			b.WriteString(bars[0])
			continue
		}
		b.WriteString(bars[1+min(int(v/top*float32(len(bars)-1)), len(bars)-2)])
	}
	return b.String()
}
