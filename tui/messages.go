package tui

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// messagesTab shows a room's messages as they pass.
type messagesTab struct {
	list   list
	all    *ring[inspect.Event]
	held   []inspect.Event // those shown while it is paused; nil: it is not
	behind int             // that came meanwhile
	shown  []inspect.Event // those that the search finds
	search string
	follow bool
}

func messagesBindings() []binding {
	return []binding{
		{scope: inMessages, keys: []string{"enter"}, name: "lay-out", short: "lay out", foot: 1,
			help: "lay the chosen message out, JSON in lines; again closes it", run: (*model).layOut},
		{scope: inMessages, keys: []string{"space", "p"}, name: "pause", short: "pause", foot: 2,
			help: "stand still while messages go on, or go on", run: func(m *model) tea.Cmd { m.room.messages.pause(); return nil }},
		{scope: inMessages, keys: []string{"/"}, name: "search", short: "search", foot: 2,
			help: "show only messages that have what is typed, also in the connection's id", run: (*model).searchMessages},
		{scope: inMessages, keys: []string{"y"}, name: "copy-message", short: "copy message",
			help: "copy the chosen message", run: (*model).copyMessage},
	}
}

func (t *messagesTab) open(m *model, room string) {
	t.all, t.follow = newRing[inspect.Event](roomKept), true
	for _, e := range of(m.store.messages, room) {
		t.all.push(e)
	}
	t.refresh()
}

func (t *messagesTab) hear(_ *model, room string, events []inspect.Event) {
	came := false
	for _, e := range events {
		if isMessage(e) && inspect.Of(e).Room == room {
			t.all.push(e)
			came = true
			if t.held != nil {
				t.behind++
			}
		}
	}
	if came && t.held == nil {
		t.refresh()
	}
}

// refresh looks again for what is to be shown. The cursor stays on its message,
// or at the end.
func (t *messagesTab) refresh() {
	var seq uint64
	if t.list.at < len(t.shown) {
		seq = inspect.Of(t.shown[t.list.at]).Seq
	}
	from := t.held
	if from == nil {
		from = t.all.all()
	}
	t.shown = from
	if words := strings.Fields(strings.ToLower(t.search)); len(words) > 0 {
		t.shown = nil
	next:
		for _, e := range from {
			text := strings.ToLower(preview(e) + " " + connectionOf(e))
			for _, w := range words {
				if !strings.Contains(text, w) {
					continue next
				}
			}
			t.shown = append(t.shown, e)
		}
	}
	if t.follow {
		t.list.at = len(t.shown) - 1
	} else {
		t.list.at, _ = slices.BinarySearchFunc(t.shown, seq, func(e inspect.Event, seq uint64) int {
			return int(int64(inspect.Of(e).Seq) - int64(seq)) //nolint:gosec // close together
		})
	}
	t.list.fit(len(t.shown), t.list.h)
}

func (t *messagesTab) pause() {
	if t.held != nil {
		t.held, t.behind, t.follow = nil, 0, true
	} else {
		t.held = t.all.all()
	}
	t.refresh()
}

func (m *model) searchMessages() tea.Cmd {
	set := func(m *model, text string) {
		if m.room != nil {
			m.room.messages.search = text
			m.room.messages.refresh()
		}
	}
	return m.ask(input{
		label: "search", hint: "part of a message, or of a connection's id", changed: set,
		escape: func(m *model) tea.Cmd { set(m, ""); return nil },
	}, m.room.messages.search)
}

func (m *model) copyMessage() tea.Cmd {
	t := &m.room.messages
	if t.list.at >= len(t.shown) {
		return m.copy("", "")
	}
	p := messageOf(t.shown[t.list.at])
	if p.Binary {
		return m.copy(hex.EncodeToString(p.Data), hex.EncodeToString(p.Data))
	}
	return m.copy(string(p.Data), string(p.Data))
}

func messageOf(e inspect.Event) *inspect.Payload {
	switch e := e.(type) {
	case *inspect.MessageIn:
		return &e.Payload
	case *inspect.MessageOut:
		return &e.Payload
	case *inspect.Request:
		return &e.Answer
	}
	return &inspect.Payload{}
}

// connectionOf is whom a message is from or to.
func connectionOf(e inspect.Event) string {
	switch e := e.(type) {
	case *inspect.MessageIn:
		return e.Connection
	case *inspect.MessageOut:
		if e.Connection == "" && e.Count == 0 {
			return "nobody"
		}
		if e.Connection == "" {
			return "all " + count(e.Count)
		}
		return e.Connection
	case *inspect.Request:
		return "HTTP"
	}
	return ""
}

// preview is a message on one line.
func preview(e inspect.Event) string {
	p := messageOf(e)
	if r, ok := e.(*inspect.Request); ok {
		return clean(fmt.Sprintf("%s %d %s in %s", r.Method, r.Status, pathOf(r.URL), inspect.Span(r.Took)))
	}
	if p.Binary {
		return hex.EncodeToString(p.Data[:min(len(p.Data), 256)])
	}
	return clean(string(p.Data))
}

