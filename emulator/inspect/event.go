// Package inspect is what can be seen of an emulator: the stream of events.
//
// Events are a closed set of types with a sequence number, a time, and, where
// it applies, a room and a generation. A [Stream] hands every subscriber the
// same events in the same order. Publishing never waits: a subscriber that
// falls behind loses events and is told how many.
package inspect

import "time"

// Event is something that happened. The set of types is closed.
type Event interface {
	// Type is the event's name in JSON, such as "message.in".
	Type() string
	header() *Header
}

// Header is what every event has.
type Header struct {
	Seq        uint64    `json:"seq"`
	Time       time.Time `json:"time"` // of the rooms' clock
	Room       string    `json:"room,omitempty"`
	Generation uint64    `json:"generation,omitempty"`
	Forced     bool      `json:"forced,omitempty"` // by a person, not by the rules
}

func (h *Header) header() *Header { return h }

// Of returns an event's header.
func Of(e Event) Header { return *e.header() }

// The events.
type (
	// RoomStarted: an instance is in memory and its OnStart has run.
	RoomStarted struct {
		Header
		Cause string `json:"cause"` // the event that woke it
	}
	// RoomHibernated: the instance left memory because nothing needed it.
	RoomHibernated struct {
		Header
		Connections int `json:"connections"` // still open; 0: the room is cold
	}
	// RoomEvicted: the instance was dropped although something kept it awake.
	RoomEvicted struct {
		Header
		Reason string `json:"reason"`
		Cut    int    `json:"cut,omitempty"` // connections that could not hibernate
	}
	// RoomAborted: the room was reset and its connections cut.
	RoomAborted struct {
		Header
		Reason string `json:"reason"`
		Cut    int    `json:"cut,omitempty"`
	}
	// ConnectionOpened: a WebSocket is open; OnConnect has run.
	ConnectionOpened struct {
		Header
		Connection string   `json:"connection"`
		URI        string   `json:"uri"`
		Tags       []string `json:"tags"`
	}
	// ConnectionRefused: a WebSocket was not let in.
	ConnectionRefused struct {
		Header
		Connection string `json:"connection"`
		Reason     string `json:"reason"`
	}
	// ConnectionClosed: a WebSocket is gone.
	ConnectionClosed struct {
		Header
		Connection string `json:"connection"`
		Code       int    `json:"code"`
		Reason     string `json:"reason,omitempty"`
		Clean      bool   `json:"clean"`
		Server     bool   `json:"server,omitempty"` // closed it, and not the client
	}
	// MessageIn came from a client.
	MessageIn struct {
		Header
		Connection string `json:"connection"`
		Payload
		Auto bool `json:"auto,omitempty"` // answered by AutoRespond
	}
	// MessageOut goes to a client, or without Connection to several.
	MessageOut struct {
		Header
		Connection string   `json:"connection,omitempty"`
		Count      int      `json:"count"`             // of clients that it goes to
		Without    []string `json:"without,omitempty"` // ids, where it goes to several
		Payload
		Auto bool `json:"auto,omitempty"`
	}
	// Request was answered.
	Request struct {
		Header
		Method string        `json:"method"`
		URL    string        `json:"url"`
		Status int           `json:"status"`
		Took   time.Duration `json:"took_ns"`
		Error  string        `json:"error,omitempty"`

		ContentType string  `json:"content_type,omitempty"` // of Body
		Body        Payload `json:"body,omitzero"`          // as far as it came before the turn
		Answer      Payload `json:"answer,omitzero"`
	}
	// Turn ended.
	Turn struct {
		Header
		Kind       string        `json:"kind"`
		Connection string        `json:"connection,omitempty"`
		Took       time.Duration `json:"took_ns"`
		Error      string        `json:"error,omitempty"`
	}
	// TurnLost: a turn was running when its instance left memory.
	TurnLost struct {
		Header
		Kind       string `json:"kind"`
		Connection string `json:"connection,omitempty"`
		Reason     string `json:"reason"`
	}
	// Commit: what a turn wrote lasts now.
	Commit struct{ Header }
	// AlarmSet: a room's alarm was set, or deleted.
	AlarmSet struct {
		Header
		At      time.Time `json:"at,omitzero"`
		Deleted bool      `json:"deleted,omitempty"`
	}
	// AlarmFired: the alarm is due, and its turn waits.
	AlarmFired struct {
		Header
		Scheduled time.Time `json:"scheduled"`
		Retry     int       `json:"retry"`
	}
	// AlarmRetried: the alarm's turn failed, and it runs again.
	AlarmRetried struct {
		Header
		Retry int       `json:"retry"`
		Due   time.Time `json:"due"`
	}
	// AlarmGivenUp: the alarm failed too often, and is no more.
	AlarmGivenUp struct {
		Header
		Error string `json:"error"`
	}
	// Log is a line that a server wrote or logged.
	Log struct {
		Header
		Level  string `json:"level"`
		Text   string `json:"text"`
		Output bool   `json:"output,omitempty"` // written to stdout or stderr
	}
	// Exception is an error or panic of a hook.
	Exception struct {
		Header
		Hook  string `json:"hook"`
		Error string `json:"error"`
		Stack string `json:"stack,omitempty"`
	}
	// GenerationStarted: a build of the user's code runs and serves.
	GenerationStarted struct {
		Header
		PID    int           `json:"pid,omitempty"`
		Took   time.Duration `json:"took_ns"`
		Attach string        `json:"attach,omitempty"` // the command that attaches a debugger, where that was asked for
	}
	// GenerationFailed: code did not start, or its process does not answer.
	GenerationFailed struct {
		Header
		Reason string        `json:"reason"`
		Retry  time.Duration `json:"retry_ns,omitempty"` // it is tried again after this
	}
	// FilesChanged: files that the server is built from were saved.
	FilesChanged struct {
		Header
		Files []string `json:"files"`          // the first few, relative to where the tool runs
		Count int      `json:"count"`          // of all
		Why   string   `json:"why,omitempty"`  // instead of files: "asked for"
		Same  bool     `json:"same,omitempty"` // what was built last has the same content, so nothing is built
	}
	// BuildStarted: the user's package is being built.
	BuildStarted struct {
		Header
		Package string `json:"package"`
	}
	// BuildDone: the build is there to be started.
	BuildDone struct {
		Header
		How  string        `json:"how"` // what built it, such as "go build"
		Took time.Duration `json:"took_ns"`
	}
	// BuildFailed: it does not compile. What served before goes on.
	BuildFailed struct {
		Header
		Errors []BuildError  `json:"errors,omitempty"` // those with a position
		Output string        `json:"output"`           // all that the compiler said
		Took   time.Duration `json:"took_ns"`
	}
	// BuildCanceled: files changed again before the build had ended.
	BuildCanceled struct {
		Header
		Took time.Duration `json:"took_ns"`
	}
	// Swapped: new code serves. Rooms where nothing ran have changed over.
	Swapped struct {
		Header
		From    uint64        `json:"from"`
		Changed int           `json:"changed"`           // rooms that left the older code
		Waiting int           `json:"waiting,omitempty"` // rooms that do when what runs in them has ended
		Cut     int           `json:"cut,omitempty"`     // connections, where that was asked for
		Took    time.Duration `json:"took_ns"`           // since the new code had started
		Total   time.Duration `json:"total_ns"`          // since the change was made
	}
	// Retired: no room runs the older code any more; it has ended.
	Retired struct {
		Header
		Lost int           `json:"lost,omitempty"` // rooms where something had not ended in time
		Took time.Duration `json:"took_ns"`        // since newer code served
	}
	// WorkLost: background work had not ended when newer code took over.
	WorkLost struct {
		Header
		What   []string `json:"what"`
		Reason string   `json:"reason"`
	}
	// ReloadFailed: new code did not start, or may not serve. That of Generation
	// goes on.
	ReloadFailed struct {
		Header
		Reason string        `json:"reason"`
		Took   time.Duration `json:"took_ns"`
	}
	// FirstAnswer: the first message or response of new code is on its way to a
	// client.
	FirstAnswer struct {
		Header
		Total time.Duration `json:"total_ns"` // since the change was made
	}
	// Crash: the process of a generation ended.
	Crash struct {
		Header
		Reason   string `json:"reason"`
		Output   string `json:"output,omitempty"` // the end of what it wrote
		Turns    int    `json:"turns"`            // lost
		Cut      int    `json:"cut"`              // connections that could not hibernate
		Restarts bool   `json:"restarts"`
	}
	// Ready: the emulator serves. It is what a person needs to know first.
	Ready struct {
		Header
		URL     string        `json:"url"`
		State   string        `json:"state"`
		Classes []ReadyClass  `json:"classes"`
		Try     string        `json:"try"`
		Took    time.Duration `json:"took_ns"`
	}
	// RoomReset: the room's storage and alarm were deleted.
	RoomReset struct{ Header }
	// ConnectionCut: somebody ended a WebSocket without a close frame.
	ConnectionCut struct {
		Header
		Connection string `json:"connection"`
	}
	// ConnectionDelayed: what goes to and from a WebSocket takes longer now.
	ConnectionDelayed struct {
		Header
		Connection string        `json:"connection"`
		Delay      time.Duration `json:"delay_ns"` // 0: no longer
	}
	// CommitFailing: the room's next commit will fail.
	CommitFailing struct{ Header }
	// StorageWritten: somebody wrote to a room's storage between two turns.
	StorageWritten struct {
		Header
		Key      string `json:"key,omitempty"`
		Deleted  bool   `json:"deleted,omitempty"` // the key
		SQL      string `json:"sql,omitempty"`     // instead of a key; its start
		Affected int64  `json:"affected,omitempty"`
	}
	// ClockMoved: somebody advanced the rooms' clock.
	ClockMoved struct {
		Header
		By time.Duration `json:"by_ns"`
	}
)

