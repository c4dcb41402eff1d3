package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage"
	"github.com/goparty/party/emulator/wire"
)

// life is what is kept of a room for those who look at it, also while the room
// is cold.
type life struct {
	mu         sync.Mutex // a leaf
	starts     uint64
	generation uint64 // it last ran in
	errText    string
	errAt      time.Time
	size       int64 // of its database; -1: ask the file
	stored     bool

	in, out, inBytes, outBytes atomic.Uint64
}

// looks is what the emulator keeps for those who look at it.
type looks struct {
	at      atomic.Pointer[string] // URL of the gateway
	livesMu sync.Mutex             // a leaf, but for those of the lives
	lives   map[wire.Address]*life
}

// livesKept is how many lives are kept before those of rooms that left nothing
// behind are dropped.
const livesKept = 1 << 14

// outlive drops what is kept of a room that was forgotten, where that is much.
func (e *Emulator) outlive(a wire.Address) {
	e.livesMu.Lock()
	defer e.livesMu.Unlock()
	if l := e.lives[a]; l != nil && len(e.lives) > livesKept && !l.isStored() {
		delete(e.lives, a)
	}
}

// life returns what is kept of the room at an address.
func (e *Emulator) life(a wire.Address) *life {
	e.livesMu.Lock()
	defer e.livesMu.Unlock()
	l := e.lives[a]
	if l == nil {
		l = &life{size: -1}
		e.lives[a] = l
	}
	return l
}

func (l *life) started(generation uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starts++
	l.generation = generation
}

func (l *life) failed(text string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errText, l.errAt = text, at
}

// wrote notes that the room has a file, and that its size has changed.
func (l *life) wrote(stored bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored, l.size = stored, -1
}

func (l *life) isStored() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored
}

// show adds what is kept to what the room says of itself. path is its file.
func (l *life) show(v *inspect.Room, path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stored && l.size < 0 {
		l.size = storage.SizeOf(path)
	}
	v.Starts, v.LastError, v.ErrorAt, v.Size = l.starts, l.errText, l.errAt, max(l.size, 0)
	if v.Generation == 0 {
		v.Generation = l.generation
	}
	v.Traffic = inspect.Traffic{In: l.in.Load(), Out: l.out.Load(), InBytes: l.inBytes.Load(), OutBytes: l.outBytes.Load()}
}

// Past is what a room has been.
type Past struct {
	Starts     uint64 // instances
	Generation uint64 // that the last one ran in
}

// Past tells of all rooms that have run since the emulator was started, by name,
// also of those that left nothing behind.
func (e *Emulator) Past() map[string]Past {
	all := map[string]Past{}
	e.livesMu.Lock()
	defer e.livesMu.Unlock()
	for a, l := range e.lives {
		l.mu.Lock()
		if l.starts > 0 {
			all[a.String()] = Past{l.starts, l.generation}
		}
		l.mu.Unlock()
	}
	return all
}

