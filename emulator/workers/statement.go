package workers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goparty/party/emulator/wire"
)

// The engine's numbers are those of JavaScript: it binds every number as REAL,
// and what it reads of an INTEGER above 2^53 is rounded. A statement's text is
// therefore rewritten: parameters that are whole numbers become
//
//	(+CAST(? AS INTEGER))
//
// and where exact numbers are wanted back, columns are added that hold whole
// numbers as text.

// token is one word of SQL text. Space and comments are none.
type token struct {
	kind       tokenKind
	start, end int
}

type tokenKind byte

const (
	tokenWord   tokenKind = iota // also a number
	tokenName                    // quoted
	tokenString                  // '...'
	tokenParam
	tokenMark // anything else, one byte
)

// scan splits SQL text as SQLite does.
func scan(s string) (all []token) {
	for i := 0; i < len(s); {
		start := i
		kind := tokenMark
		switch c := s[i]; {
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			i++
			continue
		case strings.HasPrefix(s[i:], "--"):
			i = after(s, i, "\n")
			continue
		case strings.HasPrefix(s[i:], "/*"):
			i = after(s, i+2, "*/")
			continue
		case c == '\'':
			kind, i = tokenString, quoted(s, i, c)
		case c == '"' || c == '`':
			kind, i = tokenName, quoted(s, i, c)
		case c == '[':
			kind, i = tokenName, after(s, i, "]")
		case c == '?':
			for i++; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			}
			kind = tokenParam
		case (c == ':' || c == '@' || c == '$') && i+1 < len(s) && isWord(s[i+1]):
			for i++; i < len(s) && isWord(s[i]); i++ {
			}
			kind = tokenParam
		case isWord(c):
			for i++; i < len(s) && (isWord(s[i]) || s[i] == '.' && s[start] >= '0' && s[start] <= '9'); i++ {
			}
			kind = tokenWord
			if i == start+1 && (c == 'x' || c == 'X') && i < len(s) && s[i] == '\'' {
				kind, i = tokenString, quoted(s, i, '\'')
			}
		default:
			i++
		}
		all = append(all, token{kind, start, i})
	}
	return all
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// after is the index behind the next end, or of the text's end.
func after(s string, i int, end string) int {
	if n := strings.Index(s[i:], end); n >= 0 {
		return i + n + len(end)
	}
	return len(s)
}

// quoted is the index behind what is quoted at i; a doubled quote stands for
// itself.
func quoted(s string, i int, quote byte) int {
	for i++; i < len(s); i++ {
		if s[i] == quote {
			if i+1 < len(s) && s[i+1] == quote {
				i++
				continue
			}
			return i + 1
		}
	}
	return len(s)
}

// statement is SQL text as far as it must be understood: only the last of
// several statements may have parameters or rows.
type statement struct {
	text   string // without what follows the last statement
	tokens []token
	last   int      // token with which the last statement begins
	params []string // by index, "" where one has no name
	uses   []int    // the index of each tokenParam, in order

	columns []wire.Column // of its result, when it ran last
}

func parse(text string) *statement {
	q := &statement{text: text, tokens: scan(text)}
	// What follows the last semicolon is space or comments to SQLite, and an
	// error to the engine.
	for len(q.tokens) > 0 && q.is(len(q.tokens)-1, ";") {
		q.tokens = q.tokens[:len(q.tokens)-1]
	}
	if len(q.tokens) == 0 {
		return q
	}
	q.text = text[:q.tokens[len(q.tokens)-1].end]
	for i := 0; i < len(q.tokens); {
		q.last = i
		i = q.next(i)
		for i < len(q.tokens) && q.is(i, ";") {
			i++
		}
	}
	for _, t := range q.tokens {
		if t.kind == tokenParam {
			q.uses = append(q.uses, q.param(text[t.start:t.end]))
		}
	}
	return q
}

// next is the token behind the statement that begins with one: a semicolon.
func (q *statement) next(first int) int {
	trigger := q.is(first, "CREATE") && (q.is(first+1, "TRIGGER") || (q.is(first+1, "TEMP") || q.is(first+1, "TEMPORARY")) && q.is(first+2, "TRIGGER"))
	for i := first; i < len(q.tokens); i++ {
		if q.is(i, ";") && (!trigger || q.is(i-1, "END") && q.is(i-2, ";")) {
			return i
		}
	}
	return len(q.tokens)
}

