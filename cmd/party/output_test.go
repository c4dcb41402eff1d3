//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is the lines that a process has written so far.
type output struct {
	mu      sync.Mutex
	lines   []string
	events  []event // of those that are JSON
	closed  bool
	changed chan struct{} // closed at each change
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// add adds a line without its end.
func (o *output) add(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, line)
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *output) read(r io.Reader) {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadString('\n')
		o.mu.Lock()
		if line = strings.TrimSuffix(line, "\n"); line != "" || err == nil {
			o.lines = append(o.lines, line)
			var e event
			if json.Unmarshal([]byte(line), &e) == nil {
				o.events = append(o.events, e)
			}
		}
		o.closed = err != nil
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}

// end is what a failed test shows of a long output.
func (o *output) end() string {
	const most, width = 60, 400
	lines := o.all()
	if len(lines) > most {
		lines = append([]string{"..."}, lines[len(lines)-most:]...)
	}
	for i, line := range lines {
		if len(line) > width {
			lines[i] = line[:width] + "..."
		}
	}
	return strings.Join(lines, "\n")
}

// all returns the lines so far.
func (o *output) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lines)
}

// until waits until find, called with the lock held, reports true.
func (o *output) until(t testing.TB, what string, find func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		o.mu.Lock()
		found, closed, changed := find(), o.closed, o.changed
		o.mu.Unlock()
		switch {
		case found:
			return
		case closed:
			t.Fatalf("the process ended before %s", what)
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("no %s within %s", what, patience)
		}
	}
}

// line waits for a line that contains text.
func (o *output) line(t testing.TB, text string) (line string) {
	t.Helper()
	o.until(t, fmt.Sprintf("line with %q", text), func() bool {
		i := slices.IndexFunc(o.lines, func(s string) bool { return strings.Contains(s, text) })
		if i >= 0 {
			line = o.lines[i]
		}
		return i >= 0
	})
	return line
}

// event is a line of --ui json.
type event struct {
	Type        string          `json:"type"`
	Seq         uint64          `json:"seq"`
	Time        time.Time       `json:"time"`
	Room        string          `json:"room"`
	Generation  uint64          `json:"generation"`
	Connection  string          `json:"connection"`
	Connections int             `json:"connections"`
	Cause       string          `json:"cause"`
	Reason      string          `json:"reason"`
	Code        int             `json:"code"`
	Clean       bool            `json:"clean"`
	Text        string          `json:"text"`
	Hex         string          `json:"hex"`
	Size        int             `json:"size"`
	Level       string          `json:"level"`
	Output      json.RawMessage `json:"output"` // of log: bool; of crash: string
	Restarts    bool            `json:"restarts"`
	Turns       int             `json:"turns"`
	Cut         int             `json:"cut"`
	Hook        string          `json:"hook"`
	Error       string          `json:"error"`
	Stack       string          `json:"stack"`
	PID         int             `json:"pid"`
	Attach      string          `json:"attach"`
	URL         string          `json:"url"`
	State       string          `json:"state"`
	Try         string          `json:"try"`
	Classes     []struct {
		Class     string `json:"class"`
		WebSocket string `json:"websocket"`
		Hibernate bool   `json:"hibernate"`
	} `json:"classes"`
}

// is makes a condition on an event's type and room.
func is(typ, room string) func(event) bool {
	return func(e event) bool { return e.Type == typ && e.Room == room }
}

// event waits for the n-th event (from 1 on) that match accepts.
func (p *tool) event(what string, n int, match func(event) bool) (found event) {
	p.t.Helper()
	p.out.until(p.t, what, func() bool {
		left := n
		for _, e := range p.out.events {
			if match(e) {
				if left--; left == 0 {
					found = e
					return true
				}
			}
		}
		return false
	})
	return found
}

// events returns those that match accepts, of those that came so far.
func (p *tool) events(match func(event) bool) (found []event) {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	for _, e := range p.out.events {
		if match(e) {
			found = append(found, e)
		}
	}
	return found
}
