package tui

import (
	"context"
	"strconv"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/goparty/party/emulator/inspect"
)

// page is what fills the screen.
type page int

const (
	pageRooms page = iota
	pageRoom
	pageLog
	pageBuild
)

// model is the whole dashboard. Bubble Tea's loop owns it; its parts are plain
// structs that draw themselves into a frame.
type model struct {
	o     Options
	ctx   context.Context // ends with the dashboard
	now   func() time.Time
	began time.Time
	width int
	high  int
	th    *theme
	theme struct { // what it depends on
		profile colorprofile.Profile
		dark    bool
	}

	snap   *inspect.Snapshot
	snapAt time.Time // machine time that the snapshot is of
	world  *world
	store  *store
	feed   inspect.Feed

	looking    bool
	lookBegan  time.Time
	lookedAt   time.Time
	lookTook   time.Duration
	heardSince bool // events came after the last snapshot
	needed     int  // counts what a snapshot must be newer than
	seen       int  // of needed
	failure    error
	failedAt   time.Time

	page  page
	came  page // where the log or the build was opened from
	rooms roomsPane
	room  *roomPane
	log   logPane
	build buildPane

	clients *clients
	input   *input    // a line that is being typed
	overs   []overlay // what lies above the page; the last has the keys
	doing   []*doing  // what goes on
	said    said      // the outcome of the last
	ids     int
	mouse   bool
	record  recording
	keys    int // pressed so far
	report  bool
	leaving bool
	frame   *frame // the last one drawn
}

func newModel(ctx context.Context, o Options) *model {
	m := &model{
		o: o, ctx: ctx, now: time.Now, world: newWorld(), store: newStore(), mouse: true,
		width: 80, high: 24, report: reportsKeys(),
	}
	m.began = m.now()
	m.theme.profile, m.theme.dark = colorprofile.TrueColor, true
	m.th = newTheme(m.theme.profile, m.theme.dark, o.ASCII)
	m.clients = newClients(ctx)
	m.log.least = info
	return m
}

// close ends what the dashboard itself holds open.
func (m *model) close() {
	m.clients.close()
	if m.feed != nil {
		m.feed.Close()
	}
}

func (m *model) Init() tea.Cmd {
	return tea.Batch(tea.RequestBackgroundColor, m.follow(), m.look(), m.beat(), m.note())
}

// Update handles one message. It never waits.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.high = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.theme.dark = msg.IsDark()
		m.restyle()
	case tea.ColorProfileMsg:
		m.theme.profile = msg.Profile
		m.restyle()
	case tea.KeyPressMsg:
		m.keys++
		return m, m.key(msg)
	case tea.PasteMsg:
		return m, m.paste(msg)
	case clicked:
		return m, m.click(msg)
	case beat:
		return m, m.onBeat()
	case looked:
		cmd := m.took(msg)
		if m.stale() {
			return m, tea.Batch(cmd, m.look())
		}
		return m, cmd
	case followed:
		return m, m.onFollowed(msg)
	case heard:
		return m, m.hear(msg)
	case retry:
		return m, m.follow()
	case done:
		return m, m.onDone(msg)
	case noted:
		m.say(plain, string(msg))
		return m, m.note()
	case clientsMsg:
		return m, m.clients.take(m, msg)
	case storageMsg:
		if m.room != nil {
			return m, m.room.storage.take(m, msg)
		}
	}
	return m, nil
}

func (m *model) restyle() { m.th = newTheme(m.theme.profile, m.theme.dark, m.o.ASCII) }

func (m *model) onFollowed(msg followed) tea.Cmd {
	if msg.err != nil {
		if m.ctx.Err() != nil {
			return nil
		}
		m.down(msg.err)
		return m.later()
	}
	m.feed = msg.feed
	m.up()
	if m.snap != nil && msg.snap.Seq < m.snap.Seq { // another emulator, which counts from the beginning
		m.store = newStore()
		m.log.refresh(m)
		if m.room != nil {
			m.room = newRoomPane(m, m.room.name)
		}
	}
	m.build.catchUp(m, msg.snap.Code)
	m.takeSnapshot(msg.snap, m.now())
	return m.listen(msg.feed)
}

// onBeat lets countdowns go on and looks again when it is time to.
func (m *model) onBeat() tea.Cmd {
	cmds := []tea.Cmd{m.beat()}
	if !m.looking && m.now().Sub(m.lookedAt) >= m.nextLook() {
		cmds = append(cmds, m.look())
	}
	m.said.fade(m.now())
	return tea.Batch(cmds...)
}

// stale reports whether something was done that no snapshot shows yet.
func (m *model) stale() bool { return m.seen < m.needed && m.failure == nil }

// busy reports whether anything goes on that a key began.
func (m *model) busy() bool { return len(m.doing) > 0 || m.stale() }

// target is the room that actions are about, or "".
func (m *model) target() string {
	switch m.page {
	case pageRooms:
		if r := m.rooms.chosen(); r != nil {
			return r.Room.Room
		}
	case pageRoom:
		return m.room.name
	}
	return ""
}

// targetRoom is what is known of it, or nil.
func (m *model) targetRoom() *room { return m.world.rooms[m.target()] }

// open shows a room.
func (m *model) open(name string, t tab) tea.Cmd {
	if m.room == nil || m.room.name != name {
		m.room = newRoomPane(m, name)
	}
	m.page, m.input = pageRoom, nil
	return m.room.show(m, t)
}

// back leaves the page.
func (m *model) back() {
	switch m.page {
	case pageRoom:
		m.page, m.room = pageRooms, nil
		m.rooms.refresh(m)
	case pageLog, pageBuild:
		m.page = m.came
		if m.page == pageRoom && m.room == nil {
			m.page = pageRooms
		}
	}
}

// visit opens a page from which one comes back here.
func (m *model) visit(p page) {
	if m.page == p {
		m.back()
		return
	}
	if m.page == pageRooms || m.page == pageRoom {
		m.came = m.page
	}
	m.page = p
}

// View draws the dashboard and says what the terminal should show around it.
func (m *model) View() tea.View {
	f := m.draw()
	v := tea.NewView(f.String())
	v.AltScreen = true
	v.ReportFocus = false
	v.WindowTitle = m.title()
	v.ProgressBar = m.build.progress()
	v.ProgramStatus = m.status()
	v.Cursor = f.cursor
	if m.mouse {
		v.MouseMode = tea.MouseModeCellMotion
		v.OnMouse = func(msg tea.MouseMsg) tea.Cmd { return f.mouse(msg) }
	}
	return v
}

// title is the terminal's.
func (m *model) title() string {
	title := "party"
	if m.o.Name != "" {
		title += " " + clean(m.o.Name)
	}
	if s := m.build.short(); s != "" {
		title = s + " - " + title
	}
	return title
}

// status tells terminals that want to know whether the dashboard waits for
// somebody or something.
func (m *model) status() *tea.ProgramStatus {
	s := &tea.ProgramStatus{App: "party", State: tea.ProgramStateIdle, Title: m.title()}
	switch {
	case m.leaving: // terminals keep what was said last
	case len(m.overs) > 0 && m.overs[len(m.overs)-1].asks():
		s.State, s.Kind = tea.ProgramStateBlocked, tea.ProgramStatusKindQuestion
	case m.busy() || m.build.running():
		s.State = tea.ProgramStateWorking
	case m.build.failed():
		s.State = tea.ProgramStateError
	}
	if m.report {
		s.Message = "keys " + strconv.Itoa(m.keys)
		if m.busy() {
			s.Message = "busy"
		}
	}
	return s
}