// param numbers a parameter as SQLite does.
func (q *statement) param(name string) int {
	if name == "?" {
		q.params = append(q.params, "")
		return len(q.params)
	}
	if name[0] == '?' {
		n, err := strconv.Atoi(name[1:])
		if err != nil || n < 1 || n > 32766 {
			return 0 // SQLite says what is wrong with it
		}
		for len(q.params) < n {
			q.params = append(q.params, "")
		}
		return n
	}
	if i := slices.Index(q.params, name); i >= 0 {
		return i + 1
	}
	q.params = append(q.params, name)
	return len(q.params)
}

func (q *statement) string(i int) string {
	if i < 0 || i >= len(q.tokens) {
		return ""
	}
	return q.text[q.tokens[i].start:q.tokens[i].end]
}

// is reports whether a token is a mark or a word, in whatever case.
func (q *statement) is(i int, word string) bool {
	if i < 0 || i >= len(q.tokens) || q.tokens[i].kind == tokenName || q.tokens[i].kind == tokenString {
		return false
	}
	return strings.EqualFold(q.string(i), word)
}

// name is the name that a token is.
func (q *statement) name(i int) string {
	s := q.string(i)
	if i < 0 || i >= len(q.tokens) || q.tokens[i].kind != tokenName || len(s) < 2 {
		return s
	}
	if s[0] == '[' {
		return strings.Trim(s, "[]")
	}
	return strings.ReplaceAll(s[1:len(s)-1], s[:1]+s[:1], s[:1])
}

// verb is what the last statement does: "SELECT", "INSERT" and so on, behind a
// WITH too.
func (q *statement) verb() string {
	if !q.is(q.last, "WITH") {
		return strings.ToUpper(q.string(q.last))
	}
	if i := q.top(q.last+1, "SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"); i >= 0 {
		return strings.ToUpper(q.string(i))
	}
	return ""
}

// top finds the first of some words outside of parentheses, from a token on.
func (q *statement) top(from int, words ...string) int {
	depth := 0
	for i := from; i < len(q.tokens); i++ {
		switch {
		case q.is(i, "("):
			depth++
		case q.is(i, ")"):
			depth--
		case depth == 0 && q.tokens[i].kind == tokenWord && slices.ContainsFunc(words, func(w string) bool { return q.is(i, w) }):
			return i
		}
	}
	return -1
}

// selects reports whether the last statement only reads, so that it may be run
// again.
func (q *statement) selects() bool {
	v := q.verb()
	return v == "SELECT" || v == "VALUES"
}

// changes reports whether the last statement is one that counts the rows it
// changes.
func (q *statement) changes() bool {
	switch q.verb() {
	case "INSERT", "REPLACE", "UPDATE", "DELETE":
		return true
	}
	return false
}

// defines reports whether any statement may change the tables' columns.
func (q *statement) defines() bool {
	for i := 0; i < len(q.tokens); {
		if q.is(i, "CREATE") || q.is(i, "ALTER") || q.is(i, "DROP") {
			return true
		}
		for i = q.next(i); i < len(q.tokens) && q.is(i, ";"); i++ {
		}
	}
	return false
}

// whole rewrites the parameters that are whole numbers, by index from 1. It
// begins at an offset of the text.
func (q *statement) whole(from int, isWhole func(param int) bool) string {
	var b strings.Builder
	at, n := from, 0
	for _, t := range q.tokens {
		if t.kind != tokenParam {
			continue
		}
		use := q.uses[n]
		n++
		if t.start < from || !isWhole(use) {
			continue
		}
		b.WriteString(q.text[at:t.start])
		// The number of one that has none must not change.
		fmt.Fprintf(&b, "(+CAST(%s AS INTEGER))", q.text[t.start:t.end])
		at = t.end
	}
	b.WriteString(q.text[at:])
	return b.String()
}

// asText is an expression that is a whole number as text, and otherwise NULL.
func asText(expression string) string {
	return fmt.Sprintf("CASE typeof(%[1]s) WHEN 'integer' THEN CAST(%[1]s AS TEXT) END", expression)
}

