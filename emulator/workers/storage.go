//go:build js

package workers

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"syscall/js"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// storage does what the guest asks of the room's storage, on the goroutine of
// the turn: most is answered before the operation returns.
type storage struct {
	r *room
	js.Value

	mu     sync.Mutex
	points []*savepoint

	// Of the turn that runs.
	cursors map[uint64]*cursor
	parsed  map[string]*statement
	tables  map[string][]wire.Column // by lower-case name; nil: not known

	// The alarm as the engine has it; asking the engine would be a wait, and so
	// a commit.
	alarmMu sync.Mutex
	alarm   alarm
}

// alarm is what is known of the room's alarm.
type alarm struct {
	known   bool
	at      int64 // Unix milliseconds; 0: none
	touched bool  // set or deleted by the OnAlarm that runs
}

func newStorage(r *room) *storage {
	return &storage{r: r, Value: r.shim.Get("database"), cursors: map[uint64]*cursor{}, parsed: map[string]*statement{}}
}

// handle takes a storage message of the guest, and reports whether it is one.
// The end of a turn is also seen here, but is not the storage's.
func (s *storage) handle(m wire.Message) bool {
	switch m := m.(type) {
	case *wire.Done:
		s.endTurn()
		return false
	case *wire.Get:
		s.get(m)
	case *wire.Put:
		s.put(m)
	case *wire.Delete:
		n := 0
		for _, k := range m.Keys {
			if s.Call("delete", k).Bool() {
				n++
			}
		}
		s.answer(m.ID, strconv.Itoa(n), nil)
	case *wire.List:
		s.list(m)
	case *wire.DeleteAll:
		s.setAlarm(0)
		s.forgetTables()
		s.Call("deleteAll", m.ID)
	case *wire.Savepoint:
		s.answer(m.ID, "", s.savepoint(m))
	case *wire.Sync:
		s.Call("sync", m.ID)
	case *wire.SetAlarm:
		if m.Time == 0 {
			s.setAlarm(0)
			s.Call("deleteAlarm")
			break
		}
		ms := time.Unix(0, m.Time).UnixMilli()
		s.setAlarm(ms)
		s.Call("setAlarm", ms)
	case *wire.StorageCall:
		s.question(m)
	case *wire.Query:
		s.r.guest.Handle(s.query(m))
	case *wire.NextRows:
		s.r.guest.Handle(s.nextRows(m))
	case *wire.CloseCursor:
		delete(s.cursors, m.Cursor)
		s.Call("closeCursor", m.Cursor)
	case *wire.Interrupt: // what runs has ended: nothing waits here
	default:
		return false
	}
	return true
}

func (s *storage) answer(id uint64, value string, err error) {
	m := &wire.Result{ID: id, Value: []byte(value)}
	if err != nil {
		m.Err = &wire.Failure{Text: err.Error()}
	}
	s.r.guest.Handle(m)
}

func (s *storage) get(m *wire.Get) {
	answer := &wire.Entries{ID: m.ID}
	for _, k := range sortedKeys(m.Keys) {
		if v := s.Call("get", k); !v.IsUndefined() {
			answer.Entries = append(answer.Entries, entry(k, v))
		}
	}
	s.r.guest.Handle(answer)
}

func entry(key string, v js.Value) wire.Entry {
	if v.Type() == js.TypeString {
		return wire.Entry{Key: key, Value: []byte(v.String())}
	}
	return wire.Entry{Key: key, Value: bytesOf(v), Blob: true}
}

// put stores entries. Nobody waits for it, so where it fails the room is
// reset, as when a commit fails.
func (s *storage) put(m *wire.Put) {
	for _, e := range m.Entries {
		var value any = string(e.Value)
		if e.Blob {
			value = toJS(e.Value)
		}
		if failed := s.Call("put", e.Key, value); !failed.IsUndefined() {
			s.r.abort("commit failed: " + failed.String())
			return
		}
	}
}

// How much of a listing or a result travels at once.
const (
	listShare = 256
	rowShare  = 256
	byteShare = 256 << 10
)

func (s *storage) list(m *wire.List) {
	most := listShare
	if m.Limit > 0 {
		most = min(most, m.Limit)
	}
	result := s.Call("list", optional(m.Start), optional(m.StartAfter), optional(m.End), m.Prefix, m.Reverse, most, byteShare)
	answer := &wire.Entries{ID: m.ID, More: result.Get("more").Bool()}
	all := result.Get("all")
	for i := 0; i+1 < all.Length(); i += 2 {
		answer.Entries = append(answer.Entries, entry(all.Index(i).String(), all.Index(i+1)))
	}
	s.r.guest.Handle(answer)
}

