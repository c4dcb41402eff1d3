package guest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// Storage is a room's storage as an instance reaches it: only during a turn,
// and not from several goroutines at once.
type Storage struct {
	in *Instance

	mu    sync.Mutex
	sql   *sql.DB // nil: not used yet
	ended bool
	depth int   // open savepoints
	owner *turn // of them

	// marker is written by every use without any lock, so that the race
	// detector reports a goroutine that uses storage during somebody else's
	// turn, which cannot be noticed otherwise.
	marker uint64
}

// Storage returns the room's storage.
func (in *Instance) Storage() *Storage { return in.storage }

// enter checks that a turn runs, and marks the use.
func (s *Storage) enter() error {
	if s.in.fenced.Load() {
		return errGone
	}
	t := s.in.turn.Load()
	if t == nil {
		return fmt.Errorf("%w: storage of %s was used outside of a turn; from background work use Do, which runs a function as a turn", ErrNoTurn, s.in.Address)
	}
	s.marker = t.number
	t.stored.Store(true)
	return nil
}

// ask sends a storage message and waits for its answer.
func (s *Storage) ask(ctx context.Context, make_ func(id uint64) wire.Message) (wire.Message, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	if ctx.Done() == nil {
		return s.in.guest.quick(s.in, make_)
	}
	return s.in.guest.request(ctx, s.in, make_)
}

// tell sends a storage message that is not answered.
func (s *Storage) tell(m wire.Message) error {
	if err := s.enter(); err != nil {
		return err
	}
	return s.in.send(m)
}

// background is the context of the operations that take none: they end with
// the instance.
var background = context.Background()

// Limits of the KV store. (The platform's for databases on SQLite, and for
// batches.)
const (
	maxKey   = 2048
	maxEntry = 2 << 20
	maxBatch = 128
)

func checkKeys(keys []string) error {
	if len(keys) > maxBatch {
		return fmt.Errorf("%w: maximum number of key value pairs is %d; %d pairs were provided", ErrTooLarge, maxBatch, len(keys))
	}
	for _, k := range keys {
		if len(k) > maxKey {
			return fmt.Errorf("%w: keys cannot be larger than %d bytes; a key of size %d was provided", ErrTooLarge, maxKey, len(k))
		}
	}
	return nil
}

// Get returns the entries of keys, sorted by key, without those that are missing.
func (s *Storage) Get(keys []string) ([]wire.Entry, error) {
	if err := checkKeys(keys); err != nil {
		return nil, err
	}
	m, err := s.ask(background, func(id uint64) wire.Message {
		return &wire.Get{Instance: s.in.Number, ID: id, Keys: keys}
	})
	if err != nil {
		return nil, err
	}
	return entries(m)
}

func entries(m wire.Message) ([]wire.Entry, error) {
	e, ok := m.(*wire.Entries)
	if !ok {
		return nil, fmt.Errorf("unexpected answer %T", m)
	}
	if e.Err != nil {
		return nil, fromFailure(e.Err)
	}
	return e.Entries, nil
}

// Put stores entries, all or none. It does not wait: what the database has
// against them makes the commit fail.
func (s *Storage) Put(all []wire.Entry) error {
	keys := make([]string, len(all))
	for i, e := range all {
		keys[i] = e.Key
		if n := len(e.Key) + len(e.Value); n > maxEntry {
			return fmt.Errorf("%w: key and value together cannot be larger than %d bytes; %q has %d", ErrTooLarge, maxEntry, e.Key, n)
		}
	}
	if err := checkKeys(keys); err != nil {
		return err
	}
	return s.tell(&wire.Put{Instance: s.in.Number, Entries: all})
}

