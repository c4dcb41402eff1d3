package tui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// The messages that commands come back with.
type (
	// looked is a snapshot, and the room that is looked at.
	looked struct {
		snap   *inspect.Snapshot
		detail *inspect.RoomDetail
		room   string // asked for in detail
		err    error  // of the snapshot
		began  time.Time
		took   time.Duration
		need   int // of model.needed when it began
	}
	// followed is an open feed.
	followed struct {
		feed inspect.Feed
		snap *inspect.Snapshot
		err  error
	}
	// heard is what came over it.
	heard struct {
		feed   inspect.Feed
		events []inspect.Event
		lost   uint64
		err    error
	}
	noted string // by who runs the dashboard
	beat  time.Time
	retry struct{}
)

// look takes a snapshot. One is under way at a time.
func (m *model) look() tea.Cmd {
	if m.looking {
		return nil
	}
	m.looking, m.lookBegan = true, m.now()
	began, need := m.lookBegan, m.needed
	room := ""
	if m.page == pageRoom && m.room.wantsDetail() {
		room = m.room.name
	}
	em, ctx, now := m.o.Emulator, m.ctx, m.now
	return func() tea.Msg {
		snap, err := em.Snapshot(ctx)
		msg := looked{snap: snap, err: err, room: room, began: began, need: need}
		if err == nil && room != "" {
			// A room that is gone is seen to be so in the snapshot.
			msg.detail, _ = em.Room(ctx, room)
		}
		msg.took = now().Sub(began)
		return msg
	}
}

// nextLook is how long to wait for the next snapshot.
func (m *model) nextLook() time.Duration {
	wait := idlePoll
	if m.heardSince || m.stale() {
		wait = busyPoll
	}
	return min(max(wait, share*m.lookTook), slowest)
}

// follow opens the feed.
func (m *model) follow() tea.Cmd {
	em, ctx := m.o.Emulator, m.ctx
	return func() tea.Msg {
		snap, feed, err := em.Follow(ctx, unread)
		return followed{feed, snap, err}
	}
}

// listen waits for events, at least for as long as they are gathered.
func (m *model) listen(feed inspect.Feed) tea.Cmd {
	ctx := m.ctx
	return func() tea.Msg {
		if !pause(ctx, gather) {
			return nil
		}
		events, lost, err := feed.Next(ctx)
		return heard{feed, events, lost, err}
	}
}

// note waits for something that is to be said.
func (m *model) note() tea.Cmd {
	notes, ctx := m.o.Notes, m.ctx
	if notes == nil {
		return nil
	}
	return func() tea.Msg {
		select {
		case text, ok := <-notes:
			if ok {
				return noted(text)
			}
		case <-ctx.Done():
		}
		return nil
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (m *model) beat() tea.Cmd {
	return tea.Tick(heartbeat, func(t time.Time) tea.Msg { return beat(t) })
}

// took takes over a snapshot.
func (m *model) took(msg looked) tea.Cmd {
	m.looking, m.lookTook = false, msg.took
	m.lookedAt = m.now()
	if msg.err != nil {
		if m.ctx.Err() == nil {
			m.down(msg.err)
		}
		return nil
	}
	m.up()
	m.seen = max(m.seen, msg.need)
	m.heardSince = false
	m.takeSnapshot(msg.snap, msg.began.Add(msg.took/2))
	if msg.room != "" && m.room != nil && m.room.name == msg.room {
		return m.room.takeDetail(m, msg.detail)
	}
	return nil
}

func (m *model) takeSnapshot(s *inspect.Snapshot, at time.Time) {
	m.snap, m.snapAt = s, at
	m.build.suppose(m, s.Generation)
	m.world.take(s, at)
	m.rooms.refresh(m)
	if m.room != nil {
		m.room.refresh(m)
	}
}

// down notes that the emulator cannot be reached.
func (m *model) down(err error) {
	if m.failure == nil {
		m.failedAt = m.now()
	}
	m.failure = err
}

func (m *model) up() { m.failure = nil }

// hear takes over events.
func (m *model) hear(msg heard) tea.Cmd {
	if msg.feed != m.feed {
		msg.feed.Close()
		return nil
	}
	if msg.err != nil {
		m.feed.Close()
		m.feed = nil
		if m.ctx.Err() != nil {
			return nil
		}
		m.down(msg.err)
		return m.later()
	}
	m.heardSince = true
	for i, e := range msg.events {
		msg.events[i] = slim(e)
	}
	m.store.take(msg.events, msg.lost)
	var cmds []tea.Cmd
	for _, e := range msg.events {
		m.build.take(m, e)
	}
	m.log.refresh(m)
	if m.room != nil {
		cmds = append(cmds, m.room.hear(m, msg.events))
	}
	return tea.Batch(append(cmds, m.listen(msg.feed))...)
}

// later tries again to follow.
func (m *model) later() tea.Cmd {
	return tea.Tick(time.Second, func(time.Time) tea.Msg { return retry{} })
}

// trouble says what is wrong with the emulator, or "".
func (m *model) trouble() string {
	switch {
	case m.failure != nil:
		return "no emulator: " + clean(firstLine(m.failure.Error())) + "; trying again (" + wholeSpan(m.now().Sub(m.failedAt)) + ")"
	case m.looking && m.now().Sub(m.lookBegan) > patience:
		return "the emulator has not answered for " + wholeSpan(m.now().Sub(m.lookBegan))
	}
	return ""
}

// roomNow is the rooms' time.
func (m *model) roomNow() time.Time {
	if m.snap == nil {
		return m.now()
	}
	now := m.snap.Time.Local()
	if m.snap.Manual {
		return now
	}
	return now.Add(m.now().Sub(m.snapAt))
}
