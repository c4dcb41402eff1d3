package inspect

import "testing"

func TestSimilar(t *testing.T) {
	all := []string{"chat/lobby", "chat/kitchen", "counter/x"}
	for in, want := range map[string]string{
		"chat/loby":    "chat/lobby",
		"chat/lbboy":   "chat/lobby",
		"chat/kitchen": "chat/kitchen",
		"todo/list":    "",
		"":             "",
	} {
		if got := Similar(in, all); got != want {
			t.Errorf("Similar(%q) = %q, want %q", in, got, want)
		}
	}
}
