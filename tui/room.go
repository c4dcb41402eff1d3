package tui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// tab is a part of a room's page.
type tab int

const (
	tabMessages tab = iota
	tabConnections
	tabStorage
	tabAlarm
	tabLife
	tabClients
	tabs
)

var tabNames = [tabs]string{"Messages", "Connections", "Storage", "Alarm", "Life", "Clients"}

func (t tab) scope() scope {
	return []scope{inMessages, inConnections, inStorage, inAlarm, inLife, inClients}[t]
}

// roomPane is the page of one room.
type roomPane struct {
	name   string
	tab    tab
	info   *inspect.RoomDetail // nil until it came
	known  bool                // it was seen
	laid   bool                // what is chosen is laid out
	scroll int                 // of that

	sleepsAt time.Time     // the last known
	sleepsIn time.Duration // how long that was when it was first seen

	messages messagesTab
	conns    connectionsTab
	storage  storageTab
	life     lifeTab
	client   int // the chosen one of this room's
}

func newRoomPane(m *model, name string) *roomPane {
	p := &roomPane{name: name}
	p.messages.open(m, name)
	p.life.open(m, name)
	p.storage.room = name
	p.refresh(m)
	return p
}

func roomBindings() []binding {
	all := []binding{
		{scope: inRoom, keys: []string{"esc", "backspace"}, name: "rooms", short: "rooms", foot: wayBack,
			help: "back to the rooms; closes first what is laid out", run: func(m *model) tea.Cmd { m.leaveRoom(); return nil }},
		{scope: inRoom, keys: []string{"tab"}, short: "next tab", foot: 18,
			help: "the next tab", run: func(m *model) tea.Cmd { return m.room.show(m, (m.room.tab+1)%tabs) }},
		{scope: inRoom, keys: []string{"shift+tab"}, short: "tab before",
			help: "the tab before", run: func(m *model) tea.Cmd { return m.room.show(m, (m.room.tab+tabs-1)%tabs) }},
	}
	for i, name := range tabNames {
		t := tab(i)
		all = append(all, binding{scope: inRoom, keys: []string{string(rune('1' + i))}, name: strings.ToLower(name), short: strings.ToLower(name),
			help: []string{
				"messages in and out as they pass", "its connections, with tags, state and traffic", "its keys and tables, and queries",
				"its alarm", "what happened to it, and why it is awake", "test clients that are connected to it",
			}[i],
			run: func(m *model) tea.Cmd { return m.room.show(m, t) }})
	}
	return all
}

func (m *model) leaveRoom() {
	if m.room.laid {
		m.room.laid = false
		return
	}
	m.back()
}

// show turns to a tab.
func (p *roomPane) show(m *model, t tab) tea.Cmd {
	if p.tab != t {
		p.laid, p.scroll = false, 0
	}
	p.tab = t
	switch t {
	case tabStorage:
		return tea.Batch(m.look(), p.storage.load(m))
	case tabConnections:
		return m.look()
	}
	return nil
}

// wantsDetail: only then the emulator is asked for it.
func (p *roomPane) wantsDetail() bool {
	return p.tab == tabConnections || p.tab == tabStorage || p.info == nil
}

// refresh takes over what the world looks like now.
func (p *roomPane) refresh(m *model) {
	r := m.world.rooms[p.name]
	p.known = p.known || r != nil
	if r != nil && !r.SleepsAt.Equal(p.sleepsAt) {
		p.sleepsAt = r.SleepsAt
		p.sleepsIn = r.SleepsAt.Sub(m.roomNow())
	}
}

func (p *roomPane) takeDetail(m *model, d *inspect.RoomDetail) tea.Cmd {
	if d == nil {
		return nil
	}
	p.info = d
	p.conns.take(d.Conns)
	if p.tab == tabStorage {
		return p.storage.takeTables(m, d)
	}
	return nil
}

// hear takes over events.
func (p *roomPane) hear(m *model, events []inspect.Event) tea.Cmd {
	p.messages.hear(m, p.name, events)
	wrote := p.life.hear(p.name, events)
	if wrote && p.tab == tabStorage {
		return p.storage.changed(m)
	}
	return nil
}

func (p *roomPane) list(m *model) *list {
	switch p.tab {
	case tabMessages:
		return &p.messages.list
	case tabConnections:
		return &p.conns.list
	case tabStorage:
		return &p.storage.list
	case tabLife:
		return &p.life.list
	case tabClients:
		if c := m.chosenClient(); c != nil {
			return &c.list
		}
	}
	return nil
}

// moved is told that the cursor was moved by a key.
func (p *roomPane) moved(m *model, moved bool, by int) tea.Cmd {
	p.scroll = 0
	switch p.tab {
	case tabMessages:
		p.messages.follow = p.messages.list.last()
	case tabLife:
		p.life.follow = p.life.list.last()
	case tabClients:
		if c := m.chosenClient(); c != nil {
			c.follow = c.list.last()
		}
	case tabStorage:
		return p.storage.moved(m, moved, by)
	}
	return nil
}

