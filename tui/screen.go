package tui

import (
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// The smallest terminal that shows anything of use.
const (
	leastWidth  = 24
	leastHeight = 6
)

// draw makes the frame: what is above, the page, what is below, and what lies
// over them.
func (m *model) draw() *frame {
	f := newFrame(m.width, m.high)
	if m.width < leastWidth || m.high < leastHeight {
		a := f.area(0, 0, f.w, f.h)
		for _, s := range wrapped("this terminal is too small for the dashboard", f.w) {
			a.put(pad(s, f.w))
		}
		a.rest()
		return f
	}
	below := m.footLines()
	top := f.area(0, 0, f.w, f.h-len(below))
	m.drawHead(top)
	m.build.drawLine(m, top)
	if top.h >= 16 {
		top.blank()
	}
	body := top.part(top.left())
	switch m.page {
	case pageRooms:
		m.drawRoomsPage(body)
	case pageRoom:
		m.room.draw(m, body)
	case pageLog:
		m.log.draw(m, body)
	case pageBuild:
		m.build.draw(m, body)
	}
	body.rest()
	foot := f.area(0, f.h-len(below), f.w, len(below))
	for _, draw := range below {
		draw(foot)
	}
	for _, o := range m.overs {
		f.cursor = nil
		o.draw(m, f)
	}
	m.frame = f
	return f
}

// stripLeast is the height of the page from which on the log shows below it.
const stripLeast = 12

// drawRoomsPage is the table with the end of the log below it.
func (m *model) drawRoomsPage(a *area) {
	strip := 0
	if a.h >= stripLeast && m.log.any(m) {
		strip = max(min(a.h/3, 12), 3)
	}
	m.rooms.draw(m, a.part(a.left()-strip))
	if strip > 0 {
		m.log.drawStrip(m, a.part(strip))
	}
}

// drawHead draws the two lines above everything.
func (m *model) drawHead(a *area) {
	t := m.th
	l := t.line().add(plain, " ").add(accent, t.states[inspect.Running]+" ").add(strong, "party")
	if m.o.Name != "" {
		l.add(dim, "  "+clip(clean(m.o.Name), max(a.w/3, 6), t.dots))
	}
	facts := m.headFacts()
	w := factsWidth(facts, "   ")
	if room := a.w - l.w - 3; w > room {
		// Twice, as what is left out decides where the rest begins.
		probe := t.line()
		probe.facts(facts, room, "   ")
		w = probe.w
	}
	l.to(a.w-w-1).facts(facts, w, "   ")
	a.put(l.end(a.w))
	if why := m.trouble(); why != "" {
		a.put(t.line().add(plain, " ").add(bad, t.no+" "+clip(why, a.w-12, t.dots)).add(dim, "  q leaves").end(a.w))
		return
	}
	if m.page == pageRooms {
		m.drawSummary(a)
	}
}

func (m *model) headFacts() []fact {
	t := m.th
	var facts []fact
	add := func(drop int, r role, s string, more ...value) {
		facts = append(facts, fact{value{role: r, text: s, more: more}, drop})
	}
	if m.record.path != "" {
		add(0, bad, t.record+" rec", value{role: dim, text: " " + clean(m.record.path)})
	}
	if !m.mouse {
		add(3, warn, "mouse released")
	}
	if m.snap == nil {
		return facts
	}
	if m.snap.URL != "" {
		add(6, plain, m.snap.URL)
	}
	g := m.snap.Generation
	switch {
	case g.Next != 0:
		add(2, warn, "generation "+count(g.Number)+" "+t.next+" "+count(g.Next))
	case g.Running:
		add(4, dim, "generation ", value{role: plain, text: count(g.Number)})
	case g.Number > 0:
		add(1, bad, "generation "+count(g.Number)+" does not run")
	}
	if off := m.snap.Offset; off != 0 {
		add(5, warn, "clock +"+wholeSpan(off))
	}
	if m.snap.Manual {
		add(5, warn, "clock stands")
	}
	add(7, dim, clock(m.roomNow()))
	return facts
}

// drawSummary counts what there is.
func (m *model) drawSummary(a *area) {
	t := m.th
	var facts []fact
	add := func(drop int, v value) { facts = append(facts, fact{v, drop}) }
	if m.snap == nil {
		a.blank()
		return
	}
	all := len(m.world.sorted)
	if m.rooms.filter != "" && m.input == nil {
		add(0, value{role: accent, text: count(len(m.rooms.shown)) + " of " + plural(all, "room"),
			more: []value{{role: dim, text: " with "}, {role: plain, text: clean(m.rooms.filter)}}})
	} else {
		add(0, value{role: plain, text: plural(all, "room")})
	}
	for _, s := range []string{inspect.Running, inspect.Hibernated, inspect.Cold, inspect.Starting, inspect.Reloading, inspect.Crashed} {
		if n := m.world.states[s]; n > 0 {
			drop := 5
			if s == inspect.Crashed || s == inspect.Reloading {
				drop = 2
			}
			add(drop, value{role: stateRole(s), text: t.state(s) + " ", more: []value{{role: plain, text: count(n)}, {role: dim, text: " " + s}}})
		}
	}
	add(1, value{role: plain, text: count(m.world.conns), more: []value{{role: dim, text: " " + noun(m.world.conns, "connection")}}})
	rate := value{role: plain, text: "0", more: []value{{role: dim, text: " msg/s"}}}
	if s := rateText(m.world.traffic.rate()); s != "" {
		rate.text = s
	}
	add(3, rate)
	if past := m.world.traffic.past(); len(past) > 0 && rate.text != "0" {
		add(4, value{role: accent, text: spark(past, len(past), t.bars, 4)})
	}
	l := t.line().add(plain, " ")
	l.facts(facts, a.w-2, "   ")
	a.put(l.end(a.w))
}

func noun(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

// footLines are what stands below the page, as functions that draw a line each.
func (m *model) footLines() []func(a *area) {
	t := m.th
	var out []func(a *area)
	if in := m.input; in != nil {
		if m.said.text != "" {
			out = m.saidLines()
		}
		return append(out, func(a *area) { m.drawInput(a, in) }, m.drawFoot)
	}
	if n := len(m.doing); n > 0 {
		d := m.doing[n-1]
		return append(out, func(a *area) {
			for_ := m.now().Sub(d.since)
			l := t.line().add(plain, " ").add(accent, t.animate(for_.Milliseconds())).add(plain, " "+d.what)
			if for_ > time.Second {
				l.add(dim, "  "+wholeSpan(for_))
			}
			if n > 1 {
				l.add(dim, "  and "+count(n-1)+" more")
			}
			a.put(l.end(a.w))
		}, m.drawFoot)
	}
	if m.said.text == "" {
		return append(out, func(a *area) { a.blank() }, m.drawFoot)
	}
	return append(m.saidLines(), m.drawFoot)
}

// saidLines are the lines of what was said last.
func (m *model) saidLines() (out []func(a *area)) {
	t := m.th
	sign := map[role]string{good: t.yes, bad: t.no, warn: t.alert}[m.said.role]
	if sign == "" {
		sign = t.dot
	}
	text := m.said.text
	lines := wrapped(text, m.width-4)
	if most := max(m.high/3, 1); len(lines) > most {
		lines = lines[:most]
		lines[most-1] = clip(lines[most-1], m.width-6, "") + t.dots
	}
	for i, s := range lines {
		out = append(out, func(a *area) {
			l := t.line().add(plain, " ")
			if i == 0 {
				l.add(m.said.role, sign+" ")
			} else {
				l.add(plain, "  ")
			}
			a.put(l.add(plain, s).end(a.w))
		})
	}
	return out
}

// drawFoot draws the keys of where one is. Those that cannot be used are faint.
func (m *model) drawFoot(a *area) {
	t := m.th
	type hint struct {
		b    *binding
		key  string
		text string
	}
	var hints []hint
	if m.input != nil {
		hints = append(hints, hint{nil, "enter", "done"}, hint{nil, "esc", "leave"})
		if m.input.stays {
			hints[0].text = "send"
		}
	}
	nothing := m.page == pageRooms && m.input == nil && len(m.world.sorted) == 0
	if nothing && needServing(m) == "" {
		hints = append(hints, hint{nil, "n", "connect"})
	}
	scopes := m.scopes()
	if m.input != nil {
		scopes = []scope{m.input.scope}
	}
	var some []*binding
	for _, s := range scopes {
		for i := range bindings() {
			b := &bindings()[i]
			if b.scope != s || s == nowhere || b.foot == 0 || len(b.keys) == 0 {
				continue
			}
			if nothing && s != always {
				continue // there is nothing that these could be used on
			}
			some = append(some, b)
		}
	}
	slices.SortStableFunc(some, func(a, b *binding) int { return a.foot - b.foot })
	for _, b := range some {
		hints = append(hints, hint{b, b.footKey(), b.short})
	}
	// Where there is no room for all, those in the middle go, then the way back:
	// the last are how to find the others.
	size := func() int {
		n := -1
		for _, h := range hints {
			n += width(h.key) + 1 + width(h.text) + 2
		}
		return n
	}
	for size() > a.w && len(hints) > 1 {
		at, stays := len(hints)-1, lastPlaces
		for i := len(hints) - 1; i >= 0; i-- {
			place := wayBack - 1
			if b := hints[i].b; b != nil {
				place = max(b.foot, place)
			}
			if i == 0 {
				place = wayBack
			}
			if place < stays {
				at, stays = i, place
			}
		}
		hints = append(hints[:at:at], hints[at+1:]...)
	}
	l := t.line()
	for _, h := range hints {
		x := l.w
		if h.b != nil && h.b.reason(m) != "" {
			l.add(faint, "("+h.key+" "+h.text+")")
		} else {
			l.add(plain, " ").add(accent, h.key).add(dim, " "+h.text+" ")
		}
		if h.b != nil {
			a.f.zones = append(a.f.zones, zone{x: a.x + x, y: a.y + a.n, w: l.w - x, h: 1, click: func(m *model) tea.Cmd { return h.b.use(m) }})
		}
	}
	a.put(l.end(a.w))
}

// title is a line across with a title in it, and notes at its end.
func (t *theme) title(title string, notes string, w int) string {
	l := t.line().add(faint, t.rule+t.rule+" ").add(dim, title).add(plain, " ")
	end := ""
	if notes != "" && l.w+width(notes)+6 < w {
		end = " " + notes + " "
	}
	l.add(faint, strings.Repeat(t.rule, max(w-l.w-width(end)-2, 0)))
	l.add(dim, end)
	l.add(faint, strings.Repeat(t.rule, max(w-l.w, 0)))
	return l.end(w)
}