// Delete deletes keys and returns how many there were.
func (s *Storage) Delete(keys []string) (int, error) {
	if err := checkKeys(keys); err != nil {
		return 0, err
	}
	text, err := s.text(background, func(id uint64) wire.Message {
		return &wire.Delete{Instance: s.in.Number, ID: id, Keys: keys}
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// text asks for a Result.
func (s *Storage) text(ctx context.Context, make_ func(id uint64) wire.Message) (string, error) {
	m, err := s.ask(ctx, make_)
	if err != nil {
		return "", err
	}
	r, ok := m.(*wire.Result)
	switch {
	case !ok:
		return "", fmt.Errorf("unexpected answer %T", m)
	case r.Err != nil:
		return "", fromFailure(r.Err)
	}
	return string(r.Value), nil
}

// List returns a share of the entries in a range, and whether there are more
// behind it.
func (s *Storage) List(l wire.List) (all []wire.Entry, more bool, err error) {
	m, err := s.ask(background, func(id uint64) wire.Message {
		l.Instance, l.ID = s.in.Number, id
		return &l
	})
	if err != nil {
		return nil, false, err
	}
	all, err = entries(m)
	if err != nil {
		return nil, false, err
	}
	return all, m.(*wire.Entries).More, nil
}

// DeleteAll deletes everything.
func (s *Storage) DeleteAll() error {
	if s.open() > 0 {
		return errors.New("cannot call DeleteAll within a Transaction: call it before or after")
	}
	_, err := s.text(background, func(id uint64) wire.Message { return &wire.DeleteAll{Instance: s.in.Number, ID: id} })
	return err
}

// open is how many savepoints the running turn has open.
func (s *Storage) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != s.in.turn.Load() {
		return 0 // left by a turn that has ended; the emulator undid them
	}
	return s.depth
}

// Savepoint is one that is open. It ends with its turn at the latest.
type Savepoint struct {
	s    *Storage
	turn *turn
	n    int
}

// Savepoint opens a savepoint in the running turn.
func (s *Storage) Savepoint() (*Savepoint, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	p := &Savepoint{s: s, turn: s.in.turn.Load(), n: s.open() + 1}
	if err := s.savepoint(p.n, wire.SavepointOpen); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.depth, s.owner = p.n, p.turn
	s.mu.Unlock()
	return p, nil
}

// End releases the savepoint, or undoes what happened since; those above it go
// with it. database/sql calls it from goroutines of its own when a context
// ends, also late: then it must not touch what another turn does.
func (p *Savepoint) End(undo bool) error {
	s := p.s
	s.mu.Lock()
	if p.turn != s.in.turn.Load() || s.owner != p.turn || p.n > s.depth {
		s.mu.Unlock()
		return errors.New("this transaction has ended already: with an outer one, or with its turn")
	}
	s.depth = p.n - 1
	s.mu.Unlock()
	action := wire.SavepointRelease
	if undo {
		action = wire.SavepointUndo
	}
	return s.savepoint(p.n, action)
}

func (s *Storage) savepoint(n int, action wire.SavepointAction) error {
	m, err := s.in.guest.quick(s.in, func(id uint64) wire.Message {
		return &wire.Savepoint{Instance: s.in.Number, ID: id, Number: n, Action: action}
	})
	if err != nil {
		return err
	}
	if r, ok := m.(*wire.Result); ok && r.Err != nil {
		return fromFailure(r.Err)
	}
	return nil
}

// Sync commits what the turn wrote so far.
func (s *Storage) Sync(ctx context.Context) error {
	if s.open() > 0 {
		return errors.New("cannot Sync within a Transaction: return from it first")
	}
	_, err := s.text(ctx, func(id uint64) wire.Message { return &wire.Sync{Instance: s.in.Number, ID: id} })
	return err
}

// beforeCall commits what the turn wrote before it calls another room: what
// that room hears of must not be lost.
func beforeCall(ctx context.Context) error {
	t := running(ctx)
	if t == nil || !t.stored.Load() {
		return nil
	}
	s := t.instance.storage
	if s.open() > 0 {
		return errors.New("cannot call another room within a Transaction, which may use storage only: return from it first")
	}
	return s.Sync(ctx)
}

// The platform's bounds of an alarm's time.
var lastAlarm = time.Date(2189, 12, 31, 23, 59, 59, 0, time.UTC)

// SetAlarm sets the room's alarm.
func (s *Storage) SetAlarm(t time.Time) error {
	switch {
	case s.in.class.Hooks&wire.HookAlarm == 0:
		return fmt.Errorf("class %s must have an OnAlarm hook in order to call SetAlarm: add OnAlarm(ctx context.Context, alarm party.AlarmInfo) error", s.in.class.Binding)
	case t.UnixMilli() <= 0:
		return errors.New("SetAlarm cannot be called with an alarm time <= 0 (1970): use a time such as Now().Add(time.Minute)")
	case t.After(lastAlarm):
		return errors.New("SetAlarm does not support dates after 2189")
	}
	if now := s.in.Now(); t.Before(now) {
		t = now
	}
	return s.tell(&wire.SetAlarm{Instance: s.in.Number, Time: t.Truncate(time.Millisecond).UnixNano()})
}

// DeleteAlarm deletes the room's alarm, if there is one.
func (s *Storage) DeleteAlarm() error { return s.tell(&wire.SetAlarm{Instance: s.in.Number}) }

func (s *Storage) question(what wire.StorageQuestion, text string, t time.Time) (string, error) {
	return s.text(background, func(id uint64) wire.Message {
		m := &wire.StorageCall{Instance: s.in.Number, ID: id, What: what, Text: text}
		if !t.IsZero() {
			m.Time = t.UnixNano()
		}
		return m
	})
}

// Alarm returns the alarm's time.
func (s *Storage) Alarm() (time.Time, bool, error) {
	text, err := s.question(wire.AskAlarm, "", time.Time{})
	if err != nil || text == "" {
		return time.Time{}, false, err
	}
	ns, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(0, ns).UTC(), err == nil, err
}

// Size is the database's size in bytes.
func (s *Storage) Size() (int64, error) {
	text, err := s.question(wire.AskSize, "", time.Time{})
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// Bookmark returns the current bookmark.
func (s *Storage) Bookmark() (string, error) {
	return s.question(wire.AskBookmark, "", time.Time{})
}

// BookmarkAt returns the bookmark of a time.
func (s *Storage) BookmarkAt(t time.Time) (string, error) {
	return s.question(wire.AskBookmarkForTime, "", t)
}

// RestoreBookmark lets the next start of the room find the database as it was.
func (s *Storage) RestoreBookmark(b string) (undo string, err error) {
	return s.question(wire.RestoreBookmark, b, time.Time{})
}
