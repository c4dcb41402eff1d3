package storage

import (
	"errors"
	"fmt"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"
)

// Error is what SQLite said, in the platform's shape:
//
//	<message>[ at offset N]: SQLITE_XXX[ (extended: SQLITE_XXX_YYY)]
type Error struct {
	Message string // SQLite's words
	Code    int    // SQLite's extended result code; Code & 0xff is the primary one
	Offset  int    // in bytes, of the token at fault in the statement; -1: none
	Hint    string // what to do instead, for what is refused here
	Path    string // the file, where the file is the trouble
}

// Error is the text in the platform's shape, with the path before it and the
// hint behind it.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	if e.Offset >= 0 && e.Code&0xff == sqlite3.SQLITE_ERROR {
		fmt.Fprintf(&b, " at offset %d", e.Offset)
	}
	b.WriteString(": " + e.Name())
	if name := codeNames[e.Code]; e.Code > 0xff {
		if name == "" {
			name = fmt.Sprint(e.Code)
		}
		b.WriteString(" (extended: " + name + ")")
	}
	if e.Hint != "" {
		b.WriteString(": " + e.Hint)
	}
	return b.String()
}

// Name is the name of the primary result code, such as SQLITE_CONSTRAINT.
func (e *Error) Name() string {
	if name := codeNames[e.Code&0xff]; name != "" {
		return name
	}
	return fmt.Sprintf("SQLITE_%d", e.Code)
}

// locate adds the path to an error that is about the file.
func locate(err error, path string) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY:
		if e.Path == "" {
			e.Path = path
		}
	}
	return err
}

func hasCode(err error, codes ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code&0xff == code {
			return true
		}
	}
	return false
}

