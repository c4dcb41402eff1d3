package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// connectionsTab shows a room's connections.
type connectionsTab struct {
	list list
	all  []inspect.Connection
	id   string // the chosen one's
}

func connectionsBindings() []binding {
	return []binding{
		{scope: inConnections, keys: []string{"enter"}, name: "show", short: "show", foot: 1,
			help: "show all of the chosen connection, its state laid out", run: (*model).layOut, off: needConnection},
		{scope: inConnections, keys: []string{"s"}, name: "send", short: "send", foot: 2,
			help: "send it a message, as the server would", run: (*model).sendOne, off: needConnection},
		{scope: inConnections, keys: []string{"x"}, name: "cut", short: "cut", foot: 2,
			help: "end it without a close frame", run: (*model).cutOne, off: needConnection},
		{scope: inConnections, keys: []string{"D"}, name: "delay", short: "delay",
			help: "let everything to and from it take longer", run: (*model).delayOne, off: needConnection},
		{scope: inConnections, keys: []string{"y"}, name: "copy-id", short: "copy id",
			help: "copy its id", run: func(m *model) tea.Cmd { c := m.room.conns.chosen(); return m.copy(c.ID, c.ID) }, off: needConnection},
	}
}

func needConnection(m *model) string {
	if m.room.conns.chosen() == nil {
		return "the room has no connections"
	}
	return ""
}

func (t *connectionsTab) chosen() *inspect.Connection {
	if t.list.at < len(t.all) {
		return &t.all[t.list.at]
	}
	return nil
}

// take takes over the connections; the cursor stays on its one.
func (t *connectionsTab) take(all []inspect.Connection) {
	if c := t.chosen(); c != nil {
		t.id = c.ID
	}
	t.all = all
	at := t.list.at
	if at >= len(all) || all[at].ID != t.id {
		for i := range all {
			if all[i].ID == t.id {
				at = i
				break
			}
		}
	}
	t.list.at = at
	t.list.fit(len(all), t.list.h)
}

func (m *model) sendOne() tea.Cmd {
	c := m.room.conns.chosen()
	return m.sendTo(m.room.name, c.ID, clean(c.ID))
}

func (m *model) cutOne() tea.Cmd {
	c := m.room.conns.chosen()
	return m.cutTo(m.room.name, c.ID, clean(c.ID))
}

func (m *model) delayOne() tea.Cmd {
	c := m.room.conns.chosen()
	return m.delayTo(m.room.name, c.ID, clean(c.ID))
}

var connectionColumns = []column{
	{title: "Id", least: 10, grow: 2, most: 36},
	{title: "Status", least: 10, drop: 3},
	{title: "Age", least: 7, right: true, drop: 2},
	{title: "In", least: 6, right: true, drop: 4},
	{title: "Out", least: 6, right: true, drop: 4},
	{title: "Tags", least: 10, grow: 2, most: 30, drop: 5},
	{title: "State", least: 12, grow: 4, drop: 6},
	{title: "URI", least: 16, grow: 3, drop: 7},
}

func (t *connectionsTab) draw(m *model, a *area) {
	th := m.th
	widths := layout(connectionColumns, a.w-margin-1)
	a.put(th.heads(connectionColumns, widths, a.w, -1, ""))
	t.list.fit(len(t.all), a.left())
	if len(t.all) == 0 {
		text := "no connections; c connects a test client"
		if m.room.info == nil {
			text = "looking " + th.dots
		}
		a.put(th.line().add(plain, spaces(margin)).add(dim, text).end(a.w))
	}
	now := m.roomNow()
	for i := t.list.top; i < min(t.list.top+t.list.h, len(t.all)); i++ {
		c := &t.all[i]
		status := value{role: good, text: th.open + " " + c.Status}
		switch {
		case c.Delay > 0:
			status = value{role: warn, text: th.open + " +" + span(c.Delay)}
		case c.Status != "open":
			status = value{role: dim, text: th.shut + " " + c.Status}
		case c.Queued > 0:
			status = value{role: warn, text: th.open + " " + bytesText(c.Queued)} // not read by the client
		}
		l := th.begin(i == t.list.at, m.input == nil)
		l.fields(connectionColumns, widths, []value{
			{role: plain, text: clean(c.ID)}, status, {role: dim, text: wholeSpan(now.Sub(c.Opened))},
			{role: inward, text: countOrDot(th, int(c.Traffic.In))}, {role: outward, text: countOrDot(th, int(c.Traffic.Out))}, //nolint:gosec // a count
			{role: plain, text: clean(strings.Join(tagsOf(c), " "))},
			{role: dim, text: clean(string(c.State))}, {role: dim, text: clean(pathOf(c.URI))},
		}, th.dots)
		a.put(l.end(a.w))
		a.on(0, a.w, func(m *model) tea.Cmd {
			if t.list.at == i {
				return m.layOut()
			}
			return m.moveBy(i - t.list.at)
		})
	}
}

// tagsOf leaves out the first tag, which is the id.
func tagsOf(c *inspect.Connection) []string {
	if len(c.Tags) > 0 && c.Tags[0] == c.ID {
		return c.Tags[1:]
	}
	return c.Tags
}

// pathOf leaves out the part of a URL that is the same for all.
func pathOf(uri string) string {
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
	}
	return uri
}

func (t *connectionsTab) lay(m *model, w int) (string, []string) {
	c := t.chosen()
	if c == nil || w <= 0 {
		return "connection", nil
	}
	queued, delay := "", ""
	if c.Queued > 0 {
		queued = bytesText(c.Queued) + " that the client has not read"
	}
	if c.Delay > 0 {
		delay = c.Delay.String()
	}
	lines := layFacts(m.th, w,
		"id", c.ID, "status", c.Status, "uri", c.URI, "tags", strings.Join(c.Tags, "  "),
		"opened", stamp(c.Opened)+", "+wholeSpan(m.roomNow().Sub(c.Opened))+" ago",
		"in", plural(c.Traffic.In, "message")+", "+bytesText(c.Traffic.InBytes),
		"out", plural(c.Traffic.Out, "message")+", "+bytesText(c.Traffic.OutBytes),
		"queued", queued, "delay", delay)
	lines = append(lines, spaces(w))
	if len(c.State) == 0 {
		return clean(c.ID), append(lines, m.th.line().add(dim, "no state").end(w))
	}
	lines = append(lines, m.th.line().add(dim, "state").end(w))
	return clean(c.ID), append(lines, lay(m.th, string(c.State), w)...)
}
