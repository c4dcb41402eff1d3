package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// bookmark is a moment and the seal of its last frame, which tells a log with
// that moment from another one: salts and checksum, or only salts for the end
// of a branch.
type bookmark struct {
	branch, generation, frame uint32
	seal                      [16]byte
}

func (b bookmark) String() string {
	return fmt.Sprintf("%08x-%08x-%08x-%x", b.branch, b.generation, b.frame, b.seal)
}

func parseBookmark(s string) (b bookmark, err error) {
	parts := strings.Split(s, "-")
	if len(s) != 8+8+8+32+3 || len(parts) != 4 || len(parts[3]) != 32 {
		return b, fmt.Errorf("%q is not a bookmark", s)
	}
	for i, to := range []*uint32{&b.branch, &b.generation, &b.frame} {
		n, err := strconv.ParseUint(parts[i], 16, 32)
		if err != nil || len(parts[i]) != 8 {
			return b, fmt.Errorf("%q is not a bookmark", s)
		}
		*to = uint32(n)
	}
	for i := range b.seal {
		n, err := strconv.ParseUint(parts[3][2*i:2*i+2], 16, 8)
		if err != nil {
			return b, fmt.Errorf("%q is not a bookmark", s)
		}
		b.seal[i] = byte(n)
	}
	return b, nil
}

func outOfReach(what string) error {
	return fmt.Errorf("%s is out of reach: bookmarks of a room reach back 24 hours or %d MB of writes", what, reachBytes>>20)
}

// frameEnd is where in a log the frames up to n end.
func frameEnd(log io.ReaderAt, n uint32) (int64, error) {
	if n == 0 {
		return 0, nil
	}
	var b [4]byte
	if _, err := log.ReadAt(b[:], 8); err != nil {
		return 0, err
	}
	return 32 + int64(n)*(24+int64(binary.BigEndian.Uint32(b[:]))), nil
}

// seal reads that of a frame, which must be the last of a commit.
func seal(log io.ReaderAt, n uint32) (seal [16]byte, err error) {
	if n == 0 {
		return seal, nil
	}
	end, err := frameEnd(log, n)
	if err != nil {
		return seal, err
	}
	before, err := frameEnd(log, n-1)
	if err != nil {
		return seal, err
	}
	if n == 1 {
		before = 32
	}
	var b [24]byte
	if _, err := log.ReadAt(b[:], before); err != nil {
		return seal, err
	}
	if _, err := log.ReadAt(make([]byte, 1), end-1); err != nil {
		return seal, err
	}
	if binary.BigEndian.Uint32(b[4:]) == 0 {
		return seal, errors.New("not the end of a commit")
	}
	return [16]byte(b[8:]), nil
}

// log opens the log of a branch, nil where it has none.
func (d *Database) log(branch, current uint32) (*os.File, error) {
	f, err := os.Open(d.branchLog(branch))
	if os.IsNotExist(err) && branch == current {
		f, err = os.Open(d.path + "-wal")
	}
	if os.IsNotExist(err) {
		return nil, nil
	}
	return f, err
}

// at is the bookmark of a moment.
func (d *Database) at(m, current moment) (string, error) {
	b := bookmark{branch: m.branch, generation: m.generation, frame: m.frame}
	if m.frame > 0 {
		log, err := d.log(m.branch, current.branch)
		if err != nil {
			return "", err
		}
		if log == nil {
			return "", outOfReach("that time")
		}
		defer log.Close()
		if b.seal, err = seal(log, m.frame); err != nil {
			return "", fmt.Errorf("%s: %w", log.Name(), err)
		}
	}
	return b.String(), nil
}

// CurrentBookmark names the last commit. Bookmarks are ordered by time as text
// is.
func (d *Database) CurrentBookmark() (string, error) {
	defer d.enter()()
	c, err := d.reading()
	if err != nil {
		return "", err
	}
	if c == nil || d.fresh {
		return d.at(firstMoment, firstMoment)
	}
	now := d.history.present()
	return d.at(now, now)
}

// BookmarkForTime names the last commit that was made at t or before. A time
// before the room's first write is its emptiness; one that is out of reach
// (24 hours, or 64 MB of writes) is an error.
func (d *Database) BookmarkForTime(t time.Time) (string, error) {
	defer d.enter()()
	now := d.store.options.Now()
	switch {
	case t.After(now):
		return "", fmt.Errorf("there is no bookmark for %s: it is in the future", t.Format(time.RFC3339))
	case now.Sub(t) > reachTime:
		return "", outOfReach(t.Format(time.RFC3339))
	}
	c, err := d.reading()
	if err != nil {
		return "", err
	}
	if c == nil || d.fresh {
		return d.at(firstMoment, firstMoment)
	}
	moments, err := readMoments(d.side(".history"))
	if err != nil {
		return "", err
	}
	for i := len(moments) - 1; i >= 0; i-- {
		if moments[i].at <= t.UnixNano() {
			return d.at(moments[i], d.history.present())
		}
	}
	if len(moments) > 0 && moments[0].generation == 1 {
		return d.at(firstMoment, d.history.present())
	}
	return "", outOfReach(t.Format(time.RFC3339))
}