var codeNames = map[int]string{
	1: "SQLITE_ERROR", 2: "SQLITE_INTERNAL", 3: "SQLITE_PERM", 4: "SQLITE_ABORT", 5: "SQLITE_BUSY", 6: "SQLITE_LOCKED",
	7: "SQLITE_NOMEM", 8: "SQLITE_READONLY", 9: "SQLITE_INTERRUPT", 10: "SQLITE_IOERR", 11: "SQLITE_CORRUPT",
	12: "SQLITE_NOTFOUND", 13: "SQLITE_FULL", 14: "SQLITE_CANTOPEN", 15: "SQLITE_PROTOCOL", 17: "SQLITE_SCHEMA",
	18: "SQLITE_TOOBIG", 19: "SQLITE_CONSTRAINT", 20: "SQLITE_MISMATCH", 21: "SQLITE_MISUSE", 22: "SQLITE_NOLFS",
	23: "SQLITE_AUTH", 24: "SQLITE_FORMAT", 25: "SQLITE_RANGE", 26: "SQLITE_NOTADB",

	sqlite3.SQLITE_ERROR_MISSING_COLLSEQ: "SQLITE_ERROR_MISSING_COLLSEQ",
	sqlite3.SQLITE_ERROR_RETRY:           "SQLITE_ERROR_RETRY",
	sqlite3.SQLITE_ERROR_SNAPSHOT:        "SQLITE_ERROR_SNAPSHOT",
	sqlite3.SQLITE_ABORT_ROLLBACK:        "SQLITE_ABORT_ROLLBACK",
	sqlite3.SQLITE_BUSY_RECOVERY:         "SQLITE_BUSY_RECOVERY",
	sqlite3.SQLITE_BUSY_SNAPSHOT:         "SQLITE_BUSY_SNAPSHOT",
	sqlite3.SQLITE_BUSY_TIMEOUT:          "SQLITE_BUSY_TIMEOUT",
	sqlite3.SQLITE_LOCKED_SHAREDCACHE:    "SQLITE_LOCKED_SHAREDCACHE",
	sqlite3.SQLITE_LOCKED_VTAB:           "SQLITE_LOCKED_VTAB",
	sqlite3.SQLITE_READONLY_RECOVERY:     "SQLITE_READONLY_RECOVERY",
	sqlite3.SQLITE_READONLY_CANTLOCK:     "SQLITE_READONLY_CANTLOCK",
	sqlite3.SQLITE_READONLY_ROLLBACK:     "SQLITE_READONLY_ROLLBACK",
	sqlite3.SQLITE_READONLY_DBMOVED:      "SQLITE_READONLY_DBMOVED",
	sqlite3.SQLITE_READONLY_CANTINIT:     "SQLITE_READONLY_CANTINIT",
	sqlite3.SQLITE_READONLY_DIRECTORY:    "SQLITE_READONLY_DIRECTORY",
	sqlite3.SQLITE_IOERR_READ:            "SQLITE_IOERR_READ",
	sqlite3.SQLITE_IOERR_SHORT_READ:      "SQLITE_IOERR_SHORT_READ",
	sqlite3.SQLITE_IOERR_WRITE:           "SQLITE_IOERR_WRITE",
	sqlite3.SQLITE_IOERR_FSYNC:           "SQLITE_IOERR_FSYNC",
	sqlite3.SQLITE_IOERR_DIR_FSYNC:       "SQLITE_IOERR_DIR_FSYNC",
	sqlite3.SQLITE_IOERR_TRUNCATE:        "SQLITE_IOERR_TRUNCATE",
	sqlite3.SQLITE_IOERR_FSTAT:           "SQLITE_IOERR_FSTAT",
	sqlite3.SQLITE_IOERR_DELETE:          "SQLITE_IOERR_DELETE",
	sqlite3.SQLITE_IOERR_NOMEM:           "SQLITE_IOERR_NOMEM",
	sqlite3.SQLITE_IOERR_ACCESS:          "SQLITE_IOERR_ACCESS",
	sqlite3.SQLITE_IOERR_LOCK:            "SQLITE_IOERR_LOCK",
	sqlite3.SQLITE_IOERR_CLOSE:           "SQLITE_IOERR_CLOSE",
	sqlite3.SQLITE_IOERR_SHMOPEN:         "SQLITE_IOERR_SHMOPEN",
	sqlite3.SQLITE_IOERR_SHMSIZE:         "SQLITE_IOERR_SHMSIZE",
	sqlite3.SQLITE_IOERR_SHMLOCK:         "SQLITE_IOERR_SHMLOCK",
	sqlite3.SQLITE_IOERR_SHMMAP:          "SQLITE_IOERR_SHMMAP",
	sqlite3.SQLITE_IOERR_MMAP:            "SQLITE_IOERR_MMAP",
	sqlite3.SQLITE_IOERR_DELETE_NOENT:    "SQLITE_IOERR_DELETE_NOENT",
	sqlite3.SQLITE_IOERR_CORRUPTFS:       "SQLITE_IOERR_CORRUPTFS",
	sqlite3.SQLITE_CORRUPT_VTAB:          "SQLITE_CORRUPT_VTAB",
	sqlite3.SQLITE_CORRUPT_SEQUENCE:      "SQLITE_CORRUPT_SEQUENCE",
	sqlite3.SQLITE_CORRUPT_INDEX:         "SQLITE_CORRUPT_INDEX",
	sqlite3.SQLITE_CANTOPEN_NOTEMPDIR:    "SQLITE_CANTOPEN_NOTEMPDIR",
	sqlite3.SQLITE_CANTOPEN_ISDIR:        "SQLITE_CANTOPEN_ISDIR",
	sqlite3.SQLITE_CANTOPEN_FULLPATH:     "SQLITE_CANTOPEN_FULLPATH",
	sqlite3.SQLITE_CANTOPEN_SYMLINK:      "SQLITE_CANTOPEN_SYMLINK",
	sqlite3.SQLITE_CONSTRAINT_CHECK:      "SQLITE_CONSTRAINT_CHECK",
	sqlite3.SQLITE_CONSTRAINT_COMMITHOOK: "SQLITE_CONSTRAINT_COMMITHOOK",
	sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "SQLITE_CONSTRAINT_FOREIGNKEY",
	sqlite3.SQLITE_CONSTRAINT_FUNCTION:   "SQLITE_CONSTRAINT_FUNCTION",
	sqlite3.SQLITE_CONSTRAINT_NOTNULL:    "SQLITE_CONSTRAINT_NOTNULL",
	sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "SQLITE_CONSTRAINT_PRIMARYKEY",
	sqlite3.SQLITE_CONSTRAINT_TRIGGER:    "SQLITE_CONSTRAINT_TRIGGER",
	sqlite3.SQLITE_CONSTRAINT_UNIQUE:     "SQLITE_CONSTRAINT_UNIQUE",
	sqlite3.SQLITE_CONSTRAINT_VTAB:       "SQLITE_CONSTRAINT_VTAB",
	sqlite3.SQLITE_CONSTRAINT_ROWID:      "SQLITE_CONSTRAINT_ROWID",
	sqlite3.SQLITE_CONSTRAINT_PINNED:     "SQLITE_CONSTRAINT_PINNED",
	sqlite3.SQLITE_CONSTRAINT_DATATYPE:   "SQLITE_CONSTRAINT_DATATYPE",
}
