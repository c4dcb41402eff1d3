package tui

import (
	"fmt"
	"io"
	trace "runtime/debug"
	"strings"
	"sync"

	tea "charm.land/bubbletea/v2"
)

// careful is a dashboard whose panics, wherever they are, end it in order. The
// library would print the stack of one in a command while the screen is still
// the dashboard's, and so lose it.
type careful struct {
	m   *model
	bug *bug
}

// bug is the first panic.
type bug struct {
	mu   sync.Mutex
	text string
}

// caught is deferred where the dashboard's own code runs; then follows a panic
// of that.
func (b *bug) caught(then func()) {
	v := recover()
	if v == nil {
		return
	}
	b.mu.Lock()
	if b.text == "" {
		b.text = fmt.Sprintf("panic: %v\n\n%s", v, trace.Stack())
	}
	b.mu.Unlock()
	then()
}

func (b *bug) found() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text != ""
}

// print writes what is to be reported.
func (b *bug) print(w io.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = fmt.Fprintf(w, "the dashboard had a bug; this is where:\n\n%s\n", strings.TrimSpace(b.text))
}

func (c careful) Init() (cmd tea.Cmd) {
	defer c.bug.caught(func() { cmd = tea.Quit })
	return c.bug.wrap(c.m.Init())
}

func (c careful) Update(msg tea.Msg) (next tea.Model, cmd tea.Cmd) {
	if c.bug.found() {
		return c, tea.Quit
	}
	defer c.bug.caught(func() { next, cmd = c, tea.Quit })
	_, cmd = c.m.Update(msg)
	return c, c.bug.wrap(cmd)
}

// View draws nothing after a panic. If it was one of its own, the next message
// ends the dashboard: its heart beats.
func (c careful) View() (v tea.View) {
	if c.bug.found() {
		return v
	}
	defer c.bug.caught(func() { v = tea.View{} })
	return c.m.View()
}

// wrap guards a command and those that it makes.
func (b *bug) wrap(cmd tea.Cmd) tea.Cmd {
	if cmd == nil {
		return nil
	}
	return func() (msg tea.Msg) {
		defer b.caught(func() { msg = tea.Quit() })
		msg = cmd()
		if batch, ok := msg.(tea.BatchMsg); ok {
			for i, cmd := range batch {
				batch[i] = b.wrap(cmd)
			}
		}
		return msg
	}
}
