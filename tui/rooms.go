package tui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// roomsPane is the table of all rooms.
type roomsPane struct {
	list     list
	shown    []*room // filtered, in order
	filter   string
	by       int // of orders
	reversed bool
	name     string // the chosen room's: it keeps the cursor when the order changes

	sent, advanced, connected past
}

func roomsBindings() []binding {
	return []binding{
		{scope: inRooms, keys: []string{"enter", "right"}, name: "open", short: "open", foot: 1,
			help: "open the room's page", run: func(m *model) tea.Cmd { return m.open(m.target(), m.lastTab()) }, off: needRoom},
		{scope: inRooms, keys: []string{"/"}, name: "filter", short: "filter", foot: 2,
			help: "show only rooms whose name has what is typed, or that are in a state such as run", run: (*model).filterRooms},
		{scope: inRooms, keys: []string{"o"}, name: "sort", short: "sort", foot: 10,
			help: "sort by the next column", run: func(m *model) tea.Cmd { m.rooms.sort(m, (m.rooms.by+1)%len(orders)); return nil }},
		{scope: inRooms, keys: []string{"O"}, name: "reverse", short: "reverse",
			help: "turn the order around", run: func(m *model) tea.Cmd { m.rooms.sort(m, m.rooms.by); return nil }},
		{scope: inRooms, keys: []string{"esc"}, short: "all rooms",
			help: "show all rooms again", run: func(m *model) tea.Cmd { m.rooms.setFilter(m, ""); return nil }},
	}
}

// lastTab is the one that a room's page was left at.
func (m *model) lastTab() tab {
	if m.room != nil {
		return m.room.tab
	}
	return tabMessages
}

// refresh takes over what the world looks like now. The cursor stays on its
// room.
func (p *roomsPane) refresh(m *model) {
	p.shown = m.world.choose(p.filter, p.by, p.reversed, p.shown)
	at := p.list.at
	if p.name != "" && (at >= len(p.shown) || p.shown[at].Room.Room != p.name) {
		for i, r := range p.shown {
			if r.Room.Room == p.name {
				at = i
				break
			}
		}
	}
	p.list.at = at
	p.list.fit(len(p.shown), p.list.h)
	p.moved()
}

// moved notes which room the cursor is on.
func (p *roomsPane) moved() {
	if r := p.chosen(); r != nil {
		p.name = r.Room.Room
	}
}

func (p *roomsPane) chosen() *room {
	if p.list.at < len(p.shown) {
		return p.shown[p.list.at]
	}
	return nil
}

func (p *roomsPane) sort(m *model, by int) {
	if by == p.by {
		p.reversed = !p.reversed
	} else {
		p.by, p.reversed = by, false
	}
	p.refresh(m)
}

func (p *roomsPane) setFilter(m *model, text string) {
	p.filter = text
	p.refresh(m)
}

func (m *model) filterRooms() tea.Cmd {
	was := m.rooms.filter
	return m.ask(input{
		label:   "filter",
		hint:    "part of a name, or a state",
		changed: func(m *model, text string) { m.rooms.setFilter(m, text) },
		escape:  func(m *model) tea.Cmd { m.rooms.setFilter(m, ""); return nil },
		scope:   nowhere,
	}, was)
}

// The columns of the table; those that orders sort by are in the same place.
var roomColumns = []column{
	{title: "Room", least: 14, grow: 5, most: 44},
	{title: "State", least: 13},
	{title: "Conns", least: 7, right: true, drop: 2},
	{title: "Msg/s", least: 7, right: true, drop: 3},
	{title: "", least: 12, grow: 1, most: history, drop: 9},
	{title: "Turn", least: 12, grow: 1, most: 18, drop: 8},
	{title: "Alarm", least: 9, drop: 5},
	{title: "Size", least: 6, right: true, drop: 7},
	{title: "Last error", least: 14, grow: 6, drop: 4},
}

// roomOrders says which order a click on a column chooses.
var roomOrders = []int{0, 1, 2, 3, 3, 4, 5, 6, 7}

