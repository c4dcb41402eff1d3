package main

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
)

func TestTablesFitTheTerminal(t *testing.T) {
	make := func() *table {
		tb := &table{head: []string{"NAME", "COUNT", "EMPTY", "WHY"}, right: map[int]bool{1: true}, flex: []int{3, 0}}
		tb.add("short", "1", "", "because")
		tb.add("数字の部屋のとても長い名前", "12345", "", "of \x1b[31mred\nlines and other reasons")
		return tb
	}
	for width, want := range map[int]string{
		0: `NAME                        COUNT  EMPTY  WHY
short                           1         because
数字の部屋のとても長い名前  12345         of \x1b[31mred\nlines and other reasons
`,
		70: `NAME                        COUNT  WHY
short                           1  because
数字の部屋のとても長い名前  12345  of \x1b[31mred\nlines and other re…
`,
		40: "", 12: "", 3: "", // only that it fits
	} {
		var b strings.Builder
		if err := make().write(&b, style{}, width); err != nil {
			t.Fatal(err)
		}
		if want != "" && b.String() != want {
			t.Errorf("width %d:\n%s", width, b.String())
		}
		for line := range strings.Lines(b.String()) {
			if w := ansi.StringWidth(strings.TrimSuffix(line, "\n")); width > 0 && w > width {
				t.Errorf("width %d: a line of %d: %q", width, w, line)
			}
		}
	}
}

func TestSpansAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 1500 * time.Microsecond: "2ms", 999 * time.Millisecond: "999ms", 1234 * time.Millisecond: "1.2s",
		59900 * time.Millisecond: "1m0s", 61 * time.Second: "1m1s", 3599 * time.Second: "59m59s", time.Hour: "1h0m", 25 * time.Hour: "1d1h",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is shown as %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1234567: "1.2 MB", 5e9: "5.0 GB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d is shown as %s, want %s", n, got, want)
		}
	}
}
