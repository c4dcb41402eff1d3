package workers

import (
	"encoding/json"
	"slices"
	"strings"
)

// waiting says who waits for a room that a call goes to: paths of rooms, each
// of which waits for the next, and the last of them for the room called. It
// travels with the call, since nobody here sees all rooms. A cycle is found by
// whichever call closes it.
type waiting [][]string

// maxPaths bounds what travels. More can wait for one room only where it is
// slow, and then any of them finds a cycle.
const maxPaths = 64

func parseWaiting(s string) (w waiting) {
	_ = json.Unmarshal([]byte(s), &w) // of another version: as if nobody waited
	return w
}

func (w waiting) String() string {
	if len(w) == 0 {
		return ""
	}
	b, _ := json.Marshal(w)
	return string(b)
}

// through is who waits for what room calls, where w wait for room.
func (w waiting) through(room string) waiting {
	if len(w) == 0 {
		return waiting{{room}}
	}
	var all waiting
	for _, path := range w[:min(len(w), maxPaths)] {
		all = append(all, append(slices.Clone(path), room))
	}
	return all
}

// cycle is the rooms along a cycle that would be closed if room, which w wait
// for, waited for to; nil where it would not.
func (w waiting) cycle(room, to string) []string {
	if room == to {
		return []string{room, to}
	}
	for _, path := range w {
		if i := slices.Index(path, to); i >= 0 {
			return append(append([]string{room}, path[i:]...), room)
		}
	}
	return nil
}

func cycleText(path []string) string {
	return "call cycle: " + strings.Join(path, " waits for ") + ", so none would ever end; let one of them return first, or call from WaitUntil"
}
