package storage

import (
	"encoding/binary"
	"os"
)

// What SQLite's log begins with, and each page in it.
const (
	logHead   = 32
	frameHead = 24
)

// SizeOf is the number of bytes that the pages of the database in the file at
// path take, free ones too, as of its last commit; 0 where it cannot be read.
// It opens no database, so it costs little, and may be called while others write.
func SizeOf(path string) int64 {
	if n := loggedSize(path + "-wal"); n > 0 {
		return n
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// loggedSize is what the last commit in a log says; 0: there is none. What stays
// behind it in the file from an older log has other salts.
func loggedSize(path string) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	info, err := f.Stat()
	var head [logHead]byte
	if _, e := f.ReadAt(head[:], 0); err != nil || e != nil {
		return 0
	}
	page := int64(binary.BigEndian.Uint32(head[8:]))
	if page < 512 || page > 64<<10 {
		return 0
	}
	var frame [16]byte
	for n := (info.Size()-logHead)/(page+frameHead) - 1; n >= 0; n-- {
		if _, err := f.ReadAt(frame[:], logHead+n*(page+frameHead)); err != nil {
			return 0
		}
		if pages := binary.BigEndian.Uint32(frame[4:]); pages > 0 && string(frame[8:]) == string(head[16:24]) {
			return int64(pages) * page
		}
	}
	return 0
}
