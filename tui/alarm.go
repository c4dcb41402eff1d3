package tui

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// drawAlarm draws the tab of the alarm.
func (p *roomPane) drawAlarm(m *model, a *area) {
	t := m.th
	a.blank()
	r := m.world.rooms[p.name]
	say := func(label string, v value) {
		l := t.line().add(plain, spaces(margin)).cell(dim, label, 12, t.dots).add(v.role, v.text)
		for _, m := range v.more {
			l.add(m.role, m.text)
		}
		a.put(l.end(a.w))
	}
	hint := func(key, text string) {
		a.put(t.line().add(plain, spaces(margin)).cell(accent, key, 3, t.dots).add(dim, text).end(a.w))
	}
	if r == nil || r.Alarm == nil {
		a.put(t.line().add(plain, spaces(margin)).add(dim, "No alarm is set.").end(a.w))
		a.blank()
		hint("m", "sets one")
		return
	}
	now := m.roomNow()
	al := r.Alarm
	const layout = "2006-01-02 15:04:05.000"
	say("scheduled", value{role: plain, text: al.Scheduled.Local().Format(layout)})
	if !al.Due.Equal(al.Scheduled) {
		say("due", value{role: plain, text: al.Due.Local().Format(layout)})
	}
	if al.Running {
		say("", value{role: good, text: "its handler runs, or waits for the room"})
	} else {
		say("fires", value{role: strong, text: until(al.Due.Sub(now))})
	}
	if al.Retries > 0 {
		say("retries", value{role: warn, text: count(al.Retries) + " of 6", more: []value{{role: dim, text: "   the handler failed each time"}}})
	}
	a.blank()
	hint("f", "fires it now")
	hint("m", "moves or deletes it")
	hint("t", "moves the clock, so that it falls due")
}

func alarmBindings() []binding {
	return []binding{
		{scope: inAlarm, keys: []string{"m"}, name: "move-alarm", short: "move", foot: 2,
			help: "set the alarm to another time, or delete it", run: (*model).moveAlarm, off: needRoom},
	}
}

func (m *model) moveAlarm() tea.Cmd {
	room, em := m.target(), m.o.Emulator
	return m.ask(input{
		label: "alarm at", hint: "+10s, +5m, a time such as 15:04:05, or none",
		enter: func(m *model, text string) tea.Cmd {
			at, err := parseTime(strings.TrimSpace(text), m.roomNow())
			if err != "" {
				m.say(bad, err)
				return nil
			}
			done := "the alarm of " + clean(room) + " is deleted"
			if !at.IsZero() {
				done = "the alarm of " + clean(room) + " is set to " + clock(at)
			}
			return m.act("moving the alarm", done, func(ctx context.Context) error { return em.SetAlarm(ctx, room, at) })
		},
	}, "")
}

// parseTime reads when an alarm should fire: the zero time is never.
func parseTime(s string, now time.Time) (at time.Time, problem string) {
	if s == "none" || s == "never" {
		return time.Time{}, ""
	}
	if rest, ok := strings.CutPrefix(s, "+"); ok {
		if d, err := parseSpan(rest); err == nil && d >= 0 {
			return now.Add(d), ""
		}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, ""
	}
	for _, f := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(f, s, now.Location()); err == nil {
			return t, ""
		}
	}
	for _, f := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(f, s); err == nil {
			at := time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			if at.Before(now) {
				at = at.AddDate(0, 0, 1)
			}
			return at, ""
		}
	}
	return time.Time{}, "\"" + clean(s) + "\" is no time: write +10s, 15:04:05, 2030-01-31 15:04, or none"
}
