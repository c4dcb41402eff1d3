package inspect

// Similar returns the one of all that is most like s, or "" where none is like
// it: for "did you mean".
func Similar(s string, all []string) string {
	best, least := "", len(s)/3+2
	for _, have := range all {
		if d := distance(s, have, least); d < least {
			best, least = have, d
		}
	}
	return best
}

// distance is how many letters must be added, removed, replaced or swapped with
// the next one to get from a to b; most, if it is at least that.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	before, last, now := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		if before == nil {
			before = make([]int, len(b)+1)
		}
		before, last, now = last, now, before
	}
	return min(last[len(b)], most)
}
