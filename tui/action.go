package tui

import (
	"context"
	"errors"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// doing is something that was asked of the emulator and has not ended.
type doing struct {
	id    int
	what  string
	since time.Time
}

// done is the message that it has.
type done struct {
	id   int
	text string // what came of it
	err  error
	then func(m *model, err error) tea.Cmd // nil: it is said
}

// said is the last thing that the dashboard said.
type said struct {
	role  role
	text  string
	at    time.Time
	sight bool // a key was pressed since
}

// How long a line stays: what went well is soon known.
const (
	saidFor   = 8 * time.Second
	saidLeast = 2 * time.Second // also where keys are pressed
)

// say shows a line. Errors stay until a key is pressed.
func (m *model) say(r role, text string) {
	m.said = said{role: r, text: text, at: m.now()}
}

// seen notes that a key was pressed.
func (s *said) seen(now time.Time) {
	if s.text != "" && now.Sub(s.at) > saidLeast {
		*s = said{}
	}
}

func (s *said) fade(now time.Time) {
	if s.text != "" && s.role != bad && now.Sub(s.at) > saidFor {
		*s = said{}
	}
}

// The time that the emulator has for what was asked. A reload builds.
const (
	actionLimit = 30 * time.Second
	reloadLimit = 10 * time.Minute
)

// do asks something of the emulator. what says it in progress ("evicting
// chat/lobby"); f returns what is said when it is done.
func (m *model) do(what string, limit time.Duration, f func(ctx context.Context) (string, error), then func(m *model, err error) tea.Cmd) tea.Cmd {
	m.ids++
	d := &doing{id: m.ids, what: what, since: m.now()}
	m.doing = append(m.doing, d)
	m.said = said{}
	parent := m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, limit)
		defer cancel()
		text, err := f(ctx)
		return done{id: d.id, text: text, err: err, then: then}
	}
}

// act is do for what says no more than that it was done.
func (m *model) act(what, then string, f func(ctx context.Context) error) tea.Cmd {
	return m.do(what, actionLimit, func(ctx context.Context) (string, error) { return then, f(ctx) }, nil)
}

func (m *model) onDone(msg done) tea.Cmd {
	for i, d := range m.doing {
		if d.id == msg.id {
			m.doing = append(m.doing[:i:i], m.doing[i+1:]...)
			break
		}
	}
	m.needed++
	var cmd tea.Cmd
	switch {
	case msg.then != nil:
		cmd = msg.then(m, msg.err)
		if msg.err == nil && msg.text != "" {
			m.say(good, msg.text)
		}
	case msg.err != nil:
		m.sayError(msg.err)
	case msg.text != "":
		m.say(good, msg.text)
	}
	return tea.Batch(cmd, m.look())
}

func (m *model) sayError(err error) { m.say(bad, strings.TrimSpace(err.Error())) }

func firstLine(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return first
}

// The reasons for which a room's actions cannot be used.

func needRoom(m *model) string {
	if m.target() == "" {
		return "there is no room yet; " + firstConnect
	}
	return ""
}

const firstConnect = "connect to one first (n)"

func needState(m *model, states ...string) string {
	if why := needRoom(m); why != "" {
		return why
	}
	r := m.targetRoom()
	if r == nil {
		return "the room is gone"
	}
	for _, s := range states {
		if r.State == s {
			return ""
		}
	}
	return "the room is " + r.State
}

func needAlarm(m *model) string {
	if why := needRoom(m); why != "" {
		return why
	}
	if r := m.targetRoom(); r == nil || r.Alarm == nil {
		return "the room has no alarm"
	}
	return ""
}

func needConnections(m *model) string {
	if why := needRoom(m); why != "" {
		return why
	}
	if r := m.targetRoom(); r == nil || r.Connections == 0 {
		return "the room has no connections"
	}
	return ""
}

func awake(m *model) string {
	return needState(m, inspect.Running, inspect.Starting, inspect.Reloading, inspect.Crashed)
}

// onRoomBindings is what can be done to a room.
func onRoomBindings() []binding {
	return []binding{
		{scope: onRoom, keys: []string{"c"}, name: "client", short: "client", foot: 3,
			help: "connect a test client to the room and write messages as it", run: (*model).connectHere, off: needRoom},
		{scope: onRoom, keys: []string{"h"}, name: "hibernate", short: "hibernate", foot: 4,
			help: "drop the room's memory and keep its connections", run: (*model).hibernate, off: awake},
		{scope: onRoom, keys: []string{"e"}, name: "evict", short: "evict", foot: 5,
			help: "drop its memory as the platform would, whatever keeps it awake", run: (*model).evict, off: awake},
		{scope: onRoom, keys: []string{"a"}, name: "abort", short: "abort", foot: 6,
			help: "reset the instance: uncommitted writes are lost and connections cut", run: (*model).abort, off: needRoom},
		{scope: onRoom, keys: []string{"f"}, name: "fire", short: "fire alarm", foot: 7,
			help: "run the alarm's handler now", run: (*model).fire, off: needAlarm},
		{scope: onRoom, keys: []string{"S"}, name: "send-all", short: "send to all",
			help: "send a message to all connections, as the server would", run: (*model).sendAll, off: needConnections},
		{scope: onRoom, name: "cut-all", short: "cut all",
			help: "end all connections without a close frame", run: (*model).cutAll, off: needConnections},
		{scope: onRoom, name: "delay-all", short: "delay all",
			help: "let everything to and from its connections take longer", run: (*model).delayAll, off: needConnections},
		{scope: onRoom, name: "fail-commit", short: "fail commit",
			help: "make the room's next commit fail", run: (*model).failCommit, off: needRoom},
		{scope: onRoom, keys: []string{"X"}, name: "reset", short: "reset",
			help: "delete the room's storage and alarm (asks first)", run: (*model).reset, off: needRoom},
		{scope: onRoom, keys: []string{"y"}, name: "copy-name", short: "copy name",
			help: "copy the room's name; where there is none yet, the line that makes one", run: func(m *model) tea.Cmd {
				if m.target() == "" && m.firstRoom() != "" {
					return m.copyTry()
				}
				return m.copy(m.target(), m.target())
			}},
	}
}