func (m *model) scrollDetail(by int) {
	switch {
	case m.page == pageRoom && m.room.laid:
		m.room.scroll = max(m.room.scroll+by, 0)
	case m.page == pageLog && m.log.laid:
		m.log.scroll = max(m.log.scroll+by, 0)
	}
}

// layOut opens or closes what shows the chosen entry in full.
func (m *model) layOut() tea.Cmd {
	m.room.laid, m.room.scroll = !m.room.laid, 0
	return nil
}

func (p *roomPane) draw(m *model, a *area) {
	p.drawHead(m, a)
	p.drawTabs(m, a)
	body := a.part(a.left())
	main := body
	var side *area
	if p.laid && p.tab != tabAlarm {
		if body.w >= 110 {
			w := body.w * 55 / 100
			main = body.f.area(body.x, body.y, w, body.h)
			side = body.f.area(body.x+w, body.y, body.w-w, body.h)
		} else {
			h := min(max(body.h/2, 1), body.h)
			main, side = body.part(body.h-h), body.f.area(body.x, body.y+body.h-h, body.w, h)
		}
	}
	main.scroll(func(m *model, by int) tea.Cmd { return m.moveBy(by) })
	var title string
	var lines []string
	w := 0
	if side != nil {
		w = side.w - 3
	}
	switch p.tab {
	case tabMessages:
		p.messages.draw(m, main)
		title, lines = p.messages.lay(m, w)
	case tabConnections:
		p.conns.draw(m, main)
		title, lines = p.conns.lay(m, w)
	case tabStorage:
		p.storage.draw(m, main)
		title, lines = p.storage.lay(m, w)
	case tabAlarm:
		p.drawAlarm(m, main)
	case tabLife:
		p.life.draw(m, main)
		title, lines = p.life.lay(m, w)
	case tabClients:
		p.drawClients(m, main)
		title, lines = p.layClient(m, w)
	}
	main.rest()
	if side != nil {
		p.scroll = drawDetail(m, side, side.w < body.w, title, lines, p.scroll)
		side.scroll(func(m *model, by int) tea.Cmd { m.scrollDetail(by); return nil })
	}
	body.n = body.h
}

// drawDetail draws something laid out, and returns where it is scrolled to.
func drawDetail(m *model, a *area, beside bool, title string, lines []string, at int) int {
	t := m.th
	h := max(a.h-1, 0)
	at = max(0, min(at, len(lines)-h))
	note := ""
	if len(lines) > h {
		note = count(at+1) + "-" + count(min(at+h, len(lines))) + " of " + count(len(lines))
	}
	a.put(t.title(title, note, a.w))
	for _, s := range lines[at:min(at+h, len(lines))] {
		bar := " "
		if beside {
			bar = t.say(faint, t.wall)
		}
		a.put(" " + bar + " " + s)
	}
	for a.left() > 0 {
		if beside {
			a.put(t.line().add(plain, " ").add(faint, t.wall).end(a.w))
		} else {
			a.blank()
		}
	}
	return at
}

// drawHead draws who the room is, how it is, and why.
func (p *roomPane) drawHead(m *model, a *area) {
	t := m.th
	r := m.world.rooms[p.name]
	class, name, _ := strings.Cut(p.name, "/")
	l := t.line().add(plain, " ").add(dim, t.back+" ").add(dim, clean(class)+"/").add(strong, clip(clean(name), a.w/2, t.dots))
	back := l.w
	if r == nil {
		text := "is not there yet: the first connection makes it"
		if p.known {
			text = "is gone: it has no storage, connections or code in memory"
		}
		a.put(l.add(plain, "   ").add(warn, text).end(a.w))
		a.blank()
		return
	}
	var facts []fact
	add := func(drop int, v value) { facts = append(facts, fact{v, drop}) }
	add(0, value{role: stateRole(r.State), text: t.state(r.State) + " " + r.State})
	if r.Generation > 0 {
		add(5, value{role: dim, text: "generation ", more: []value{{role: plain, text: count(r.Generation)}}})
	}
	add(2, value{role: plain, text: count(r.Connections), more: []value{{role: dim, text: " " + noun(r.Connections, "connection")}}})
	if s := rateText(r.meter.rate()); s != "" {
		add(3, value{role: plain, text: s, more: []value{{role: dim, text: " msg/s"}}})
		add(6, value{role: accent, text: spark(r.meter.past(), min(len(r.meter.past()), 16), t.bars, 4)})
	}
	if r.Alarm != nil {
		v := alarmValue(t, r.Alarm, m.roomNow())
		add(4, value{role: dim, text: "alarm ", more: []value{v}})
	}
	if r.Size > 0 {
		add(7, value{role: dim, text: bytesText(r.Size)})
	}
	l.add(plain, "   ")
	l.facts(facts, a.w-l.w-1, "   ")
	a.put(l.end(a.w))
	a.on(0, back, func(m *model) tea.Cmd { m.back(); return nil })
	p.drawAwake(m, a, r)
}

