package tui

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// lifeTab shows what happened to a room, and why it is awake.
type lifeTab struct {
	list   list
	all    *ring[inspect.Event]
	shown  []inspect.Event
	follow bool
}

func lifeBindings() []binding {
	return []binding{
		{scope: inLife, keys: []string{"enter"}, name: "show-event", short: "show", foot: 1,
			help: "show all of the chosen event, such as a stack", run: (*model).layOut},
		{scope: inLife, keys: []string{"y"}, name: "copy-event", short: "copy",
			help: "copy the chosen event", run: func(m *model) tea.Cmd {
				if e := m.room.life.chosen(); e != nil {
					return m.copy(inspect.Text(e), inspect.Text(e))
				}
				return m.copy("", "")
			}},
	}
}

// concerns accepts what belongs to a room's life: what happened to it, to the
// code and to the clock.
func concerns(e inspect.Event, room string) bool {
	h := inspect.Of(e)
	if h.Room != "" {
		return h.Room == room
	}
	switch e.(type) {
	case *inspect.GenerationStarted, *inspect.GenerationFailed, *inspect.Crash, *inspect.ClockMoved:
		return true
	}
	return false
}

func (t *lifeTab) open(m *model, room string) {
	t.all, t.follow = newRing[inspect.Event](roomKept), true
	for i := range m.store.life.len() {
		if e := m.store.life.get(i); concerns(e, room) {
			t.all.push(e)
		}
	}
	t.refresh()
}

// hear takes over events, and reports whether storage was written.
func (t *lifeTab) hear(room string, events []inspect.Event) (wrote bool) {
	came := false
	for _, e := range events {
		if !concerns(e, room) {
			continue
		}
		switch e.(type) {
		case *inspect.Commit, *inspect.StorageWritten, *inspect.RoomReset:
			wrote = true
		}
		if isLife(e) {
			t.all.push(e)
			came = true
		}
	}
	if came {
		t.refresh()
	}
	return wrote
}

func (t *lifeTab) refresh() {
	var seq uint64
	if e := t.chosen(); e != nil {
		seq = inspect.Of(e).Seq
	}
	t.shown = t.all.all()
	if t.follow {
		t.list.at = len(t.shown) - 1
	} else {
		t.list.at, _ = slices.BinarySearchFunc(t.shown, seq, func(e inspect.Event, seq uint64) int {
			return int(int64(inspect.Of(e).Seq) - int64(seq)) //nolint:gosec // close together
		})
	}
	t.list.fit(len(t.shown), t.list.h)
}

func (t *lifeTab) chosen() inspect.Event {
	if t.list.at < len(t.shown) {
		return t.shown[t.list.at]
	}
	return nil
}

// sign is an event's glyph and colour.
func (t *theme) sign(e inspect.Event) (string, role) {
	switch e := e.(type) {
	case *inspect.RoomStarted:
		return t.states[inspect.Running], good
	case *inspect.RoomHibernated:
		if e.Connections == 0 {
			return t.states[inspect.Cold], dim
		}
		return t.states[inspect.Hibernated], asleep
	case *inspect.RoomEvicted, *inspect.RoomAborted, *inspect.RoomReset, *inspect.TurnLost, *inspect.ConnectionRefused, *inspect.ConnectionCut, *inspect.CommitFailing:
		return t.alert, warn
	case *inspect.Exception, *inspect.Crash, *inspect.GenerationFailed, *inspect.AlarmGivenUp:
		return t.no, bad
	case *inspect.ConnectionOpened, *inspect.MessageIn:
		return t.in, inward
	case *inspect.ConnectionClosed, *inspect.MessageOut:
		return t.out, dim
	case *inspect.GenerationStarted:
		return t.states[inspect.Reloading], accent
	case *inspect.AlarmSet, *inspect.AlarmFired, *inspect.ClockMoved:
		return t.up, accent
	case *inspect.AlarmRetried:
		return t.up, warn
	case *inspect.Turn:
		if e.Error != "" {
			return t.no, bad
		}
	}
	return t.dot, dim
}

