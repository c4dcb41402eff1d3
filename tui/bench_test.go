package tui

import (
	"context"
	"fmt"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// crowd is a snapshot of many rooms.
func crowd(n int) *inspect.Snapshot {
	s := &inspect.Snapshot{Seq: 1, URL: "http://127.0.0.1:1999", Generation: inspect.Generation{Number: 1, Running: true}}
	states := []string{inspect.Running, inspect.Hibernated, inspect.Cold}
	for i := range n {
		s.Rooms = append(s.Rooms, inspect.Room{Room: fmt.Sprintf("chat/room-%05d", i), State: states[i%3], Connections: i % 7, Size: int64(i)})
	}
	return s
}

func crowded(n int) (*model, *inspect.Snapshot) {
	m := newModel(context.Background(), Options{Emulator: &fake{}, Name: "bench"})
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 50})
	s := crowd(n)
	m.takeSnapshot(s, m.now())
	return m, s
}

// BenchmarkSnapshot is what a look at ten thousand rooms costs, sorted by what
// changes most.
func BenchmarkSnapshot(b *testing.B) {
	m, s := crowded(10_000)
	m.rooms.sort(m, 3)
	at := m.now()
	for b.Loop() {
		for i := range s.Rooms {
			s.Rooms[i].Traffic.In += uint64(i % 13) //nolint:gosec // small
		}
		at = at.Add(time.Second)
		m.took(looked{snap: s, began: at})
	}
}

// BenchmarkKey is a key on a table of ten thousand rooms, drawn.
func BenchmarkKey(b *testing.B) {
	m, _ := crowded(10_000)
	for b.Loop() {
		m.Update(keyOf("down"))
		_ = m.View()
	}
}

// BenchmarkFilter is one more letter of a filter over ten thousand rooms.
func BenchmarkFilter(b *testing.B) {
	m, _ := crowded(10_000)
	for b.Loop() {
		m.rooms.setFilter(m, "room-00")
		_ = m.View()
		m.rooms.setFilter(m, "room-0")
		_ = m.View()
	}
}

// BenchmarkEvents is a full batch of messages while a room's page shows them.
func BenchmarkEvents(b *testing.B) {
	m, _ := crowded(100)
	m.open("chat/room-00001", tabMessages)
	feed := &fakeFeed{}
	m.feed = feed
	var seq uint64
	data := []byte(`{"type":"message","text":"hello, is anybody here?"}`)
	for b.Loop() {
		events := make([]inspect.Event, unread)
		for i := range events {
			seq++
			events[i] = &inspect.MessageIn{Header: inspect.Header{Seq: seq, Room: "chat/room-00001"}, Connection: "c", Payload: inspect.NewPayload(false, data)}
		}
		m.hear(heard{feed: feed, events: events})
		_ = m.View()
	}
}