// BuildError is one thing that a compiler does not like.
type BuildError struct {
	File   string `json:"file"` // relative to where the tool runs
	Line   int    `json:"line"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"text"`
}

// ReadyClass is one class as clients reach it.
type ReadyClass struct {
	Class     string `json:"class"`
	WebSocket string `json:"websocket"`
	Hibernate bool   `json:"hibernate"`
}

// Payload is a message's content, or its start.
type Payload struct {
	Binary bool   `json:"binary,omitempty"`
	Size   int    `json:"size"`
	Data   []byte `json:"-"` // at most PayloadKept bytes, or what Stream.Keep says
	Text   string `json:"text,omitempty"`
	Hex    string `json:"hex,omitempty"`
}

func (*RoomStarted) Type() string       { return "room.started" }
func (*RoomHibernated) Type() string    { return "room.hibernated" }
func (*RoomEvicted) Type() string       { return "room.evicted" }
func (*RoomAborted) Type() string       { return "room.aborted" }
func (*ConnectionOpened) Type() string  { return "connection.opened" }
func (*ConnectionRefused) Type() string { return "connection.refused" }
func (*ConnectionClosed) Type() string  { return "connection.closed" }
func (*MessageIn) Type() string         { return "message.in" }
func (*MessageOut) Type() string        { return "message.out" }
func (*Request) Type() string           { return "request" }
func (*Turn) Type() string              { return "turn" }
func (*TurnLost) Type() string          { return "turn.lost" }
func (*Commit) Type() string            { return "commit" }
func (*AlarmSet) Type() string          { return "alarm.set" }
func (*AlarmFired) Type() string        { return "alarm.fired" }
func (*AlarmRetried) Type() string      { return "alarm.retried" }
func (*AlarmGivenUp) Type() string      { return "alarm.given_up" }
func (*Log) Type() string               { return "log" }
func (*Exception) Type() string         { return "exception" }
func (*GenerationStarted) Type() string { return "generation.started" }
func (*GenerationFailed) Type() string  { return "generation.failed" }
func (*FilesChanged) Type() string      { return "files.changed" }
func (*BuildStarted) Type() string      { return "build.started" }
func (*BuildDone) Type() string         { return "build.done" }
func (*BuildFailed) Type() string       { return "build.failed" }
func (*BuildCanceled) Type() string     { return "build.canceled" }
func (*Swapped) Type() string           { return "reload.swapped" }
func (*Retired) Type() string           { return "generation.retired" }
func (*WorkLost) Type() string          { return "work.lost" }
func (*ReloadFailed) Type() string      { return "reload.failed" }
func (*FirstAnswer) Type() string       { return "reload.answered" }
func (*Crash) Type() string             { return "crash" }
func (*Ready) Type() string             { return "ready" }
func (*RoomReset) Type() string         { return "room.reset" }
func (*ConnectionCut) Type() string     { return "connection.cut" }
func (*ConnectionDelayed) Type() string { return "connection.delayed" }
func (*CommitFailing) Type() string     { return "commit.failing" }
func (*StorageWritten) Type() string    { return "storage.written" }
func (*ClockMoved) Type() string        { return "clock.moved" }
