package inspect

import (
	"context"
	"errors"
	"time"
)

// Viewer is what can be seen of an emulator. Looking wakes no room, and sees
// what is committed. ROOM is party/name as in the URL, such as chat/lobby.
type Viewer interface {
	Snapshot(ctx context.Context) (*Snapshot, error)
	// Follow returns a snapshot and the events behind it. The feed keeps at
	// most limit events unread.
	Follow(ctx context.Context, limit int) (*Snapshot, Feed, error)
	Room(ctx context.Context, room string) (*RoomDetail, error)
	Connections(ctx context.Context) ([]Connection, error) // of all rooms, by room
	KV(ctx context.Context, room string, q KVQuery) ([]KV, error)
	// SQL runs a query that SQLite does not let write. It returns at most
	// limit rows (0: all).
	SQL(ctx context.Context, room, query string, limit int) (*Rows, error)
}

// Feed is a reader's place in the stream of events. One that falls behind
// loses events and is told how many.
type Feed interface {
	// Next waits for events. It fails when ctx ends or the emulator does.
	Next(ctx context.Context) (events []Event, lost uint64, err error)
	Close()
}

// Actor is what can be done to an emulator. Everything shows in the stream of
// events, as forced.
type Actor interface {
	// Hibernate drops a room's memory and keeps its connections. It refuses,
	// with the reasons, a room that could not hibernate by itself and that
	// does not come to rest in a moment, unless forced. A room already asleep
	// is fine.
	Hibernate(ctx context.Context, room string, force bool) error
	// Evict drops a room's memory as the platform would: connections of
	// classes that hibernate stay, others are cut. A hook that hangs is left
	// behind, without effect.
	Evict(ctx context.Context, room string) error
	// Abort resets a room: what is not committed is lost and every connection
	// is cut.
	Abort(ctx context.Context, room string) error
	// Reset aborts a room and deletes its storage and its alarm.
	Reset(ctx context.Context, room string) error
	// Fire runs the alarm's handler now, whatever its time. It is an error
	// where no alarm is set.
	Fire(ctx context.Context, room string) error
	// SetAlarm moves the alarm, or deletes it where at is zero.
	SetAlarm(ctx context.Context, room string, at time.Time) error
	// Exec runs SQL that may write, between two turns, and commits it.
	Exec(ctx context.Context, room, query string) (*Rows, error)
	// Put writes a key as JSON, or deletes it where value is nil, between two
	// turns, and commits it.
	Put(ctx context.Context, room, key string, value []byte) error
	// Send sends a message to one connection of a room, or with id "" to all,
	// as its server would, and returns to how many.
	Send(ctx context.Context, room, id string, binary bool, data []byte) (int, error)
	// Cut ends a connection without a close frame, or with id "" all of them,
	// and returns how many. The server sees 1006.
	Cut(ctx context.Context, room, id string) (int, error)
	// Delay lets everything to and from a connection, or with id "" all of the
	// room's, take d of machine time longer. 0 ends it.
	Delay(ctx context.Context, room, id string, d time.Duration) (int, error)
	// FailCommit makes the room's next commit fail.
	FailCommit(ctx context.Context, room string) error
	// Advance moves the rooms' clock and runs what falls due, in order.
	Advance(ctx context.Context, d time.Duration) (time.Time, error)
	// Reload builds the server again and swaps it in. It returns when every
	// room has changed over, or with the reason why nothing changed.
	Reload(ctx context.Context) error
	// Crash ends the process of the running code at once, as a bug would.
	Crash(ctx context.Context) error
}

// Emulator is a running emulator, in this process or behind its control socket.
// All methods may be called from any goroutine.
type Emulator interface {
	Viewer
	Actor
}

// ErrNoRoom is wrapped by the error for a room that does not exist.
var ErrNoRoom = errors.New("no such room")