func (m *model) hibernate() tea.Cmd {
	room, em := m.target(), m.o.Emulator
	then := func(m *model, err error) tea.Cmd {
		if err == nil {
			return nil
		}
		if m.ctx.Err() != nil || errors.Is(err, inspect.ErrNoRoom) || errors.Is(err, context.DeadlineExceeded) {
			m.sayError(err)
			return nil
		}
		m.confirm(warn, err.Error(), "hibernate it by force", func(m *model) tea.Cmd {
			return m.act("hibernating "+clean(room), clean(room)+" hibernates (forced)", func(ctx context.Context) error {
				return em.Hibernate(ctx, room, true)
			})
		})
		return nil
	}
	return m.do("hibernating "+clean(room), actionLimit, func(ctx context.Context) (string, error) {
		return clean(room) + " sleeps", em.Hibernate(ctx, room, false)
	}, then)
}

func (m *model) evict() tea.Cmd {
	room, em := m.target(), m.o.Emulator
	return m.act("evicting "+clean(room), clean(room)+" was evicted", func(ctx context.Context) error { return em.Evict(ctx, room) })
}

func (m *model) abort() tea.Cmd {
	room, em := m.target(), m.o.Emulator
	return m.act("aborting "+clean(room), clean(room)+" was aborted", func(ctx context.Context) error { return em.Abort(ctx, room) })
}

func (m *model) fire() tea.Cmd {
	room, em := m.target(), m.o.Emulator
	return m.act("firing the alarm of "+clean(room), "the alarm of "+clean(room)+" was fired", func(ctx context.Context) error { return em.Fire(ctx, room) })
}

func (m *model) failCommit() tea.Cmd {
	room, em := m.target(), m.o.Emulator
	return m.act("asking for it", "the next commit of "+clean(room)+" will fail", func(ctx context.Context) error { return em.FailCommit(ctx, room) })
}

func (m *model) reset() tea.Cmd {
	room, em := m.target(), m.o.Emulator
	question := "Reset " + clean(room) + "? Its storage and alarm are deleted, and its connections cut. There is no way back."
	m.confirm(bad, question, "delete everything that it stored", func(m *model) tea.Cmd {
		return m.act("resetting "+clean(room), clean(room)+" was reset", func(ctx context.Context) error { return em.Reset(ctx, room) })
	})
	return nil
}

// sendTo asks for a message and sends it; id "" is all connections.
func (m *model) sendTo(room, id, to string) tea.Cmd {
	em := m.o.Emulator
	return m.ask(input{
		label: "send to " + to, hint: "text of the message", past: &m.rooms.sent,
		enter: func(m *model, text string) tea.Cmd {
			if text == "" {
				return nil
			}
			return m.do("sending", actionLimit, func(ctx context.Context) (string, error) {
				n, err := em.Send(ctx, room, id, false, []byte(text))
				return "sent to " + plural(n, "connection"), err
			}, nil)
		},
	}, "")
}

func (m *model) sendAll() tea.Cmd {
	return m.sendTo(m.target(), "", "all of "+clean(m.target()))
}

func (m *model) cutTo(room, id, what string) tea.Cmd {
	em := m.o.Emulator
	return m.do("cutting "+what, actionLimit, func(ctx context.Context) (string, error) {
		n, err := em.Cut(ctx, room, id)
		return plural(n, "connection") + " cut; the server sees 1006", err
	}, nil)
}

func (m *model) cutAll() tea.Cmd {
	room := m.target()
	m.confirm(warn, "Cut all connections of "+clean(room)+"?", "the server sees 1006", func(m *model) tea.Cmd {
		return m.cutTo(room, "", "all of "+clean(room))
	})
	return nil
}

// delayTo asks for a time and slows connections down.
func (m *model) delayTo(room, id, what string) tea.Cmd {
	em := m.o.Emulator
	return m.ask(input{
		label: "delay " + what + " by", hint: "a time such as 300ms; 0 ends it",
		enter: func(m *model, text string) tea.Cmd {
			if strings.TrimSpace(text) == "0" {
				text = "0s"
			}
			d, err := time.ParseDuration(strings.TrimSpace(text))
			if err != nil || d < 0 {
				m.say(bad, "\""+clean(text)+"\" is no time: write it as 300ms or 2s, and 0 for none")
				return nil
			}
			return m.do("delaying", actionLimit, func(ctx context.Context) (string, error) {
				n, err := em.Delay(ctx, room, id, d)
				return plural(n, "connection") + " delayed by " + d.String(), err
			}, nil)
		},
	}, "")
}

func (m *model) delayAll() tea.Cmd { return m.delayTo(m.target(), "", "all of "+clean(m.target())) }

// copy puts a text on the clipboard; what says it for people.
func (m *model) copy(text, what string) tea.Cmd {
	if text == "" {
		m.say(warn, "there is nothing to copy")
		return nil
	}
	m.say(good, "copied "+clip(clean(firstLine(what)), 60, m.th.dots))
	return tea.SetClipboard(text)
}