// barWidth is that of a countdown.
const barWidth = 16

// drawAwake draws one line: what runs, why the room is awake, and when it will
// sleep; or its last error where it sleeps.
func (p *roomPane) drawAwake(m *model, a *area, r *room) {
	t := m.th
	l := t.line().add(plain, spaces(margin))
	now := m.roomNow()
	switch {
	case r.Turn != nil && r.Turn.For >= longTurn:
		l.add(warn, "a turn runs: "+r.Turn.Kind+" for "+span(r.Turn.For))
		if r.Waiting > 0 {
			l.add(dim, "   "+count(r.Waiting)+" wait")
		}
	case len(r.Awake) > 0:
		l.add(dim, "awake: ").add(plain, clip(clean(strings.Join(r.Awake, ", ")), max(a.w-l.w-18, 10), t.dots))
		if !r.EvictedAt.IsZero() {
			l.add(plain, "   ").add(warn, "evicted "+until(r.EvictedAt.Sub(now)))
		}
	case !r.SleepsAt.IsZero():
		left := r.SleepsAt.Sub(now)
		l.facts([]fact{
			{value{role: plain, text: "sleeps " + pad(until(left), 7)}, 0},
			{value{role: asleep, text: p.bar(t, left, barWidth), more: []value{{role: faint, text: p.track(t, left, barWidth)}}}, 1},
			{value{role: dim, text: "nothing keeps it awake"}, 2},
		}, a.w-l.w-1, "  ")
	case r.State == inspect.Hibernated:
		l.add(dim, clip("asleep, connections open; the next event wakes it", a.w-l.w-1, t.dots))
	case r.State == inspect.Cold:
		l.add(dim, "not in memory; the next event starts it")
	case r.State == inspect.Crashed:
		l.add(bad, "it has something to do, and no code runs to do it")
	}
	if r.LastError != "" {
		if space := a.w - l.w - 4; space > 24 {
			l.add(plain, "   ").add(bad, clip(t.no+" "+wholeSpan(max(now.Sub(r.ErrorAt), 0))+" ago: "+clean(firstLine(r.LastError)), space, t.dots))
		}
	}
	a.put(l.end(a.w))
}

func (p *roomPane) filled(left time.Duration, w int) int {
	if p.sleepsIn <= 0 || left <= 0 {
		return 0
	}
	return max(0, min(int(float64(w)*float64(left)/float64(p.sleepsIn)+0.5), w))
}

func (p *roomPane) bar(t *theme, left time.Duration, w int) string {
	return strings.Repeat(t.bar, p.filled(left, w))
}

func (p *roomPane) track(t *theme, left time.Duration, w int) string {
	return strings.Repeat(t.track, w-p.filled(left, w))
}

// drawTabs draws the names of the tabs and a rule below that marks the chosen.
func (p *roomPane) drawTabs(m *model, a *area) {
	t := m.th
	counts := [tabs]int{}
	if r := m.world.rooms[p.name]; r != nil {
		counts[tabConnections] = r.Connections
		if r.Alarm != nil {
			counts[tabAlarm] = 1
		}
	}
	counts[tabClients] = len(m.clients.of(p.name))
	wide := 0
	for i, name := range tabNames {
		wide += 2 + width(name) + gap + 1
		if counts[i] > 0 && tab(i) != tabAlarm {
			wide += 1 + width(count(counts[i]))
		}
	}
	full := wide <= a.w
	l := t.line().add(plain, " ")
	under := t.line().add(faint, t.rule)
	type spot struct{ x, w int }
	var spots [tabs]spot
	for i, name := range tabNames {
		x := l.w
		chosen := tab(i) == p.tab
		r := dim
		if chosen {
			r = strong
		}
		l.add(faint, string(rune('1'+i))+" ")
		if !full && !chosen {
			name = name[:min(4, len(name))]
			if a.w < 60 {
				name = name[:1]
			}
		}
		l.add(r, name)
		if n := counts[i]; n > 0 && (full || chosen && a.w >= 60) && tab(i) != tabAlarm {
			l.add(dim, " "+count(n))
		} else if n > 0 && tab(i) == tabAlarm {
			l.add(good, " "+t.dot)
		}
		under.add(faint, strings.Repeat(t.rule, max(x-under.w, 0)))
		if chosen {
			under.add(accent, strings.Repeat(t.thick, l.w-x))
		}
		spots[i] = spot{x, l.w - x}
		l.add(plain, spaces(gap))
	}
	under.add(faint, strings.Repeat(t.rule, max(a.w-under.w, 0)))
	a.put(l.end(a.w))
	for i, s := range spots {
		a.on(s.x, s.w, func(m *model) tea.Cmd { return m.room.show(m, tab(i)) })
	}
	a.put(under.end(a.w))
}