var lifeColumns = []column{
	{title: "Time", least: 12, drop: 2},
	{title: "Gen", least: 4, right: true, drop: 1},
	{title: "", least: 1},
	{title: "Event", least: 12, grow: 1},
}

func (t *lifeTab) draw(m *model, a *area) {
	th := m.th
	if a.h >= 12 {
		t.drawWhy(m, a)
	}
	widths := layout(lifeColumns, a.w-margin-1)
	a.put(th.heads(lifeColumns, widths, a.w, -1, ""))
	t.list.fit(len(t.shown), a.left())
	if len(t.shown) == 0 {
		a.put(th.line().add(plain, spaces(margin)).add(dim, "nothing has happened since this dashboard looks").end(a.w))
	}
	for i := t.list.top; i < min(t.list.top+t.list.h, len(t.shown)); i++ {
		e := t.shown[i]
		h := inspect.Of(e)
		sign, r := th.sign(e)
		text := plain
		if r == bad || r == warn {
			text = r
		}
		gen := ""
		if h.Generation > 0 {
			gen = count(h.Generation)
		}
		l := th.begin(i == t.list.at, m.input == nil)
		l.fields(lifeColumns, widths, []value{
			{role: dim, text: stamp(h.Time)}, {role: dim, text: gen}, {role: r, text: sign},
			{role: text, text: clean(firstLine(inspect.Text(e)))},
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

// drawWhy draws why the room is in memory and until when.
func (t *lifeTab) drawWhy(m *model, a *area) {
	th := m.th
	r := m.world.rooms[m.room.name]
	if r == nil {
		return
	}
	now := m.roomNow()
	say := func(label string, v ...value) {
		l := th.line().add(plain, spaces(margin)).cell(dim, label, 10, th.dots).add(plain, "  ")
		for _, v := range v {
			l.add(v.role, v.text)
		}
		a.put(l.end(a.w))
	}
	say("state", value{role: stateRole(r.State), text: th.state(r.State) + " " + r.State},
		value{role: dim, text: "   started "}, value{role: plain, text: plural(r.Starts, "time")})
	switch {
	case len(r.Awake) > 0:
		for i, why := range r.Awake {
			label := ""
			if i == 0 {
				label = "awake for"
			}
			if i == 4 && len(r.Awake) > 5 {
				say("", value{role: dim, text: "and " + count(len(r.Awake)-i) + " more reasons"})
				break
			}
			say(label, value{role: plain, text: clean(why)})
		}
		if !r.EvictedAt.IsZero() {
			say("evicted", value{role: warn, text: until(r.EvictedAt.Sub(now))}, value{role: dim, text: " unless something else happens"})
		}
	case !r.SleepsAt.IsZero():
		left := r.SleepsAt.Sub(now)
		say("sleeps", value{role: plain, text: pad(until(left), 9)}, value{role: asleep, text: m.room.bar(th, left, 2*barWidth)},
			value{role: faint, text: m.room.track(th, left, 2*barWidth)})
	case r.State == inspect.Hibernated:
		say("asleep", value{role: plain, text: plural(r.Connections, "connection") + " open, no code in memory; the next event wakes it"})
	case r.State == inspect.Cold:
		say("cold", value{role: plain, text: "neither connections nor code in memory"})
	}
	a.blank()
}

func (t *lifeTab) lay(m *model, w int) (string, []string) {
	e := t.chosen()
	if e == nil || w <= 0 {
		return "event", nil
	}
	h := inspect.Of(e)
	lines := layFacts(m.th, w, "event", e.Type(), "time", h.Time.Local().Format("2006-01-02 15:04:05.000"), "number", count(h.Seq), "generation", count(h.Generation))
	lines = append(lines, spaces(w))
	for _, part := range wrapped(strings.TrimSpace(inspect.Text(e)), w) {
		lines = append(lines, m.th.line().add(plain, part).end(w))
	}
	return e.Type(), lines
}
