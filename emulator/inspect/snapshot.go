package inspect

import (
	"encoding/json"
	"errors"
	"time"
)

// Snapshot is an emulator at one moment.
type Snapshot struct {
	Seq        uint64        `json:"seq"` // events with greater numbers came later
	Time       time.Time     `json:"time"`
	Offset     time.Duration `json:"offset_ns,omitempty"` // how far the rooms' clock is ahead of the wall's
	Manual     bool          `json:"manual,omitempty"`    // it stands still until advanced
	URL        string        `json:"url,omitempty"`
	State      string        `json:"state,omitempty"`  // directory of the rooms' databases
	Source     string        `json:"source,omitempty"` // directory of the server's code
	Flags      []string      `json:"flags,omitempty"`  // of party dev, those that say how rooms behave
	Generation Generation    `json:"generation"`
	Code       *Last         `json:"code,omitempty"` // of a change of the code that does not serve: see [Stream.Code]
	Classes    []ReadyClass  `json:"classes"`
	Rooms      []Room        `json:"rooms"` // by name
}

// Last is the last event of something that goes on. In JSON it is as events are.
type Last struct{ Event }

// MarshalJSON implements [json.Marshaler].
func (l Last) MarshalJSON() ([]byte, error) { return Marshal(l.Event) }

// UnmarshalJSON implements [json.Unmarshaler]. An event of a newer version is none.
func (l *Last) UnmarshalJSON(text []byte) (err error) {
	if l.Event, err = Unmarshal(text); errors.Is(err, ErrUnknownType) {
		err = nil
	}
	return err
}

// Generation is the user's code as it runs now.
type Generation struct {
	Number  uint64    `json:"number"`
	PID     int       `json:"pid,omitempty"` // 0: in the emulator's own process, or not running
	Since   time.Time `json:"since,omitzero"`
	Running bool      `json:"running"`
	Reason  string    `json:"reason,omitempty"` // why it does not run
	Next    uint64    `json:"next,omitempty"`   // a reload to this one goes on
}

// The states of a room.
const (
	Running    = "running"    // code in memory
	Starting   = "starting"   // OnStart runs
	Hibernated = "hibernated" // connections, no code in memory
	Cold       = "cold"       // neither
	Reloading  = "reloading"  // still in memory under old code, which its last turn holds there
	Crashed    = "crashed"    // it has something to do, and there is no code to do it
)

// Room is one room.
type Room struct {
	Room        string    `json:"room"`  // as in the URL: chat/lobby
	Class       string    `json:"class"` // the binding
	Name        string    `json:"name"`
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Generation  uint64    `json:"generation,omitempty"` // that it last ran in
	Starts      uint64    `json:"starts"`               // instances since the emulator was started
	Connections int       `json:"connections"`
	Waiting     int       `json:"waiting,omitempty"` // turns
	Turn        *TurnNow  `json:"turn,omitempty"`
	Alarm       *Alarm    `json:"alarm,omitempty"`
	Awake       []string  `json:"awake,omitempty"`      // why it cannot hibernate
	SleepsAt    time.Time `json:"sleeps_at,omitzero"`   // when it will, if nothing happens
	EvictedAt   time.Time `json:"evicted_at,omitzero"`  // when it will be, if nothing but what keeps it awake now happens
	Traffic     Traffic   `json:"traffic"`              // of all its connections, those that are gone too
	Size        int64     `json:"size,omitempty"`       // bytes of its database, as last seen
	LastError   string    `json:"last_error,omitempty"` // of a hook or a commit, while the emulator runs
	ErrorAt     time.Time `json:"error_at,omitzero"`
}

// TurnNow is the turn that runs.
type TurnNow struct {
	Kind       string        `json:"kind"`
	Connection string        `json:"connection,omitempty"`
	For        time.Duration `json:"for_ns"` // machine time
}

// Alarm is a room's alarm.
type Alarm struct {
	Scheduled time.Time `json:"scheduled"` // what SetAlarm was given
	Due       time.Time `json:"due"`       // the same, or the time of the next retry
	Retries   int       `json:"retries,omitempty"`
	Running   bool      `json:"running,omitempty"` // its turn waits or runs
}

// Traffic counts messages and their bytes.
type Traffic struct {
	In       uint64 `json:"in"`
	Out      uint64 `json:"out"`
	InBytes  uint64 `json:"in_bytes"`
	OutBytes uint64 `json:"out_bytes"`
}

// Connection is one WebSocket of a room.
type Connection struct {
	Room    string          `json:"room"`
	ID      string          `json:"id"`
	URI     string          `json:"uri"`
	Tags    []string        `json:"tags"`
	State   json.RawMessage `json:"state,omitempty"`
	Opened  time.Time       `json:"opened"`
	Status  string          `json:"status"` // connecting, open, closing
	Traffic Traffic         `json:"traffic"`
	Queued  int             `json:"queued,omitempty"`   // bytes that the client has not read
	Delay   time.Duration   `json:"delay_ns,omitempty"` // that was asked for
}

// RoomDetail is a room with all that can be known of it without waking it.
type RoomDetail struct {
	Room
	Conns  []Connection `json:"conns"` // in the order they came
	Tables []Table      `json:"tables,omitempty"`
	Keys   int          `json:"keys"`           // of the key-value storage
	File   string       `json:"file,omitempty"` // "": it has not written
}

// Table is one of the user's tables.
type Table struct {
	Name string `json:"name"`
	SQL  string `json:"sql"`
	Rows int64  `json:"rows"`
}

// KVQuery chooses keys of a room.
type KVQuery struct {
	Key    string // exactly this one
	Prefix string
	After  string // keys behind this one
	Limit  int    // 0: all
}

// KV is one key with its value.
type KV struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value,omitempty"`
	Blob  []byte          `json:"blob,omitempty"` // where it is bytes
}

// Rows is the result of a query.
type Rows struct {
	Columns  []string `json:"columns"`
	Rows     [][]any  `json:"rows"` // int64, float64, string, []byte or nil
	More     bool     `json:"more,omitempty"`
	Affected int64    `json:"affected,omitempty"`
}