// shortStates are the words for narrow terminals.
var shortStates = map[string]string{
	inspect.Running: "run", inspect.Hibernated: "hib", inspect.Cold: "cold",
	inspect.Starting: "start", inspect.Reloading: "load", inspect.Crashed: "crash",
}

// shortState is the width from which on states have their whole words.
const shortState = 12

// columns chooses what fits. On a narrow terminal the state is its glyph and
// the first letters of its word.
func (p *roomsPane) columns(w int) ([]column, []int) {
	cols := append([]column(nil), roomColumns...)
	if w < 60 {
		cols[1].least = 7
		cols[2].least, cols[3].least = 5, 5
	}
	return cols, layout(cols, w-margin-1)
}

func (p *roomsPane) draw(m *model, a *area) {
	if m.snap == nil {
		drawWaiting(m, a)
		return
	}
	if len(m.world.sorted) == 0 {
		drawFirst(m, a)
		return
	}
	t := m.th
	cols, widths := p.columns(a.w)
	sign := t.down
	if p.reversed {
		sign = t.up
	}
	marked := -1
	for i, o := range roomOrders {
		if o == p.by && cols[i].title != "" {
			marked = i
			break
		}
	}
	a.put(t.heads(cols, widths, a.w, marked, sign))
	x := margin
	for i, w := range widths {
		if w > 0 {
			a.on(x, w, func(m *model) tea.Cmd { m.rooms.sort(m, roomOrders[i]); return nil })
			x += w + gap
		}
	}
	p.list.fit(len(p.shown), a.left())
	body := a.part(a.left())
	body.scroll(func(m *model, by int) tea.Cmd { return m.moveBy(by) })
	if len(p.shown) == 0 {
		body.put(t.line().add(plain, spaces(margin)).add(dim, "no room has \""+clean(p.filter)+"\"; esc shows all").end(a.w))
	}
	now := m.roomNow()
	for i := p.list.top; i < min(p.list.top+p.list.h, len(p.shown)); i++ {
		r := p.shown[i]
		chosen := i == p.list.at
		l := t.begin(chosen, m.input == nil || m.input.changed != nil)
		l.fields(cols, widths, roomValues(t, r, widths, now), t.dots)
		body.put(l.end(a.w))
		body.on(0, a.w, func(m *model) tea.Cmd {
			if m.rooms.list.at == i {
				return m.open(m.target(), m.lastTab())
			}
			m.rooms.list.at = i
			m.rooms.moved()
			return nil
		})
	}
	body.rest()
}

// roomValues is one row of the table.
func roomValues(t *theme, r *room, widths []int, now time.Time) []value {
	class, name, _ := strings.Cut(r.Room.Room, "/")
	v := make([]value, len(roomColumns))
	v[0] = value{role: dim, text: clean(class) + "/", more: []value{{role: plain, text: clean(name)}}}
	word := r.State
	if widths[1] < shortState && shortStates[word] != "" {
		word = shortStates[word]
	}
	v[1] = value{role: stateRole(r.State), text: t.state(r.State) + " " + word}
	if widths[5] == 0 && r.Turn != nil && r.Turn.For >= longTurn {
		v[1].more = []value{{role: warn, text: " " + strings.ReplaceAll(turnSpan(r.Turn.For), " ", "")}}
	}
	if widths[8] == 0 && r.LastError != "" {
		v[0].more = append(v[0].more, value{role: bad, text: " " + t.alert})
	}
	v[2] = value{role: plain, text: countOrDot(t, r.Connections)}
	if r.Connections == 0 {
		v[2].role = faint
	}
	v[3] = value{role: plain, text: rateText(r.meter.rate())}
	if v[3].text == "" {
		v[3] = value{role: faint, text: t.dot}
	}
	v[4] = value{role: accent, text: spark(r.meter.past(), widths[4], t.bars, 4)}
	v[5] = turnValue(t, r)
	v[6] = alarmValue(t, r.Alarm, now)
	if r.Size > 0 {
		v[7] = value{role: dim, text: bytesText(r.Size)}
	}
	if r.LastError != "" {
		v[8] = value{role: bad, text: clean(firstLine(r.LastError))}
	}
	return v
}