// exactly makes of a SELECT another, with its columns, and behind them some as
// text: those whose number is in exact. It skips rows.
func exactly(text string, columns int, exact []int, skip int) string {
	names := make([]string, columns)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	all := slices.Clone(names)
	for _, i := range exact {
		all = append(all, asText(names[i]))
	}
	return fmt.Sprintf("WITH party_exact(%s) AS (%s) SELECT %s FROM party_exact LIMIT -1 OFFSET %d",
		strings.Join(names, ", "), text, strings.Join(all, ", "), skip)
}

// returning adds to a RETURNING clause its columns as text. star lists the
// columns of a table. It reports how many columns there were; 0: it cannot be
// done.
func (q *statement) returning(text string, star func(table string) []string) (string, int) {
	at := q.top(q.last, "RETURNING")
	if at < 0 {
		return text, 0
	}
	var all []string
	for _, e := range q.list(at + 1) {
		if e[0] == e[1] {
			return text, 0 // SQLite says what is wrong
		}
		if q.is(e[0], "*") && e[1] == e[0]+1 {
			columns := star(q.table())
			if len(columns) == 0 {
				return text, 0
			}
			for _, c := range columns {
				all = append(all, `"`+strings.ReplaceAll(c, `"`, `""`)+`"`)
			}
			continue
		}
		all = append(all, q.expression(e))
	}
	extra := make([]string, len(all))
	for i, e := range all {
		if extra[i] = "NULL"; !strings.Contains(e, "?") { // a parameter twice would be two
			extra[i] = asText("(" + e + ")")
		}
	}
	if 2*len(all) > maxColumns {
		return text, 0
	}
	return text + ", " + strings.Join(extra, ", "), len(all)
}

// maxColumns is how many columns the engine lets a result have.
const maxColumns = 100

// list splits what follows at its commas into shares of tokens.
func (q *statement) list(from int) (all [][2]int) {
	depth, start := 0, from
	for i := from; i < len(q.tokens); i++ {
		switch {
		case q.is(i, "("):
			depth++
		case q.is(i, ")"):
			depth--
		case depth == 0 && q.is(i, ","):
			all = append(all, [2]int{start, i})
			start = i + 1
		}
	}
	return append(all, [2]int{start, len(q.tokens)})
}

// expression is a column's expression without its alias.
func (q *statement) expression(e [2]int) string {
	first, end := e[0], e[1]
	if end-first >= 3 && q.is(end-2, "AS") {
		end -= 2
	} else if end-first == 2 && q.tokens[first].kind != tokenMark {
		end-- // an alias without AS behind a name
	}
	return q.text[q.tokens[first].start:q.tokens[end-1].end]
}

// table is the table that the last statement changes.
func (q *statement) table() string {
	i := q.top(q.last, "INSERT", "REPLACE", "UPDATE", "DELETE")
	if i < 0 {
		return ""
	}
	if q.is(i, "UPDATE") {
		if i++; q.is(i, "OR") {
			i += 2
		}
	} else if i = q.top(i, "INTO", "FROM"); i >= 0 {
		i++
	}
	if q.is(i+1, ".") {
		i += 2
	}
	return q.name(i)
}

// source is the name of the table's column that a result's column shows, as
// far as can be seen: "" for an expression with an alias.
func (q *statement) source(column string) string {
	for i := q.last; i < len(q.tokens); i++ {
		if !q.is(i, "AS") || !strings.EqualFold(q.name(i+1), column) || i-1 < q.last {
			continue
		}
		named := q.tokens[i-1].kind == tokenName || q.tokens[i-1].kind == tokenWord
		before := q.is(i-2, ",") || q.is(i-2, ".") || q.is(i-2, "SELECT") || q.is(i-2, "DISTINCT") || q.is(i-2, "RETURNING")
		if named && before {
			return q.name(i - 1)
		}
		return "" // an expression
	}
	return column
}

// mentions reports whether the text holds a name.
func (q *statement) mentions(name string) bool {
	for i := range q.tokens {
		if (q.tokens[i].kind == tokenName || q.tokens[i].kind == tokenWord) && strings.EqualFold(q.name(i), name) {
			return true
		}
	}
	return false
}