// Snapshot implements [inspect.Viewer].
func (e *Emulator) Snapshot(ctx context.Context) (*inspect.Snapshot, error) {
	s := &inspect.Snapshot{
		Seq: e.events.Seq(), Time: e.clock.Now(), Offset: e.clock.Offset(), Manual: e.clock.Manual(),
		URL: e.url(), State: e.config.State, Generation: e.generationNow(),
	}
	if code := e.events.Code(); code != nil {
		s.Code = &inspect.Last{Event: code}
	}
	for _, c := range e.Classes() {
		s.Classes = append(s.Classes, inspect.ReadyClass{Class: c.Binding, Hibernate: c.Hibernate, WebSocket: e.webSocketURL(c.Binding)})
	}
	seen := map[wire.Address]bool{}
	for _, r := range e.allRooms() {
		r.do(func() {
			if v, ok := r.show(); ok {
				seen[r.address] = true
				s.Rooms = append(s.Rooms, v)
			}
		})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	s.Rooms = append(s.Rooms, e.coldRooms(seen)...)
	slices.SortFunc(s.Rooms, func(a, b inspect.Room) int { return cmp.Compare(a.Room, b.Room) })
	return s, nil
}

// coldRooms are the rooms that are nothing but their storage.
func (e *Emulator) coldRooms(seen map[wire.Address]bool) []inspect.Room {
	e.livesMu.Lock()
	cold := make(map[wire.Address]*life)
	for a, l := range e.lives {
		if !seen[a] && l.isStored() {
			cold[a] = l
		}
	}
	e.livesMu.Unlock()
	all := make([]inspect.Room, 0, len(cold))
	for a, l := range cold {
		all = append(all, e.showCold(a, l))
	}
	return all
}

func (e *Emulator) showCold(a wire.Address, l *life) inspect.Room {
	v := inspect.Room{Room: a.String(), Class: a.Binding, Name: a.Name, ID: a.ID(), State: inspect.Cold, Alarm: e.showAlarm(a, false)}
	l.show(&v, e.file(a))
	return v
}

func (e *Emulator) file(a wire.Address) string {
	if e.store == nil {
		return ""
	}
	return e.store.Room(a.Binding, a.ID(), storedName(a)).Path()
}

func (e *Emulator) showAlarm(a wire.Address, running bool) *inspect.Alarm {
	e.alarmMu.Lock()
	defer e.alarmMu.Unlock()
	al := e.alarms[a]
	if al == nil {
		return nil
	}
	return &inspect.Alarm{Scheduled: al.scheduled, Due: al.due, Retries: al.retries, Running: running}
}

// show is what the room's owner says of it; false where it is nothing.
func (r *room) show() (inspect.Room, bool) {
	life := r.em.life(r.address)
	v := inspect.Room{
		Room: r.name, Class: r.address.Binding, Name: r.address.Name, ID: r.id,
		Connections: len(r.conns), Waiting: len(r.queue), Alarm: r.em.showAlarm(r.address, r.alarm != nil),
	}
	switch in := r.inst; {
	case in == nil && len(r.queue) > 0:
		v.State = inspect.Crashed
	case in == nil && len(r.conns) > 0:
		v.State = inspect.Hibernated
	case in == nil:
		v.State = inspect.Cold
		if !life.isStored() {
			return v, false
		}
	default:
		r.showInstance(&v)
	}
	life.show(&v, r.em.file(r.address))
	return v, true
}

func (r *room) showInstance(v *inspect.Room) {
	in := r.inst
	v.Generation = in.gen.number
	v.State = inspect.Running
	if in.starting {
		v.State = inspect.Starting
		v.Turn = &inspect.TurnNow{Kind: "start", For: time.Since(in.began)}
	}
	if g := r.em.current(); g != nil && g != in.gen {
		v.State = inspect.Reloading
	}
	if len(in.running) > 0 {
		ev := in.running[0]
		v.Waiting += len(in.running) - 1
		v.Turn = &inspect.TurnNow{Kind: ev.kind, Connection: ev.connection(), For: time.Since(in.began)}
	}
	v.Awake = r.awake()
	if len(v.Awake) == 0 {
		v.SleepsAt = r.lastTurn.Add(r.em.config.HibernateAfter)
	} else if len(r.conns) == 0 && len(in.streams) == 0 && !in.starting {
		v.EvictedAt = r.lastOther.Add(r.em.config.EvictAfter)
	}
}

func (e *Emulator) generationNow() inspect.Generation {
	g := e.current()
	if g == nil {
		return inspect.Generation{Reason: e.whyNot()}
	}
	return inspect.Generation{Number: g.number, PID: g.guest.PID(), Since: g.since, Running: true}
}

// Follow implements [inspect.Viewer].
func (e *Emulator) Follow(ctx context.Context, limit int) (*inspect.Snapshot, inspect.Feed, error) {
	// Subscribed first: what happens while the snapshot is taken is in both,
	// and the numbers tell it apart.
	sub := e.events.Subscribe(limit)
	s, err := e.Snapshot(ctx)
	if err != nil {
		sub.Close()
		return nil, nil, err
	}
	return s, sub, nil
}

// find looks a room up; it need not be in memory.
func (e *Emulator) find(name string) (wire.Address, error) {
	a, err := e.parse(name)
	if err != nil {
		return a, err
	}
	e.mu.RLock()
	r := e.rooms[a]
	e.mu.RUnlock()
	if r != nil {
		exists := false
		r.do(func() { _, exists = r.show() })
		if exists {
			return a, nil
		}
	}
	e.livesMu.Lock()
	l := e.lives[a]
	e.livesMu.Unlock()
	if l != nil && l.isStored() {
		return a, nil
	}
	return a, e.noRoom(a)
}

// noRoom is the error for a room that does not exist, with what exists.
func (e *Emulator) noRoom(a wire.Address) error {
	s, err := e.Snapshot(e.ctx)
	text := ""
	if err == nil {
		var names []string
		for _, r := range s.Rooms {
			names = append(names, r.Room)
		}
		if like := inspect.Similar(a.String(), names); like != "" {
			text = fmt.Sprintf("; did you mean %s?", like)
		} else if len(names) == 0 {
			text = ": there is no room yet; the first connection or request makes one"
		}
	}
	return fmt.Errorf("%s: %w%s", a, inspect.ErrNoRoom, text)
}

// Room implements [inspect.Viewer]. With [inspect.ErrNoRoom] comes what a room of
// that name would be: cold.
func (e *Emulator) Room(ctx context.Context, name string) (*inspect.RoomDetail, error) {
	a, err := e.find(name)
	if errors.Is(err, inspect.ErrNoRoom) {
		return &inspect.RoomDetail{Room: e.showCold(a, e.life(a))}, err
	}
	if err != nil {
		return nil, err
	}
	d := &inspect.RoomDetail{}
	e.mu.RLock()
	r := e.rooms[a]
	e.mu.RUnlock()
	shown := r != nil && r.do(func() {
		d.Room, _ = r.show()
		for _, c := range r.conns {
			d.Conns = append(d.Conns, c.show())
		}
	})
	if !shown {
		d.Room = e.showCold(a, e.life(a))
	}
	err = e.reading(a, func(db *reader) error {
		d.File = db.path
		return db.describe(ctx, d)
	})
	if errors.Is(err, errNoFile) {
		err = nil
	}
	return d, err
}

// Connections implements [inspect.Viewer].
func (e *Emulator) Connections(ctx context.Context) ([]inspect.Connection, error) {
	all := []inspect.Connection{}
	for _, r := range e.allRooms() {
		r.do(func() {
			for _, c := range r.conns {
				all = append(all, c.show())
			}
		})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b inspect.Connection) int { return cmp.Compare(a.Room, b.Room) })
	return all, nil
}

