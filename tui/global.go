package tui

import (
	"context"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// reportsKeys: tests that drive the real program see from its status how many
// keys it has handled, and that nothing they began goes on.
func reportsKeys() bool { return os.Getenv("PARTY_UI_KEYS") != "" }

// recording is a script that is being made.
type recording struct {
	path  string
	since time.Time
}

func alwaysBindings() []binding {
	return []binding{
		{scope: always, keys: []string{"n"}, name: "connect", short: "connect",
			help: "connect a test client to a room by its name, also to a new one", run: (*model).connectAnywhere, off: needServing},
		{scope: always, keys: []string{"L"}, name: "log", short: "log", foot: 20,
			help: "what the server writes and logs", run: func(m *model) tea.Cmd { m.visit(pageLog); return nil }},
		{scope: always, keys: []string{"B"}, name: "build", short: "build",
			help: "the last build, and what the compiler says", run: func(m *model) tea.Cmd { m.visit(pageBuild); return nil }},
		{scope: always, keys: []string{"R"}, name: "reload", short: "reload",
			help: "build again and swap the code, keeping connections", run: (*model).reload, off: building},
		{scope: always, keys: []string{"K"}, name: "crash", short: "crash",
			help: "end the process of the running code as a bug would (asks first)", run: (*model).crash, off: needCode},
		{scope: always, keys: []string{"t"}, name: "advance", short: "advance clock",
			help: "move the rooms' clock; what falls due runs", run: (*model).advance},
		{scope: always, keys: []string{"w"}, name: "record", short: "record",
			help: "write what happens from now on as a script, or end that", run: (*model).toggleRecord, off: needRecorder},
		{scope: always, keys: []string{"M"}, name: "mouse", short: "mouse",
			help: "release the mouse, to select text with it, or take it back", run: (*model).toggleMouse},
		{scope: always, keys: []string{":"}, name: "", short: "commands", foot: 30,
			help: "all commands, to be found by typing", run: (*model).openPalette},
		{scope: always, keys: []string{"?"}, name: "keys", short: "keys", foot: 31,
			help: "all keys", run: (*model).openHelp},
		{scope: always, keys: []string{"ctrl+l"}, name: "redraw", short: "redraw",
			help: "draw the screen again", run: func(*model) tea.Cmd { return tea.ClearScreen }},
		{scope: always, keys: []string{"q", "ctrl+c"}, name: "quit", short: "quit", foot: 32,
			help: "leave; `party dev` ends with it, while an attached dashboard leaves the emulator running", run: (*model).quit},
	}
}

func (m *model) quit() tea.Cmd {
	m.leaving = true
	return tea.Quit
}

func needServing(m *model) string {
	if m.snap == nil || m.snap.URL == "" {
		return "the server does not serve yet"
	}
	return ""
}

func needCode(m *model) string {
	if m.snap == nil || !m.snap.Generation.Running {
		return "no code runs"
	}
	return ""
}

func building(m *model) string {
	if m.build.running() {
		return "a build is under way"
	}
	return ""
}

func needRecorder(m *model) string {
	if m.o.Recorder == nil {
		return "this dashboard cannot record; use `party record FILE`"
	}
	return ""
}

func (m *model) reload() tea.Cmd {
	em := m.o.Emulator
	return m.do("building and reloading", reloadLimit, func(ctx context.Context) (string, error) {
		return "reloaded", em.Reload(ctx)
	}, func(m *model, err error) tea.Cmd {
		if err != nil && !m.build.failed() { // the build's own line says more
			m.sayError(err)
		}
		return nil
	})
}

func (m *model) crash() tea.Cmd {
	em := m.o.Emulator
	m.confirm(warn, "Crash the running code? Turns that run are lost with what they have not committed.", "it is started again at once", func(m *model) tea.Cmd {
		return m.act("crashing", "the code has crashed", em.Crash)
	})
	return nil
}

func (m *model) advance() tea.Cmd {
	em := m.o.Emulator
	hint := "a time such as 10s, 5m or 24h"
	if r := m.targetRoom(); r != nil && r.Alarm != nil {
		hint += "; the alarm is due " + until(r.Alarm.Due.Sub(m.roomNow()))
	}
	return m.ask(input{
		label: "advance the clock by", hint: hint, past: &m.rooms.advanced,
		enter: func(m *model, text string) tea.Cmd {
			text = strings.TrimPrefix(strings.TrimSpace(text), "+")
			if text == "" {
				return nil
			}
			d, err := parseSpan(text)
			if err != nil || d <= 0 {
				m.say(bad, "\""+clean(text)+"\" is no time to go forward: write it as 90s, 10m or 24h")
				return nil
			}
			return m.do("advancing the clock by "+d.String(), actionLimit, func(ctx context.Context) (string, error) {
				now, err := em.Advance(ctx, d)
				return "the clock is at " + clock(now), err
			}, nil)
		},
	}, "")
}

// parseSpan reads a duration, also in days.
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		return 24 * d, err
	}
	return time.ParseDuration(s)
}

