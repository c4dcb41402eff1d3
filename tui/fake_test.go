package tui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// fake is an emulator that shows what a test tells it to, and notes what is
// asked of it.
type fake struct {
	mu      sync.Mutex
	snap    inspect.Snapshot
	details map[string]*inspect.RoomDetail
	kv      []inspect.KV
	tables  map[string]*inspect.Rows // by query
	asked   []string
	fails   map[string]error // by the name of what was asked
	hangs   chan struct{}    // not nil: snapshots wait for it
	feeds   []*fakeFeed
}

var _ inspect.Emulator = (*fake)(nil)

// say notes what was asked, and returns the error that it should have.
func (f *fake) say(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := fmt.Sprintf(format, args...)
	f.asked = append(f.asked, s)
	for name, err := range f.fails {
		if len(s) >= len(name) && s[:len(name)] == name {
			return err
		}
	}
	return nil
}

func (f *fake) Snapshot(ctx context.Context) (*inspect.Snapshot, error) {
	f.mu.Lock()
	hangs, err := f.hangs, f.fails["snapshot"]
	f.mu.Unlock()
	if hangs != nil {
		select {
		case <-hangs:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.snap
	s.Time = time.Now().UTC().Add(s.Offset)
	s.Rooms = slices.Clone(s.Rooms)
	return &s, nil
}

func (f *fake) Follow(ctx context.Context, limit int) (*inspect.Snapshot, inspect.Feed, error) {
	s, err := f.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	feed := &fakeFeed{ready: make(chan struct{}, 1), limit: limit}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.feeds = append(f.feeds, feed)
	return s, feed, nil
}

// happen publishes events.
func (f *fake) happen(events ...inspect.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, feed := range f.feeds {
		feed.add(events...)
	}
}

func (f *fake) Room(_ context.Context, room string) (*inspect.RoomDetail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.details[room]; d != nil {
		return d, nil
	}
	for _, r := range f.snap.Rooms {
		if r.Room == room {
			return &inspect.RoomDetail{Room: r}, nil
		}
	}
	return nil, inspect.ErrNoRoom
}

func (f *fake) Connections(context.Context) ([]inspect.Connection, error) { return nil, nil }

func (f *fake) KV(_ context.Context, _ string, q inspect.KVQuery) ([]inspect.KV, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []inspect.KV
	for _, kv := range f.kv {
		if kv.Key > q.After && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, kv)
		}
	}
	return out, nil
}

func (f *fake) SQL(_ context.Context, _, query string, limit int) (*inspect.Rows, error) {
	if err := f.say("sql %s", query); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if rows := f.tables[query]; rows != nil {
		return rows, nil
	}
	return nil, errors.New("no such table")
}

func (f *fake) Hibernate(_ context.Context, room string, force bool) error {
	return f.say("hibernate %s %t", room, force)
}
func (f *fake) Evict(_ context.Context, room string) error { return f.say("evict %s", room) }
func (f *fake) Abort(_ context.Context, room string) error { return f.say("abort %s", room) }
func (f *fake) Reset(_ context.Context, room string) error { return f.say("reset %s", room) }
func (f *fake) Fire(_ context.Context, room string) error  { return f.say("fire %s", room) }
func (f *fake) SetAlarm(_ context.Context, room string, at time.Time) error {
	return f.say("alarm %s %s", room, at.Format(time.RFC3339))
}
func (f *fake) Exec(_ context.Context, room, query string) (*inspect.Rows, error) {
	return &inspect.Rows{Affected: 3}, f.say("exec %s %s", room, query)
}
func (f *fake) Put(_ context.Context, room, key string, value []byte) error {
	return f.say("put %s %s %s", room, key, value)
}
func (f *fake) Send(_ context.Context, room, id string, binary bool, data []byte) (int, error) {
	return 2, f.say("send %s %s %s", room, id, data)
}
func (f *fake) Cut(_ context.Context, room, id string) (int, error) {
	return 1, f.say("cut %s %s", room, id)
}
func (f *fake) Delay(_ context.Context, room, id string, d time.Duration) (int, error) {
	return 1, f.say("delay %s %s %s", room, id, d)
}
func (f *fake) FailCommit(_ context.Context, room string) error { return f.say("failcommit %s", room) }
func (f *fake) Advance(_ context.Context, d time.Duration) (time.Time, error) {
	return time.Now().Add(d), f.say("advance %s", d)
}
func (f *fake) Reload(context.Context) error { return f.say("reload") }
func (f *fake) Crash(context.Context) error  { return f.say("crash") }