func countOrDot(t *theme, n int) string {
	if n == 0 {
		return t.dot
	}
	return count(n)
}

// longTurn is when a turn is worth a look: the runtime logs it then.
const longTurn = time.Second

func turnSpan(d time.Duration) string {
	if d < time.Second {
		return count(int(d.Milliseconds())) + " ms"
	}
	return wholeSpan(d.Truncate(time.Second))
}

func turnValue(t *theme, r *room) value {
	if r.Turn == nil {
		if r.Waiting > 0 {
			return value{role: dim, text: plural(r.Waiting, "waits")}
		}
		return value{}
	}
	v := value{role: plain, text: r.Turn.Kind + " " + turnSpan(r.Turn.For)}
	if r.Turn.For >= longTurn {
		v.role = warn
	}
	if r.Waiting > 0 {
		v.more = []value{{role: dim, text: " +" + count(r.Waiting)}}
	}
	return v
}

func alarmValue(t *theme, al *inspect.Alarm, now time.Time) value {
	switch {
	case al == nil:
		return value{}
	case al.Running:
		return value{role: good, text: "runs"}
	case al.Retries > 0:
		return value{role: warn, text: until(al.Due.Sub(now)) + " " + t.alert}
	}
	return value{role: plain, text: until(al.Due.Sub(now))}
}

// drawWaiting is what is seen before the emulator has answered.
func drawWaiting(m *model, a *area) {
	a.blank()
	if m.failure == nil {
		a.put(m.th.line().add(plain, spaces(margin)).add(dim, "looking at the emulator "+m.th.dots).end(a.w))
	}
	a.rest()
}

// drawFirst says what to do where there is no room yet.
func drawFirst(m *model, a *area) {
	t := m.th
	text := func(r role, s string) {
		for _, part := range wrapped(s, a.w-margin-1) {
			a.put(t.line().add(plain, spaces(margin)).add(r, part).end(a.w))
		}
	}
	if m.snap.URL == "" {
		a.blank()
		switch {
		case m.build.running():
			text(plain, "The server is being built.")
		case m.build.failed():
			text(plain, "The server does not run yet: mend what the build says, and save.")
		default:
			text(plain, "The server does not serve yet.")
			if why := m.snap.Generation.Reason; why != "" {
				text(warn, why)
			}
		}
		a.rest()
		return
	}
	if a.h > 12 {
		a.blank()
	}
	text(strong, "Ready. No room exists yet: the first connection makes one.")
	a.blank()
	if try := m.firstRoom(); try != "" {
		text(dim, "Paste this into another terminal (y copies it)")
		text(accent, m.tryLine())
		a.on(0, a.w, (*model).copyTry)
		a.blank()
		a.put(t.line().add(plain, spaces(margin)).add(dim, "or press ").add(accent, "n").add(dim, " to connect to "+try).end(a.w))
		a.blank()
	}
	text(dim, "The server answers at")
	text(plain, m.snap.URL)
	a.blank()
	text(dim, "and its rooms at")
	for _, c := range m.snap.Classes {
		text(plain, c.WebSocket)
	}
	a.rest()
}

// tryLine is what connects to a first room.
func (m *model) tryLine() string { return "npx wscat -c " + m.address(m.firstRoom()) }

func (m *model) copyTry() tea.Cmd { return m.copy(m.tryLine(), m.tryLine()) }

// firstRoom is a room to begin with.
func (m *model) firstRoom() string {
	if m.snap == nil || len(m.snap.Classes) == 0 {
		return ""
	}
	path, ok := strings.CutSuffix(m.snap.Classes[0].WebSocket, "/ROOM")
	if !ok {
		return ""
	}
	return path[strings.LastIndexByte(path, '/')+1:] + "/lobby"
}

// address is where clients reach a room.
func (m *model) address(room string) string {
	if m.snap == nil {
		return ""
	}
	return "ws" + strings.TrimPrefix(m.snap.URL, "http") + "/parties/" + room
}
