package storage

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// How far bookmarks reach back.
const (
	reachTime  = 24 * time.Hour
	reachBytes = 64 << 20 // of write-ahead log
)

// history is the past of an open room. SQLite's write-ahead log is kept until it
// has grown to reachBytes, so that it holds every commit since; a point in the
// past is a number of its frames. Beside it, <id>.history says when each
// commit was, and <id>.wal-<branch> are the logs that a restoration left.
//
// A checkpoint changes the database file under the log, so what was before it
// cannot be had back: it begins a new generation. A restoration begins a new
// branch.
//
// All Databases of a room share one.
type history struct {
	refs int // guarded by the store's mutex

	mu   sync.Mutex
	d    *Database // whose paths and store it uses
	wal  *os.File  // for reading; nil until there is one
	file *os.File
	last moment
	// retry is the length at which the log is moved to the database next.
	retry int
}

// moment is a commit.
type moment struct {
	branch, generation, frame uint32
	at                        int64  // Unix time in ns
	salts                     uint64 // of the log
}

const momentBytes = 32

// endOfBranch is the frame of a bookmark for the last commit of its branch.
const endOfBranch = 1<<32 - 1

func (m moment) encode() []byte {
	b := make([]byte, 0, momentBytes)
	b = binary.BigEndian.AppendUint32(b, m.branch)
	b = binary.BigEndian.AppendUint32(b, m.generation)
	b = binary.BigEndian.AppendUint32(b, m.frame)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(m.at))
	return binary.BigEndian.AppendUint64(b, m.salts)
}

func decodeMoment(b []byte) moment {
	return moment{
		branch: binary.BigEndian.Uint32(b), generation: binary.BigEndian.Uint32(b[4:]), frame: binary.BigEndian.Uint32(b[8:]),
		at: int64(binary.BigEndian.Uint64(b[16:])), salts: binary.BigEndian.Uint64(b[24:]),
	}
}

// firstMoment is that of a room that has not written yet.
var firstMoment = moment{branch: 1, generation: 1}

// readMoments reads the list of commits, oldest first.
func readMoments(path string) ([]moment, error) {
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var moments []moment
	for ; len(b) >= momentBytes; b = b[momentBytes:] {
		moments = append(moments, decodeMoment(b))
	}
	return moments, nil
}

// lastMoment reads the newest commit of the list.
func lastMoment(f *os.File) (m moment, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return m, 0, err
	}
	size = info.Size() / momentBytes * momentBytes // a crash may have left half of one
	if size == 0 {
		return firstMoment, 0, nil
	}
	b := make([]byte, momentBytes)
	if _, err := f.ReadAt(b, size-momentBytes); err != nil {
		return m, 0, err
	}
	return decodeMoment(b), size, nil
}

// join shares the history of the room among its Databases.
func (d *Database) join(c *conn, branch uint32) error {
	s := d.store
	s.mu.Lock()
	h := s.histories[d.path]
	if h == nil {
		h = &history{d: d}
		s.histories[d.path] = h
	}
	h.refs++
	s.mu.Unlock()
	d.history = h
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file != nil {
		return nil
	}
	err := h.open(c, branch)
	if err != nil && h.file != nil {
		h.file.Close()
		h.file = nil
	}
	return err
}

// leave is the opposite of join.
func (d *Database) leave() {
	h := d.history
	if h == nil {
		return
	}
	d.history = nil
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if h.refs--; h.refs == 0 {
		h.close(d.c)
		delete(d.store.histories, d.path)
	}
}

// alone reports whether no Database has the room's file open.
func (d *Database) alone() bool {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	return d.store.histories[d.path] == nil
}