func (s *storage) question(m *wire.StorageCall) {
	switch m.What {
	case wire.AskAlarm:
		s.alarmMu.Lock()
		known, at := s.alarm.known, s.alarm.at
		s.alarmMu.Unlock()
		switch {
		case !known:
			s.Call("getAlarm", m.ID) // the room's queue learns of it on its way
		case at == 0:
			s.answer(m.ID, "", nil)
		default:
			s.answer(m.ID, strconv.FormatInt(time.UnixMilli(at).UnixNano(), 10), nil)
		}
	case wire.AskSize:
		s.answer(m.ID, strconv.Itoa(s.Call("size").Int()), nil)
	case wire.AskBookmark:
		s.Call("bookmark", m.ID)
	case wire.AskBookmarkForTime:
		s.Call("bookmarkAt", m.ID, time.Unix(0, m.Time).UnixMilli())
	case wire.RestoreBookmark:
		s.Call("restore", m.ID, m.Text)
	default:
		s.answer(m.ID, "", errors.New("unknown question"))
	}
}

// setAlarm notes what the alarm is from now on.
func (s *storage) setAlarm(ms int64) {
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	s.alarm = alarm{known: true, at: ms, touched: true}
}

// scheduled is when the alarm that fires was meant to.
func (s *storage) scheduled(now time.Time) time.Time {
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	if s.alarm.at == 0 {
		return now
	}
	return time.UnixMilli(s.alarm.at)
}

// alarmRuns: while OnAlarm runs there is no alarm, unless it sets one.
func (s *storage) alarmRuns() {
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	s.alarm = alarm{known: true}
}

// lastRetry is the number of the last run that the engine grants a failing
// alarm.
const lastRetry = 6

func (s *storage) alarmRan(failed bool, retries int, scheduled time.Time) {
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	if failed && retries < lastRetry && !s.alarm.touched {
		s.alarm.at = scheduled.UnixMilli()
	}
}

// savepoint is one that is open. The engine has savepoints only around a
// function, so one goroutine waits within that function until the savepoint
// ends, while the turn goes on: nothing else can run meanwhile, which is why a
// transaction must not wait.
type savepoint struct {
	end      chan bool // undo
	released chan struct{}
	alarm    alarm // as it was
}

func (s *storage) savepoint(m *wire.Savepoint) error {
	s.mu.Lock()
	points := s.points
	s.mu.Unlock()
	if m.Action == wire.SavepointOpen {
		p := &savepoint{end: make(chan bool), released: make(chan struct{})}
		s.alarmMu.Lock()
		p.alarm = s.alarm
		s.alarmMu.Unlock()
		opened := make(chan struct{})
		go func() {
			within := js.FuncOf(func(js.Value, []js.Value) any {
				close(opened)
				undo := <-p.end
				s.Call("ending")
				return undo
			})
			defer within.Release()
			s.Call("transaction", within)
			close(p.released)
		}()
		<-opened
		s.mu.Lock()
		s.points = append(points, p)
		s.mu.Unlock()
		return nil
	}
	if m.Number < 1 || m.Number > len(points) {
		return errors.New("this transaction has ended already")
	}
	s.endFrom(m.Number-1, m.Action == wire.SavepointUndo)
	return nil
}

// endFrom ends the savepoints from one on, the last first.
func (s *storage) endFrom(first int, undo bool) {
	s.mu.Lock()
	points := s.points
	s.points = points[:first]
	s.mu.Unlock()
	for i := len(points) - 1; i >= first; i-- {
		p := points[i]
		p.end <- undo
		<-p.released
		if undo {
			s.alarmMu.Lock()
			s.alarm = p.alarm
			s.alarmMu.Unlock()
			s.forgetTables()
		}
	}
}

// endTurn ends what a turn left open: savepoints, which are undone, and
// cursors.
func (s *storage) endTurn() {
	s.mu.Lock()
	open := len(s.points)
	s.mu.Unlock()
	if open > 0 {
		s.endFrom(0, true)
	}
	if len(s.cursors) > 0 {
		clear(s.cursors)
		s.Call("closeCursors")
	}
}

// sortedKeys is keys in order, each once.
func sortedKeys(keys []string) []string {
	if len(keys) < 2 {
		return keys
	}
	return slices.Compact(slices.Sorted(slices.Values(keys)))
}