var messageColumns = []column{
	{title: "Time", least: 12, drop: 4},
	{title: "", least: 1},
	{title: "Connection", least: 8, grow: 1, most: 22, drop: 1},
	{title: "Size", least: 6, right: true, drop: 3},
	{title: "Message", least: 10, grow: 12},
}

func (t *messagesTab) draw(m *model, a *area) {
	th := m.th
	widths := layout(messageColumns, a.w-margin-1)
	a.put(th.heads(messageColumns, widths, a.w, -1, ""))
	foot := 0
	note := t.note(m)
	if note != "" && a.left() > 2 {
		foot = 1
	}
	h := a.left() - foot
	t.list.fit(len(t.shown), h)
	body := a.part(h)
	if len(t.shown) == 0 {
		text := "no message has passed since this dashboard looks"
		if t.search != "" {
			text = "no message has \"" + clean(t.search) + "\""
		}
		body.put(th.line().add(plain, spaces(margin)).add(dim, text).end(a.w))
	}
	for i := t.list.top; i < min(t.list.top+t.list.h, len(t.shown)); i++ {
		e := t.shown[i]
		p := messageOf(e)
		dir, r := th.in, inward
		switch e.(type) {
		case *inspect.MessageOut:
			dir, r = th.out, outward
		case *inspect.Request:
			dir, r = th.next, accent
		}
		text := value{role: plain, text: preview(e)}
		if isAuto(e) {
			text.more = append(text.more, value{role: dim, text: "  (automatic)"})
		}
		if inspect.Of(e).Forced {
			text.more = append(text.more, value{role: warn, text: "  (forced)"})
		}
		l := th.begin(i == t.list.at, m.input == nil)
		l.fields(messageColumns, widths, []value{
			{role: dim, text: stamp(inspect.Of(e).Time)}, {role: r, text: dir}, {role: r, text: clean(connectionOf(e))},
			{role: dim, text: bytesText(p.Size)}, text,
		}, th.dots)
		body.put(l.end(a.w))
		body.on(0, a.w, t.choose(i))
	}
	body.rest()
	if foot > 0 {
		a.put(th.line().add(plain, spaces(margin)).add(warn, clip(note, a.w-margin, th.dots)).end(a.w))
	}
}

func isAuto(e inspect.Event) bool {
	switch e := e.(type) {
	case *inspect.MessageIn:
		return e.Auto
	case *inspect.MessageOut:
		return e.Auto
	}
	return false
}

// choose moves the cursor to an entry that was clicked, and lays out the one
// that it is on already.
func (t *messagesTab) choose(i int) func(m *model) tea.Cmd {
	return func(m *model) tea.Cmd {
		if t.list.at == i {
			return m.layOut()
		}
		return m.moveBy(i - t.list.at)
	}
}

func (t *messagesTab) note(m *model) string {
	switch {
	case t.held != nil:
		return "paused, " + count(t.behind) + " more since; space goes on"
	case t.search != "" && m.input == nil:
		return "only those with \"" + clean(t.search) + "\""
	case m.store.lost > 0 && !t.follow:
		return count(m.store.lost) + " events came too fast to be shown"
	case !t.follow && !t.list.last():
		return "end follows what comes"
	}
	return ""
}

func (t *messagesTab) lay(m *model, w int) (string, []string) {
	if t.list.at >= len(t.shown) {
		return "message", nil
	}
	e := t.shown[t.list.at]
	p := messageOf(e)
	who := "from "
	if _, out := e.(*inspect.MessageOut); out {
		who = "to "
	}
	title := who + clean(connectionOf(e)) + " " + m.th.dot + " " + bytesText(p.Size)
	if w <= 0 {
		return title, nil
	}
	if r, ok := e.(*inspect.Request); ok {
		lines := layFacts(m.th, w, "request", r.Method+" "+r.URL, "status", count(r.Status), "took", inspect.Span(r.Took), "error", r.Error)
		for _, part := range []struct {
			name string
			p    *inspect.Payload
		}{{"body", &r.Body}, {"answer", &r.Answer}} {
			if part.p.Size > 0 {
				lines = append(append(lines, spaces(w), m.th.line().add(dim, part.name+" "+m.th.dot+" "+bytesText(part.p.Size)).end(w)), layPayload(m.th, part.p, w)...)
			}
		}
		return "request", lines
	}
	return title, layPayload(m.th, p, w)
}

func layPayload(t *theme, p *inspect.Payload, w int) []string {
	lines := lay(t, string(p.Data), w)
	if p.Binary {
		lines = layBytes(t, p.Data, w)
	}
	if p.Size > len(p.Data) {
		lines = append(lines, spaces(w), t.line().add(warn, clip("only the first "+count(len(p.Data))+" of "+count(p.Size)+" bytes are kept", w, "")).end(w))
	}
	return lines
}
