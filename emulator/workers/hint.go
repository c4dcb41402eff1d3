package workers

import "strings"

// What is refused says what to do instead, in the words of the emulator's own
// database.
const (
	hintTransaction = "transactions are not SQL text here: use Storage().Transaction, or BeginTx of Storage().SQL()"
	hintReserved    = "names that begin with _cf_ belong to the platform: choose another name, and use Storage's own methods to reach keys and the alarm"
	hintAttach      = "a room has one database: ATTACH, DETACH and VACUUM are refused"
	hintTemp        = "temporary tables, views and triggers are refused: use a common table expression, or a table that is dropped again"
	hintModule      = "virtual tables can be of fts5, fts5vocab and rtree only"
	hintPragma      = "this PRAGMA is not on the platform's list; to number your migrations use a table, not user_version"
	hintFunction    = "the platform does not have this function"
)

const notAuthorized = "not authorized: SQLITE_AUTH"

// explained is the engine's error for a statement, with a hint where it has
// refused it.
func (q *statement) explained(text string) string {
	switch {
	case strings.HasPrefix(text, "To execute a transaction, please use"):
		return notAuthorized + ": " + hintTransaction
	case strings.HasPrefix(text, "not authorized to use function"):
		return text + ": " + hintFunction
	case text != notAuthorized:
		return text
	}
	for i := range q.tokens {
		if q.reserved(i) {
			return text + ": " + hintReserved
		}
	}
	for first := 0; first < len(q.tokens); {
		switch {
		case q.is(first, "ATTACH"), q.is(first, "DETACH"):
			return text + ": " + hintAttach
		case q.is(first, "PRAGMA"):
			return text + ": " + hintPragma
		case q.is(first, "COMMIT"), q.is(first, "END"), q.is(first, "ROLLBACK"), q.is(first, "BEGIN"), q.is(first, "SAVEPOINT"), q.is(first, "RELEASE"):
			return text + ": " + hintTransaction
		case (q.is(first, "CREATE") || q.is(first, "DROP")) && (q.is(first+1, "TEMP") || q.is(first+1, "TEMPORARY")):
			return text + ": " + hintTemp
		case q.is(first, "CREATE") && q.is(first+1, "VIRTUAL"):
			return text + ": " + hintModule
		}
		for first = q.next(first); first < len(q.tokens) && q.is(first, ";"); first++ {
		}
	}
	return text
}

// reserved reports whether a token is a name that belongs to the platform.
func (q *statement) reserved(i int) bool {
	if i < 0 || i >= len(q.tokens) || q.tokens[i].kind != tokenName && q.tokens[i].kind != tokenWord {
		return false
	}
	name := q.name(i)
	return len(name) >= 4 && strings.EqualFold(name[:4], "_cf_")
}

// makesReserved reports whether a statement gives something a name that belongs
// to the platform, in whatever case. (Older engines only look for lower case,
// and not at all where something is renamed.)
func (q *statement) makesReserved() bool {
	for first := 0; first < len(q.tokens); {
		i := first
		switch {
		case q.is(i, "CREATE"):
			for i++; q.is(i, "TEMP") || q.is(i, "TEMPORARY") || q.is(i, "UNIQUE") || q.is(i, "VIRTUAL"); i++ {
			}
			if i++; q.is(i, "IF") {
				i += 3
			}
			if q.is(i+1, ".") {
				i += 2
			}
			if q.reserved(i) {
				return true
			}
		case q.is(i, "ALTER"):
			for ; i < q.next(first); i++ {
				if q.is(i, "RENAME") && q.is(i+1, "TO") && q.reserved(i+2) {
					return true
				}
			}
		}
		for first = q.next(first); first < len(q.tokens) && q.is(first, ";"); first++ {
		}
	}
	return false
}
