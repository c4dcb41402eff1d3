package tui

import (
	"strings"
	"sync"

	tea "charm.land/bubbletea/v2"
)

// scope is where a binding holds.
type scope int

const (
	nowhere scope = iota
	always
	moving
	inRooms
	onRoom // a room is chosen in the table, or its page is open
	inRoom
	inMessages
	inConnections
	inStorage
	inAlarm
	inLife
	inClients
	inLog
	inBuild
	typing
	typingToClient
)

// scopeTitles are for the page of keys and the README, in their order.
var scopeTitles = []struct {
	scope scope
	title string
}{
	{always, "Everywhere"},
	{moving, "In lists"},
	{inRooms, "Rooms"},
	{onRoom, "On a room"},
	{inRoom, "A room's page"},
	{inMessages, "Messages"},
	{inConnections, "Connections"},
	{inStorage, "Storage"},
	{inAlarm, "Alarm"},
	{inLife, "Life"},
	{inClients, "Test clients"},
	{typingToClient, "Writing as a test client"},
	{inLog, "Log"},
	{inBuild, "Build"},
	{typing, "While typing"},
}

// binding is one thing that can be done: with a key, as a command, with a click
// in the footer. The table of them feeds all of these, and the README.
type binding struct {
	scope scope
	keys  []string // as Bubble Tea names them
	name  string   // of the command; "": it is none
	short string   // in the footer
	help  string   // a sentence
	foot  int      // its place in the footer; 0: none
	run   func(m *model) tea.Cmd
	off   func(m *model) string // why it cannot be done now; nil or "": it can
}

// Places in the footer that stay where there is little room: the way back, and
// from lastPlaces on how to find all others.
const (
	wayBack    = 29
	lastPlaces = 30
)

// bindings is the table. Of those that hold, the first counts.
func bindings() []binding {
	gathered.once.Do(func() {
		for _, some := range [][]binding{roomsBindings(), onRoomBindings(), roomBindings(), messagesBindings(), connectionsBindings(), storageBindings(),
			alarmBindings(), lifeBindings(), clientsBindings(), logBindings(), buildBindings(), movingBindings(), alwaysBindings(), typingBindings()} {
			gathered.all = append(gathered.all, some...)
		}
	})
	return gathered.all
}

var gathered struct {
	once sync.Once
	all  []binding
}

// scopes lists those that hold now, the most special first.
func (m *model) scopes() []scope {
	switch m.page {
	case pageRooms:
		return []scope{inRooms, onRoom, moving, always}
	case pageRoom:
		return []scope{m.room.tab.scope(), inRoom, onRoom, moving, always}
	case pageLog:
		return []scope{inLog, moving, always}
	case pageBuild:
		return []scope{inBuild, moving, always}
	}
	return []scope{always}
}

// reason says why a binding cannot be used, or "".
func (b *binding) reason(m *model) string {
	if b.off == nil {
		return ""
	}
	return b.off(m)
}

// use does what a binding is for, or says why not.
func (b *binding) use(m *model) tea.Cmd {
	if why := b.reason(m); why != "" {
		m.say(warn, b.short+": "+why)
		return nil
	}
	return b.run(m)
}

// pressed looks a key up in the given scopes.
func (m *model) pressed(msg tea.KeyPressMsg, scopes ...scope) (tea.Cmd, bool) {
	key := msg.String()
	for _, s := range scopes {
		if s == nowhere {
			continue
		}
		for i := range bindings() {
			b := &bindings()[i]
			if b.scope != s || b.run == nil {
				continue
			}
			for _, k := range b.keys {
				if k == key {
					return b.use(m), true
				}
			}
		}
	}
	return nil, false
}

// key handles a key.
func (m *model) key(msg tea.KeyPressMsg) tea.Cmd {
	if msg.String() == "ctrl+c" {
		return m.quit()
	}
	m.said.seen(m.now())
	switch {
	case len(m.overs) > 0:
		return m.overs[len(m.overs)-1].key(m, msg)
	case m.input != nil:
		return m.inputKey(msg)
	}
	cmd, _ := m.pressed(msg, m.scopes()...)
	return cmd
}

// keyNames are how keys are written for people.
var keyNames = strings.NewReplacer(
	"backspace", "Backspace", "pgdown", "PgDn", "pgup", "PgUp", "shift+", "Shift-", "ctrl+", "Ctrl-", "enter", "Enter", "esc", "Esc",
	"space", "Space", "tab", "Tab", "home", "Home", "end", "End", "up", "Up", "down", "Down", "left", "Left", "right", "Right",
)

func (b *binding) keyText() string {
	names := make([]string, len(b.keys))
	for i, k := range b.keys {
		names[i] = k
		if letter, ok := strings.CutPrefix(k, "ctrl+"); ok {
			names[i] = "Ctrl-" + strings.ToUpper(letter)
		} else if len(k) > 1 {
			names[i] = keyNames.Replace(k)
		}
	}
	return strings.Join(names, " ")
}

// footKey is the key that the footer names.
func (b *binding) footKey() string {
	k := b.keys[0]
	if len(k) > 1 {
		return strings.ToLower(keyNames.Replace(k))
	}
	return k
}

// markdown writes the table of keys for the README.
func markdown() string {
	var out strings.Builder
	for _, s := range scopeTitles {
		out.WriteString("\n**" + s.title + "**\n\n| key | command | |\n|---|---|---|\n")
		for _, b := range bindings() {
			if b.scope != s.scope {
				continue
			}
			keys, name := "", ""
			for i, k := range strings.Fields(b.keyText()) {
				if i > 0 {
					keys += " "
				}
				keys += "`" + strings.ReplaceAll(k, "|", `\|`) + "`"
			}
			if b.name != "" {
				name = "`:" + b.name + "`"
			}
			out.WriteString("| " + keys + " | " + name + " | " + b.help + " |\n")
		}
	}
	return out.String()
}