func (m *model) toggleRecord() tea.Cmd {
	rec := m.o.Recorder
	if m.record.path != "" {
		return m.do("ending the script", actionLimit, func(ctx context.Context) (string, error) { return rec.Stop(ctx) },
			func(m *model, err error) tea.Cmd {
				if err != nil {
					m.sayError(err)
				} else {
					m.record = recording{}
				}
				return nil
			})
	}
	return m.ask(input{
		label: "record into", hint: "a file such as session.txtar",
		enter: func(m *model, path string) tea.Cmd {
			if path = strings.TrimSpace(path); path == "" {
				return nil
			}
			return m.do("starting to record", actionLimit, func(ctx context.Context) (string, error) {
				return "recording into " + clean(path) + "; w ends it", rec.Start(ctx, path)
			}, func(m *model, err error) tea.Cmd {
				if err != nil {
					m.sayError(err)
				} else {
					m.record = recording{path: path, since: m.now()}
				}
				return nil
			})
		},
	}, "session.txtar")
}

func (m *model) toggleMouse() tea.Cmd {
	m.mouse = !m.mouse
	if m.mouse {
		m.say(plain, "the mouse is back")
	} else {
		m.say(plain, "the mouse is released: select text as usual; M takes it back")
	}
	return nil
}

func movingBindings() []binding {
	by := func(f func(h int) int) func(m *model) tea.Cmd {
		return func(m *model) tea.Cmd { return m.move(f) }
	}
	return []binding{
		{scope: moving, keys: []string{"up", "k"}, short: "up", help: "up", run: by(func(int) int { return -1 })},
		{scope: moving, keys: []string{"down", "j"}, short: "down", help: "down", run: by(func(int) int { return 1 })},
		{scope: moving, keys: []string{"pgup", "ctrl+u"}, short: "page up", help: "a page up", run: by(func(h int) int { return -max(h-1, 1) })},
		{scope: moving, keys: []string{"pgdown", "ctrl+d"}, short: "page down", help: "a page down", run: by(func(h int) int { return max(h-1, 1) })},
		{scope: moving, keys: []string{"home", "g"}, short: "first", help: "to the first", run: by(func(int) int { return -1 << 30 })},
		{scope: moving, keys: []string{"end", "G"}, short: "last", help: "to the last, and on with what comes", run: by(func(int) int { return 1 << 30 })},
		{scope: moving, keys: []string{"shift+down", "ctrl+e"}, short: "detail down", help: "scroll what is laid out down", run: func(m *model) tea.Cmd { m.scrollDetail(3); return nil }},
		{scope: moving, keys: []string{"shift+up", "ctrl+y"}, short: "detail up", help: "scroll it up", run: func(m *model) tea.Cmd { m.scrollDetail(-3); return nil }},
	}
}

// list is the one that the keys move in, or nil.
func (m *model) list() *list {
	switch m.page {
	case pageRooms:
		return &m.rooms.list
	case pageRoom:
		return m.room.list(m)
	case pageLog:
		return &m.log.list
	case pageBuild:
		return &m.build.list
	}
	return nil
}

// move moves in the list. f gets how many lines are seen.
func (m *model) move(f func(h int) int) tea.Cmd {
	l := m.list()
	if l == nil {
		return nil
	}
	return m.moveBy(f(l.h))
}

func (m *model) moveBy(by int) tea.Cmd {
	l := m.list()
	if l == nil {
		return nil
	}
	moved := l.move(by)
	switch m.page {
	case pageRooms:
		m.rooms.moved()
	case pageRoom:
		return m.room.moved(m, moved, by)
	case pageLog:
		m.log.moved()
	}
	return nil
}

// typingBindings are for the page of keys: the field knows them itself.
func typingBindings() []binding {
	return []binding{
		{scope: typing, keys: []string{"enter"}, short: "done", help: "done"},
		{scope: typing, keys: []string{"esc"}, short: "leave", help: "leave it"},
		{scope: typing, keys: []string{"up", "down"}, short: "history", help: "what was typed before; in a filter, up and down in the list"},
		{scope: typing, keys: []string{"ctrl+u", "ctrl+k", "ctrl+w"}, short: "delete", help: "delete to the start, to the end, a word"},
	}
}
