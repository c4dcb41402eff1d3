// Package storage is the databases of the rooms: one SQLite file a room, and
// beside them one index a binding.
//
//	dir/.lock                         who uses the directory
//	dir/<binding>/<64 hex>.sqlite     a room that wrote: _cf_KV, _cf_METADATA, the user's tables
//	dir/<binding>/<64 hex>.sqlite-wal its history, see RestoreBookmark
//	dir/<binding>/metadata.sqlite     the index of names and alarms
//
// Other processes may read a room's file while it is in use.
package storage

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Options of a Store.
type Options struct {
	// Full makes a commit wait for the disk, so that it also survives the
	// loss of power. Without it, it survives the end of the process.
	Full bool
	// Now is the time of commits and the earliest time of an alarm; nil: time.Now.
	Now func() time.Time
}

// Store is a directory of databases. Its methods may be called by many
// goroutines.
type Store struct {
	dir     string
	options Options
	lock    *os.File

	// opening keeps room files from being opened while one goes back to a
	// bookmark.
	opening sync.RWMutex

	mu        sync.Mutex
	closed    bool
	indices   map[string]*index
	open      map[*Database]struct{}
	histories map[string]*history // by path, of open files
}

// ErrClosed is the error of anything asked of a closed Store.
var ErrClosed = errors.New("storage: the store is closed")

// Open opens the directory and creates it where it is missing. A directory
// that another Store uses, in this process or another, is refused with an
// error that names the process. A process that is killed leaves it free.
func Open(dir string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockDir(filepath.Join(dir, ".lock"))
	if err != nil {
		return nil, err
	}
	return &Store{
		dir: dir, options: o, lock: lock,
		indices: map[string]*index{}, open: map[*Database]struct{}{}, histories: map[string]*history{},
	}, nil
}

// Close ends what runs in open databases, rolls back what they had not
// committed, closes them and frees the directory.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var open []*Database
	for d := range s.open {
		open = append(open, d)
	}
	s.mu.Unlock()

	var errs []error
	for _, d := range open {
		d.stop.all.Store(true)
		errs = append(errs, d.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.indices {
		errs = append(errs, x.close())
	}
	errs = append(errs, unlockDir(s.lock))
	return errors.Join(errs...)
}

var (
	roomID  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	binding = regexp.MustCompile(`^[\pL_][\pL\p{Nd}_]*$`)
)

// Room is the database of a room; it opens nothing. id is the room's id of 64
// hex digits, name its name, "" where it has none. Use one Database a room at
// a time: a second one may read, but waits for the first one's writes.
func (s *Store) Room(binding, id, name string) *Database {
	return &Database{
		store: s, binding: binding, id: id, name: name,
		path: filepath.Join(s.dir, binding, id+".sqlite"),
	}
}

// Peek is a Database that only looks at a room, beside the one that the room
// itself uses and never in its way: it sees what is committed, and SQLite lets
// it write nothing. A room without a file is empty. It must be closed.
func (s *Store) Peek(binding, id string) *Database {
	d := s.Room(binding, id, "")
	d.peeks = true
	return d
}

// ErrReadOnly is the error for writing to a Database that only looks.
var ErrReadOnly = errors.New("this looks at the room's storage and may not write to it")

// RoomInfo is what is known of a room without looking into it.
type RoomInfo struct {
	Binding, ID, Name string
	// Alarm is never later than the time in the room's file. Ask the room's
	// Alarm before it fires: it may have been moved or removed in a turn
	// that a crash interrupted.
	Alarm    time.Time
	HasAlarm bool
	// Err says why a room's file could not be read where its index lacked it.
	Err error
}

// Rooms lists the rooms that have a file, by binding and id. It reads the
// indices, and the rooms' own files only where an index lacks them, which it
// then mends; a room whose restoration to a bookmark is due is restored.
func (s *Store) Rooms() ([]RoomInfo, error) {
	dirs, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var rooms []RoomInfo
	for _, dir := range dirs {
		if !dir.IsDir() || !binding.MatchString(dir.Name()) {
			continue
		}
		of, err := s.roomsOf(dir.Name())
		if err != nil {
			return nil, err
		}
		rooms = append(rooms, of...)
	}
	return rooms, nil
}

func (s *Store) roomsOf(binding string) ([]RoomInfo, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, binding))
	if err != nil {
		return nil, err
	}
	var ids []string
	due := map[string]bool{}
	for _, file := range files {
		id, ext, _ := strings.Cut(file.Name(), ".")
		if !roomID.MatchString(id) {
			continue
		}
		switch ext {
		case "sqlite":
			ids = append(ids, id)
		case "restore":
			due[id] = true
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	x, err := s.index(binding)
	if err != nil {
		return nil, err
	}
	known, err := x.load()
	if err != nil {
		return nil, err
	}
	var rooms []RoomInfo
	for _, id := range ids {
		info, ok := known[id]
		delete(known, id)
		if !ok || !info.listed || due[id] {
			read, wrote, err := s.mend(x, s.Room(binding, id, info.Name), ok)
			if err == nil && !wrote {
				continue
			}
			info.RoomInfo, info.Err = read, err
		}
		info.Binding, info.ID = binding, id
		rooms = append(rooms, info.RoomInfo)
	}
	for id := range known { // its file was removed by hand
		if err := x.forget(id, filepath.Join(s.dir, binding, id+".sqlite")); err != nil {
			return nil, err
		}
	}
	return rooms, nil
}

// mend writes into the index what a room's file says; wrote is false where
// the room never committed, or was restored to before that.
func (s *Store) mend(x *index, d *Database, listed bool) (info RoomInfo, wrote bool, err error) {
	x.steady.Lock()
	defer x.steady.Unlock()
	info, wrote, err = d.describe()
	switch {
	case err != nil:
	case wrote:
		if info.Name == "" {
			info.Name = d.name
		}
		err = x.put(info)
	case listed:
		err = x.remove(d.id)
	}
	return info, wrote, err
}

// index is the open index of a binding.
func (s *Store) index(binding string) (*index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	x := s.indices[binding]
	if x == nil {
		x = &index{path: filepath.Join(s.dir, binding, "metadata.sqlite"), full: s.options.Full}
		s.indices[binding] = x
	}
	return x, nil
}