// fakeFeed is a feed that drops what is too much, as the real one does.
type fakeFeed struct {
	mu     sync.Mutex
	events []inspect.Event
	lost   uint64
	limit  int
	err    error
	ready  chan struct{}
}

func (f *fakeFeed) add(events ...inspect.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		if len(f.events) >= f.limit {
			f.lost++
		} else {
			f.events = append(f.events, e)
		}
	}
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

func (f *fakeFeed) Next(ctx context.Context) ([]inspect.Event, uint64, error) {
	for {
		f.mu.Lock()
		events, lost, err := f.events, f.lost, f.err
		f.events, f.lost = nil, 0
		f.mu.Unlock()
		if err != nil {
			return nil, 0, err
		}
		if len(events) > 0 {
			return events, lost, nil
		}
		select {
		case <-f.ready:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

func (f *fakeFeed) Close() {}

// end lets the feed fail.
func (f *fakeFeed) end(err error) {
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
	f.add()
}

// sample is an emulator with some of everything.
func sample() *fake {
	now := time.Now().UTC()
	in := func(d time.Duration) time.Time { return now.Add(d) }
	f := &fake{details: map[string]*inspect.RoomDetail{}, fails: map[string]error{}, tables: map[string]*inspect.Rows{}}
	f.snap = inspect.Snapshot{
		Seq: 100, URL: "http://127.0.0.1:1999", State: ".party/state",
		Generation: inspect.Generation{Number: 3, PID: 4711, Since: in(-time.Minute), Running: true},
		Classes: []inspect.ReadyClass{
			{Class: "chat", WebSocket: "ws://127.0.0.1:1999/parties/chat/ROOM", Hibernate: true},
			{Class: "reminder", WebSocket: "ws://127.0.0.1:1999/parties/reminder/ROOM", Hibernate: true},
		},
		Rooms: []inspect.Room{
			{Room: "chat/lobby", State: inspect.Running, Generation: 3, Starts: 4, Connections: 12, Turn: &inspect.TurnNow{Kind: "message", For: 3 * time.Millisecond},
				SleepsAt: in(8 * time.Second), Traffic: inspect.Traffic{In: 1000, Out: 4000}, Size: 4200},
			{Room: "chat/random", State: inspect.Hibernated, Generation: 2, Starts: 1, Connections: 3, Size: 12288},
			{Room: "chat/zoo", State: inspect.Cold, Generation: 1, Starts: 1, Size: 8192, LastError: "OnMessage failed: no such animal: dodo", ErrorAt: in(-time.Minute)},
			{Room: "reminder/ada", State: inspect.Hibernated, Generation: 3, Starts: 2, Connections: 1, Size: 20480,
				Alarm: &inspect.Alarm{Scheduled: in(12 * time.Second), Due: in(12 * time.Second)}},
			{Room: "reminder/bob", State: inspect.Running, Generation: 3, Starts: 1, Connections: 1, Waiting: 2, Turn: &inspect.TurnNow{Kind: "alarm", For: 4 * time.Second},
				Awake: []string{"a turn runs: alarm", "a timer of AfterFunc"}, Alarm: &inspect.Alarm{Scheduled: in(-4 * time.Second), Due: in(-4 * time.Second), Retries: 1, Running: true}, Size: 1 << 21},
			{Room: "reminder/crashed", State: inspect.Crashed, Generation: 3, Starts: 9, LastError: "panic: runtime error: index out of range [5] with length 3", ErrorAt: in(-time.Second)},
		},
	}
	f.details["chat/lobby"] = &inspect.RoomDetail{
		Room: f.snap.Rooms[0], Keys: 2, File: ".party/state/chat/abc.sqlite",
		Conns: []inspect.Connection{
			{Room: "chat/lobby", ID: "ada-4f9c", URI: "http://127.0.0.1:1999/parties/chat/lobby?name=Ada", Tags: []string{"ada-4f9c", "admin"}, Status: "open",
				State: json.RawMessage(`{"id":"ada-4f9c","name":"Ada"}`), Opened: in(-90 * time.Second), Traffic: inspect.Traffic{In: 12, Out: 340, InBytes: 800, OutBytes: 20400}},
			{Room: "chat/lobby", ID: "bob-77aa", URI: "http://127.0.0.1:1999/parties/chat/lobby?name=Bob", Tags: []string{"bob-77aa"}, Status: "open",
				State: json.RawMessage(`{"id":"bob-77aa","name":"Bob"}`), Opened: in(-5 * time.Second), Traffic: inspect.Traffic{In: 1, Out: 2}, Queued: 4096},
			{Room: "chat/lobby", ID: "eve-0d01", URI: "http://127.0.0.1:1999/parties/chat/lobby", Tags: []string{"eve-0d01"}, Status: "closing", Opened: in(-3 * time.Hour)},
		},
		Tables: []inspect.Table{{Name: "messages", SQL: "CREATE TABLE messages (id INTEGER PRIMARY KEY, who TEXT, text TEXT)", Rows: 3}},
	}
	f.kv = []inspect.KV{{Key: "config", Value: json.RawMessage(`{"topic":"cats","limit":10}`)}, {Key: "last", Value: json.RawMessage(`"hello"`)}}
	f.tables[`SELECT * FROM "messages" LIMIT 201 OFFSET 0`] = &inspect.Rows{Columns: []string{"id", "who", "text"}, Rows: [][]any{
		{int64(1), "Ada", "hello, is anybody here?"}, {int64(2), "Bob", "yes"}, {int64(3), nil, []byte{0, 255}},
	}}
	return f
}

// at makes the header of an event.
func at(seq uint64, room string, d time.Duration) inspect.Header {
	return inspect.Header{Seq: seq, Time: time.Now().UTC().Add(d), Room: room, Generation: 3}
}

// story is what happened.
func story() []inspect.Event {
	return []inspect.Event{
		&inspect.RoomStarted{Header: at(101, "chat/lobby", -40*time.Second), Cause: "connect"},
		&inspect.ConnectionOpened{Header: at(102, "chat/lobby", -39*time.Second), Connection: "ada-4f9c", URI: "http://127.0.0.1:1999/parties/chat/lobby?name=Ada", Tags: []string{"ada-4f9c", "admin"}},
		&inspect.MessageIn{Header: at(103, "chat/lobby", -30*time.Second), Connection: "ada-4f9c", Payload: inspect.NewPayload(false, []byte(`{"type":"message","text":"hello, is anybody here?"}`))},
		&inspect.MessageOut{Header: at(104, "chat/lobby", -30*time.Second), Count: 11, Payload: inspect.NewPayload(false, []byte(`{"type":"message","id":"ada-4f9c","from":"Ada","text":"hello, is anybody here?","at":946684770000}`))},
		&inspect.Log{Header: at(105, "chat/lobby", -30*time.Second), Level: "INFO", Text: "message from Ada len=23"},
		&inspect.MessageIn{Header: at(106, "chat/lobby", -20*time.Second), Connection: "bob-77aa", Payload: inspect.NewPayload(true, []byte{0, 1, 2, 0xff, 'h', 'i'})},
		&inspect.Log{Header: at(107, "", -19*time.Second), Level: "INFO", Text: "listening for cats", Output: true},
		&inspect.Exception{Header: at(108, "chat/zoo", -15*time.Second), Hook: "OnMessage", Error: "no such animal: dodo", Stack: "main.(*Zoo).OnMessage\n\tmain.go:41"},
		&inspect.RoomHibernated{Header: at(109, "chat/lobby", -12*time.Second), Connections: 12},
		&inspect.GenerationStarted{Header: at(110, "", -10*time.Second), PID: 4711, Took: 12 * time.Millisecond},
		&inspect.RoomStarted{Header: at(111, "chat/lobby", -5*time.Second), Cause: "message"},
		&inspect.MessageIn{Header: at(112, "chat/lobby", -5*time.Second), Connection: "ada-4f9c", Payload: inspect.NewPayload(false, []byte("ping")), Auto: true},
		&inspect.Log{Header: at(113, "reminder/bob", -3*time.Second), Level: "WARN", Text: "the alarm takes long"},
	}
}