// open finds out where in its history the room is. branch is the branch that a
// restoration has just begun, or 0.
func (h *history) open(c *conn, branch uint32) (err error) {
	if h.file, err = os.OpenFile(h.d.side(".history"), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	var size int64
	if h.last, size, err = lastMoment(h.file); err != nil {
		return err
	}
	if _, err := h.file.Seek(size, io.SeekStart); err != nil {
		return err
	}
	frames, moved, err := c.checkpoint(checkpointNoop)
	if err != nil {
		return err
	}
	c.frames, h.retry = frames, 0
	salts := h.salts(frames)
	switch {
	case branch != 0:
		h.last.branch, h.last.frame, h.last.salts = branch, uint32(frames), salts
		return h.note()
	case moved > 0, h.last.salts != 0 && salts != h.last.salts, uint32(frames) < h.last.frame:
		return h.next(frames)
	case size == 0 || uint32(frames) != h.last.frame: // a crash, or another process wrote
		h.last.frame, h.last.salts = uint32(frames), salts
		return h.note()
	}
	return nil
}

const checkpointNoop = -1 // SQLITE_CHECKPOINT_NOOP: only tells the numbers

func (h *history) close(c *conn) {
	if c != nil && h.file != nil {
		if frames, moved, err := c.checkpoint(checkpointNoop); err == nil && moved > 0 && h.last.salts != 0 {
			h.next(frames) // another process has made a checkpoint
		}
	}
	for _, f := range []*os.File{h.wal, h.file} {
		if f != nil {
			f.Close()
		}
	}
	h.wal, h.file = nil, nil
}

// salts identify the log as long as it is not begun anew; 0 without a frame.
func (h *history) salts(frames int) uint64 {
	if frames == 0 {
		return 0
	}
	if h.wal == nil {
		var err error
		if h.wal, err = os.Open(h.d.path + "-wal"); err != nil {
			return 0
		}
	}
	var b [8]byte
	h.wal.ReadAt(b[:], 16)
	return binary.BigEndian.Uint64(b[:])
}

// note writes down the present moment.
func (h *history) note() error {
	h.last.at = h.d.store.options.Now().UnixNano()
	_, err := h.file.Write(h.last.encode())
	return err
}

// next begins a generation: bookmarks made so far lead nowhere now.
func (h *history) next(frames int) error {
	for _, path := range h.d.left() {
		os.Remove(path)
	}
	h.last.generation++
	h.last.frame, h.last.salts = uint32(frames), h.salts(frames)
	if err := h.file.Truncate(0); err != nil {
		return err
	}
	if _, err := h.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return h.note()
}

// committed notes a commit, and ends the history where it has grown too long.
// It does not fail: the commit is done.
func (h *history) committed(d *Database, c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return
	}
	salts := h.salts(c.frames)
	if h.last.salts != 0 && salts != h.last.salts {
		h.next(c.frames) // the log was begun anew
		h.retry = 0
	} else {
		h.last.frame, h.last.salts = uint32(c.frames), salts
		h.note()
	}
	if c.frames > max(h.retry, reachFrames) {
		h.shorten(c, len(d.cursors) > 0)
	}
}

// reachFrames is a variable for tests.
var reachFrames = reachBytes / (4096 + 24)

// shorten moves the log into the database file. Where a reader needs some of
// the log, it stays, and the next commits try again.
func (h *history) shorten(c *conn, reading bool) {
	h.retry = c.frames + reachFrames/16
	mode := int32(sqlite3.SQLITE_CHECKPOINT_TRUNCATE)
	if reading {
		mode = sqlite3.SQLITE_CHECKPOINT_PASSIVE
	}
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, 0)
	c.checkpoint(mode)
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, busyTimeout)
	frames, moved, err := c.checkpoint(checkpointNoop)
	if err != nil || frames > 0 && moved == 0 {
		return
	}
	if frames == 0 {
		h.retry = 0
	}
	c.frames = frames
	h.next(frames)
}

// present is the last commit.
func (h *history) present() moment {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// left is the paths of the logs that restorations left.
func (d *Database) left() []string {
	dir := filepath.Dir(d.path)
	files, _ := os.ReadDir(dir)
	var paths []string
	for _, file := range files {
		if strings.HasPrefix(file.Name(), d.id+".wal-") {
			paths = append(paths, filepath.Join(dir, file.Name()))
		}
	}
	return paths
}

func (d *Database) branchLog(branch uint32) string {
	return d.side(fmt.Sprintf(".wal-%08x", branch))
}
