package script

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "10s": 10 * time.Second, "9999ms": 9999 * time.Millisecond, "1h30m": 90 * time.Minute,
		"1.5h": 90 * time.Minute, "250us": 250 * time.Microsecond, "7d": 7 * 24 * time.Hour, "0.5d": 12 * time.Hour,
		"1w": 7 * 24 * time.Hour, "1w2d3h": 9*24*time.Hour + 3*time.Hour, "1d1ms": 24*time.Hour + time.Millisecond,
		"20000d": 20000 * 24 * time.Hour,
	} {
		if got, err := duration(text); err != nil || got != want {
			t.Errorf("duration(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "10", "-1s", "-1d", "1d-1h", "+1s", "d", "w", "s", "1x", "1d2w", "1d2d", "1h1d", "NaNd", "Infw", "1e300d", "0x1p3d", "1_0d",
		"9999999w", "106752d", "106751d24h", "ten seconds", "10 s", "1d 1h", "1dd",
	} {
		if got, err := duration(text); err == nil {
			t.Errorf("duration(%q) = %s; want an error", text, got)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, text := range []string{"10s", "1w2d3h", "0.5d", "1e9d", "-1d", "dw", "NaNw"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := duration(text)
		if err != nil {
			if d != 0 {
				t.Errorf("duration(%q) = %s with an error", text, d)
			}
			return
		}
		if d < 0 {
			t.Errorf("duration(%q) = %s", text, d)
		}
		// What Go can write, we read as the same.
		if again, err := duration(d.String()); err != nil || again != d {
			t.Errorf("duration(%q) is %s, which is read as %s, %v", text, d, again, err)
		}
	})
}
