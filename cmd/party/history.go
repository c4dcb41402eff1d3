package main

import (
	"os"
	"path/filepath"
	"strings"
)

// lineHistory is the lines typed before, also in earlier runs.
type lineHistory struct {
	path  string
	lines []string // oldest first
}

const linesKept = 500

// openHistory reads the history that is kept in dir.
func openHistory(dir string) *lineHistory {
	h := &lineHistory{path: filepath.Join(dir, "history")}
	if b, err := os.ReadFile(h.path); err == nil {
		h.lines = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		h.lines = h.lines[max(0, len(h.lines)-linesKept):]
	}
	return h
}

// Add adds a line; what cannot be kept is only forgotten.
func (h *lineHistory) Add(line string) {
	if line == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line || strings.ContainsAny(line, "\r\n") {
		return
	}
	h.lines = append(h.lines, line)
	h.lines = h.lines[max(0, len(h.lines)-linesKept):]
	_ = os.WriteFile(h.path, []byte(strings.Join(h.lines, "\n")+"\n"), 0o600)
}

// Len and At make it the history of a terminal; 0 is the newest.
func (h *lineHistory) Len() int        { return len(h.lines) }
func (h *lineHistory) At(i int) string { return h.lines[len(h.lines)-1-i] }
