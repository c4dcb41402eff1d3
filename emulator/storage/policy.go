package storage

import (
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// What a room may hold and ask, as on the platform.
const (
	maxKey       = 2048    // bytes of a key
	maxValue     = 2 << 20 // bytes of a key and its value, of a string, a blob or a row
	maxKeys      = 128     // keys of a batch
	maxStatement = 100_000 // bytes of SQL text
)

// limits are those that SQLite itself watches over.
var limits = map[int32]int32{
	sqlite3.SQLITE_LIMIT_LENGTH:              maxValue,
	sqlite3.SQLITE_LIMIT_SQL_LENGTH:          maxStatement,
	sqlite3.SQLITE_LIMIT_COLUMN:              100,
	sqlite3.SQLITE_LIMIT_EXPR_DEPTH:          100,
	sqlite3.SQLITE_LIMIT_COMPOUND_SELECT:     5,
	sqlite3.SQLITE_LIMIT_VDBE_OP:             25000,
	sqlite3.SQLITE_LIMIT_FUNCTION_ARG:        32,
	sqlite3.SQLITE_LIMIT_ATTACHED:            0,
	sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
	sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER:     100,
	sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH:       10,
	sqlite3.SQLITE_LIMIT_WORKER_THREADS:      0,
}

// pragmas that a statement may use, and whether with an argument.
var pragmas = map[string]bool{
	"table_list": true, "table_info": true, "table_xinfo": true, "data_version": false, "page_size": false,
	"case_sensitive_like": true, "foreign_keys": true, "defer_foreign_keys": true, "ignore_check_constraints": true,
	"legacy_alter_table": true, "recursive_triggers": true, "reverse_unordered_selects": true,
	"foreign_key_check": true, "foreign_key_list": true, "index_info": true, "index_list": true, "index_xinfo": true,
	"quick_check": true, "optimize": true,
}

// functions that the platform does not have or that reach out of the room.
var noFunctions = map[string]bool{
	"load_extension": true, "sqlite_version": true, "sqlite_source_id": true, "sqlite_log": true,
	"sqlite_compileoption_get": true, "sqlite_compileoption_used": true, "sqlite_offset": true,
	"fts5_source_id": true, "soundex": true, "rtreecheck": true, "rtreenode": true, "rtreedepth": true,
}

// modules whose virtual tables a room may create.
var modules = map[string]bool{"fts5": true, "fts5vocab": true, "rtree": true, "rtree_i32": true}

// closedTables show pages of the file, and so everything.
var closedTables = map[string]bool{"sqlite_dbpage": true, "dbstat": true}

const (
	hintTransaction = "transactions are not SQL text here: use Storage().Transaction, or BeginTx of Storage().SQL()"
	hintReserved    = "names that begin with _cf_ belong to the platform: choose another name, and use Storage's own methods to reach keys and the alarm"
	hintAttach      = "a room has one database: ATTACH, DETACH and VACUUM are refused"
	hintTemp        = "temporary tables, views and triggers are refused: use a common table expression, or a table that is dropped again"
	hintModule      = "virtual tables can be of fts5, fts5vocab and rtree only"
	hintPragma      = "this PRAGMA is not on the platform's list; to number your migrations use a table, not user_version"
	hintFunction    = "the platform does not have this function"
	hintTable       = "this table shows pages of the database file"
)

func reserved(name string) bool {
	return len(name) >= 4 && name[0] == '_' && strings.EqualFold(name[:4], "_cf_")
}

// authorize answers SQLite, which asks about every part of a statement while
// it is compiled, whatever quoting, view, trigger or expression it came by.
func (c *conn) authorize(action int32, a, b, database uintptr) int32 {
	if c.internal {
		return sqlite3.SQLITE_OK
	}
	switch action {
	case sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE:
		return sqlite3.SQLITE_OK
	}
	return c.decide(action, libc.GoString(a), libc.GoString(b), libc.GoString(database))
}

func (c *conn) decide(action int32, a, b, database string) int32 {
	deny := func(hint string) int32 {
		c.denied = hint
		return sqlite3.SQLITE_DENY
	}
	switch action {
	case sqlite3.SQLITE_READ, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE:
		switch {
		case reserved(a):
			return deny(hintReserved)
		case a != "" && (a[0]|0x20 == 's' || a[0]|0x20 == 'd') && closedTables[strings.ToLower(a)]:
			return deny(hintTable)
		}
	case sqlite3.SQLITE_FUNCTION:
		if noFunctions[strings.ToLower(b)] {
			return deny(hintFunction)
		}
	case sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT:
		return deny(hintTransaction)
	case sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH:
		return deny(hintAttach)
	case sqlite3.SQLITE_CREATE_TEMP_INDEX, sqlite3.SQLITE_CREATE_TEMP_TABLE, sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
		sqlite3.SQLITE_CREATE_TEMP_VIEW, sqlite3.SQLITE_DROP_TEMP_INDEX, sqlite3.SQLITE_DROP_TEMP_TABLE,
		sqlite3.SQLITE_DROP_TEMP_TRIGGER, sqlite3.SQLITE_DROP_TEMP_VIEW:
		return deny(hintTemp)
	case sqlite3.SQLITE_PRAGMA:
		return c.decidePragma(strings.ToLower(a), b, deny)
	case sqlite3.SQLITE_ANALYZE:
		if reserved(a) {
			return sqlite3.SQLITE_IGNORE // ANALYZE of everything passes over them
		}
	case sqlite3.SQLITE_REINDEX: // of everything, too; it changes nothing
	case sqlite3.SQLITE_ALTER_TABLE:
		c.seen.alter = true
		if reserved(b) {
			return deny(hintReserved)
		}
	case sqlite3.SQLITE_CREATE_VTABLE:
		switch {
		case !modules[strings.ToLower(b)]:
			return deny(hintModule)
		case reserved(a):
			return deny(hintReserved)
		}
	case sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_CREATE_VIEW,
		sqlite3.SQLITE_DROP_INDEX, sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_TRIGGER, sqlite3.SQLITE_DROP_VIEW,
		sqlite3.SQLITE_DROP_VTABLE:
		switch {
		case reserved(a) || reserved(b):
			return deny(hintReserved)
		case strings.EqualFold(database, "temp"):
			return deny(hintTemp)
		}
	default:
		return deny("this kind of statement is unknown here")
	}
	return sqlite3.SQLITE_OK
}

func (c *conn) decidePragma(name, arg string, deny func(string) int32) int32 {
	argument, ok := pragmas[name]
	if !ok || arg != "" && !argument {
		return deny(hintPragma)
	}
	if reserved(arg) {
		return deny(hintReserved)
	}
	c.seen.pragma = true
	if name == "optimize" || name == "defer_foreign_keys" && arg != "" {
		c.seen.writes = true
	}
	return sqlite3.SQLITE_OK
}