// show is called by the room's owner.
func (c *connection) show() inspect.Connection {
	v := inspect.Connection{
		Room: c.room.name, ID: c.id, URI: c.uri, Tags: slices.Clone(c.tags), State: slices.Clone(c.state),
		Opened: c.opened, Status: "open", Queued: c.queued, Delay: c.delay,
		Traffic: inspect.Traffic{In: c.in, Out: c.out, InBytes: c.inBytes, OutBytes: c.outBytes},
	}
	switch {
	case c.sock == nil:
		v.Status = "connecting"
	case c.sent || c.gone:
		v.Status = "closing"
	}
	if c.sock != nil {
		v.Queued = c.sock.waiting()
	}
	return v
}

// Fire implements [inspect.Actor].
func (e *Emulator) Fire(_ context.Context, name string) error {
	a, err := e.parse(name)
	if err != nil {
		return err
	}
	al := e.alarm(a)
	if al == nil {
		if _, err := e.find(name); err != nil {
			return err
		}
		return fmt.Errorf("%s has no alarm; its server sets one with Storage().SetAlarm", name)
	}
	e.doAt(a, func(r *room) { r.alarmDue(al, true) })
	return nil
}

// url is where the gateway listens; "": nowhere yet.
func (e *Emulator) url() string {
	if p := e.at.Load(); p != nil {
		return *p
	}
	return ""
}

func (e *Emulator) webSocketURL(binding string) string {
	at := e.url()
	if at == "" {
		return ""
	}
	return "ws" + strings.TrimPrefix(at, "http") + "/parties/" + wire.Kebab(binding) + "/ROOM"
}