// RestoreBookmark makes the database go back, or forward, to a bookmark when it
// is next opened after a Close; what is committed until then is lost as well.
// undo is the bookmark that leads back to the state just before. Bookmarks
// reach back 24 hours or 64 MB of writes. The alarm goes back too: ask for it
// after the Close. No other Database may have the room open then, nor another
// process.
func (d *Database) RestoreBookmark(to string) (undo string, err error) {
	defer d.enter()()
	b, err := parseBookmark(to)
	if err != nil {
		return "", err
	}
	c, err := d.reading()
	if err != nil {
		return "", err
	}
	if c == nil || d.fresh {
		if b != (bookmark{branch: 1, generation: 1}) {
			return "", outOfReach("bookmark " + to)
		}
		return to, nil
	}
	now := d.history.present()
	if err := d.reaches(b, now); err != nil {
		return "", err
	}
	u := bookmark{branch: now.branch, generation: now.generation, frame: endOfBranch}
	binary.BigEndian.PutUint64(u.seal[:], now.salts)
	marker := d.side(".restore")
	if err := os.WriteFile(marker+".new", []byte(b.String()), 0o644); err != nil {
		return "", err
	}
	return u.String(), os.Rename(marker+".new", marker)
}

// reaches reports why a bookmark cannot be reached.
func (d *Database) reaches(b bookmark, now moment) error {
	log, err := d.source(b, now)
	if err != nil {
		return err
	}
	if log != nil {
		log.Close()
	}
	moments, err := readMoments(d.side(".history"))
	if err != nil {
		return err
	}
	// It is in reach if it was the present at some time of the last 24 hours.
	limit := d.store.options.Now().Add(-reachTime).UnixNano()
	for i, m := range moments {
		if m.branch == b.branch && (m.frame == b.frame || b.frame == endOfBranch && (i+1 == len(moments) || moments[i+1].branch != m.branch)) {
			if i+1 < len(moments) && moments[i+1].at < limit {
				return outOfReach("bookmark " + b.String())
			}
		}
	}
	return nil
}

// source opens the log that holds the bookmark's moment; nil is an empty one.
func (d *Database) source(b bookmark, now moment) (*os.File, error) {
	if b.generation != now.generation || b.branch > now.branch || b.branch == 0 {
		return nil, outOfReach("bookmark " + b.String())
	}
	log, err := d.log(b.branch, now.branch)
	if err != nil {
		return nil, err
	}
	if log == nil {
		if b.frame == 0 || b.frame == endOfBranch && b.seal == [16]byte{} {
			return nil, nil
		}
		return nil, outOfReach("bookmark " + b.String())
	}
	if b.frame == endOfBranch {
		var salts [8]byte
		log.ReadAt(salts[:], 16)
		if salts == [8]byte(b.seal[:8]) || b.seal == [16]byte{} {
			return log, nil
		}
	} else if s, err := seal(log, b.frame); err == nil && s == b.seal {
		return log, nil
	}
	log.Close()
	return nil, fmt.Errorf("bookmark %s is not one of this room", b)
}

// restore does what RestoreBookmark asked for, before the file is opened, and
// returns the branch that it has begun, 0 without one. Each step can be
// repeated after a crash.
func (d *Database) restore() (branch uint32, err error) {
	text, err := os.ReadFile(d.side(".restore"))
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil { // once, not at every opening
			os.Remove(d.side(".restore"))
			err = fmt.Errorf("storage: %s was not restored to bookmark %s: %w", d.path, text, err)
		}
	}()
	b, err := parseBookmark(string(text))
	if err != nil {
		return 0, err
	}
	moments, err := readMoments(d.side(".history"))
	if err != nil {
		return 0, err
	}
	now := firstMoment
	if len(moments) > 0 {
		now = moments[len(moments)-1]
	}
	log, err := d.source(b, now)
	if err != nil {
		return 0, err
	}
	next := d.side(".sqlite-wal.new")
	if err := copyLog(next, log, b.frame); err != nil {
		return 0, err
	}
	wal := d.path + "-wal"
	if _, err := os.Stat(d.branchLog(now.branch)); os.IsNotExist(err) {
		err := os.Rename(wal, d.branchLog(now.branch))
		if os.IsNotExist(err) {
			err = os.WriteFile(d.branchLog(now.branch), nil, 0o644)
		}
		if err != nil {
			return 0, err
		}
	}
	if err := os.Rename(next, wal); err != nil {
		return 0, err
	}
	os.Remove(d.path + "-shm")
	d.forget()
	return now.branch + 1, nil
}

// copyLog writes the frames of log up to frame to a new file.
func copyLog(path string, log *os.File, frame uint32) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if log != nil && frame > 0 {
		defer log.Close()
		var from io.Reader = log
		if frame != endOfBranch {
			end, err := frameEnd(log, frame)
			if err != nil {
				return err
			}
			from = io.LimitReader(log, end)
		}
		if _, err := io.Copy(out, from); err != nil {
			return err
		}
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Close()
}

// forget removes the oldest logs of branches where all are too large together.
func (d *Database) forget() {
	paths := d.left() // by branch
	size := int64(0)
	for i := len(paths) - 1; i >= 0; i-- {
		info, err := os.Stat(paths[i])
		if err != nil {
			continue
		}
		if size += info.Size(); size > reachBytes && i < len(paths)-1 {
			os.Remove(paths[i])
		}
	}
}

// restored brings the index in line with the alarm that came back, and ends
// the restoration.
func (d *Database) restored() error {
	x, err := d.store.index(d.binding)
	if err != nil {
		return err
	}
	if !d.mending {
		x.steady.RLock()
		defer x.steady.RUnlock()
	}
	ns, err := d.readAlarm(d.c)
	if err != nil {
		return err
	}
	if d.unborn { // from before its first commit
		err = x.remove(d.id)
	} else if err = x.setAlarm(d.id, d.name, ns); err == nil {
		err = x.add(d.id, d.name)
	}
	if err != nil {
		return err
	}
	return os.Remove(d.side(".restore"))
}
