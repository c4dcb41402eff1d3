//go:build js

package workers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall/js"

	"github.com/goparty/party/emulator/wire"
)

// cursor is a query whose rows are not all fetched.
type cursor struct {
	statement *statement
	bindings  []any
	isWhole   func(param int) bool
	columns   []wire.Column
	exact     map[int]int // columns whose whole numbers stand as text in another
	delivered int         // rows
}

// safe is how far JavaScript's numbers are exact.
const safe = 1 << 53

var errTooBig = errors.New("a whole number beyond 2^53 cannot be read exactly here: select CAST(column AS TEXT)")

func (s *storage) query(m *wire.Query) *wire.Rows {
	c := &cursor{statement: s.parse(m.Text)}
	rows, err := s.start(c, m)
	if err != nil {
		delete(s.cursors, m.Cursor)
		return &wire.Rows{ID: m.ID, Err: &wire.Failure{Text: c.statement.explained(err.Error())}}
	}
	rows.ID, rows.Columns = m.ID, c.columns
	return rows
}

func (s *storage) nextRows(m *wire.NextRows) *wire.Rows {
	c := s.cursors[m.Cursor]
	if c == nil {
		return &wire.Rows{ID: m.ID, Err: &wire.Failure{Code: wire.CodeClosed, Text: "this query has ended: with its turn, or because the database was deleted"}}
	}
	rows, err := s.next(m.Cursor, c)
	if err != nil {
		delete(s.cursors, m.Cursor)
		return &wire.Rows{ID: m.ID, Err: &wire.Failure{Text: err.Error()}}
	}
	rows.ID = m.ID
	return rows
}

func (s *storage) next(number uint64, c *cursor) (*wire.Rows, error) {
	v := s.Call("next", number, rowShare, byteShare)
	if v.Type() == js.TypeString {
		return nil, errors.New(v.String())
	}
	return s.share(number, c, &rowsText{b: bytesOf(v)})
}

// longestStatement is the engine's limit, in bytes.
const longestStatement = 100_000

// keptStatements bounds how many texts are remembered as understood.
const keptStatements = 200

func (s *storage) parse(text string) *statement {
	q := s.parsed[text]
	if q == nil {
		q = parse(text)
		if len(s.parsed) >= keptStatements {
			clear(s.parsed)
		}
		s.parsed[text] = q
	}
	return q
}

// start runs a statement up to its first share of rows.
func (s *storage) start(c *cursor, m *wire.Query) (*wire.Rows, error) {
	q := c.statement
	if n := len(m.Text); n > longestStatement { // before it is rewritten
		return nil, fmt.Errorf("statement too long (%d bytes, the limit is %d): SQLITE_TOOBIG", n, longestStatement)
	}
	if len(q.tokens) == 0 {
		return nil, errors.New("SQL code did not contain a statement.") //lint:ignore ST1005 the platform's words
	}
	if q.makesReserved() {
		return nil, errors.New(notAuthorized)
	}
	if err := c.bind(m.Args); err != nil {
		return nil, err
	}
	text, exact := q.whole(0, c.isWhole), 0
	if q.changes() {
		text, exact = q.returning(text, s.columnNames)
	}
	v := s.Call("query", m.Cursor, text, c.bindings, rowShare, byteShare)
	s.cursors[m.Cursor] = c
	if q.defines() {
		s.forgetTables()
	}
	names, rest, err := header(v)
	if err != nil {
		return nil, err
	}
	if exact > 0 && len(names) == 2*exact {
		names = names[:exact]
		c.exact = map[int]int{}
		for i := range exact {
			c.exact[i] = exact + i
		}
	}
	c.columns = s.columns(q, names)
	return s.share(m.Cursor, c, rest)
}

// bind brings arguments to what the engine takes, by the parameters' indexes.
func (c *cursor) bind(args []wire.Arg) error {
	q := c.statement
	whole := make([]bool, len(q.params)+1)
	used := make([]bool, len(args))
	for i, name := range q.params {
		at := i
		if name != "" {
			for j, a := range args {
				if a.Name != "" && a.Name == name[1:] {
					at = j
				}
			}
			if n, err := strconv.Atoi(name[1:]); err == nil && name[0] == '$' {
				at = n - 1
			}
		}
		switch {
		case at < 0 || at >= len(args):
			return errBindings(len(q.params), len(args))
		case args[at].Name != "" && (name == "" || args[at].Name != name[1:]):
			return fmt.Errorf("there is no argument for parameter %d (%s)", i+1, name)
		}
		used[at] = true
		var v any
		v, whole[i+1] = toEngine(args[at].Value)
		c.bindings = append(c.bindings, v)
	}
	for _, u := range used {
		if !u {
			return errBindings(len(q.params), len(args))
		}
	}
	c.isWhole = func(param int) bool { return param < len(whole) && whole[param] }
	return nil
}

// errBindings is the platform's text for too few or too many arguments.
func errBindings(want, got int) error {
	return fmt.Errorf("Wrong number of parameter bindings for SQL query. %d expected, %d given.", want, got) //lint:ignore ST1005 the platform's words
}

// toEngine is a value as the engine binds it, and whether it stands for a
// whole number.
func toEngine(v any) (any, bool) {
	switch v := v.(type) {
	case []byte:
		return toJS(v), false
	case int64:
		if v > -safe && v < safe {
			return float64(v), true
		}
		return strconv.FormatInt(v, 10), true
	}
	return v, false
}

// rowsText is a share of rows as JavaScript encoded it.
type rowsText struct {
	b   []byte
	err error
}

func (r *rowsText) byte() byte {
	if len(r.b) == 0 {
		r.err = errShort
		return endOfRows
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

var errShort = errors.New("rows end early")

func (r *rowsText) number() float64 {
	if len(r.b) < 8 {
		r.b, r.err = nil, errShort
		return 0
	}
	n := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return n
}

func (r *rowsText) bytes() []byte {
	n := r.number()
	if n < 0 || n > float64(len(r.b)) {
		r.b, r.err = nil, errShort
		return nil
	}
	b := r.b[:int(n)]
	r.b = r.b[int(n):]
	return b
}

// What stands before a row, or behind the last of a share.
const (
	goesOn = iota
	anotherRow
	endOfRows
)

// header takes the columns' names off a first share.
func header(v js.Value) (names []string, rest *rowsText, err error) {
	if v.Type() == js.TypeString {
		return nil, nil, errors.New(v.String())
	}
	r := &rowsText{b: bytesOf(v)}
	for range int(r.number()) {
		r.byte()
		names = append(names, string(r.bytes()))
	}
	return names, r, r.err
}

// value reads one value: nil, float64, string or []byte.
func (r *rowsText) value() any {
	switch r.byte() {
	case 1:
		return r.number()
	case 2:
		return string(r.bytes())
	case 3:
		return append([]byte{}, r.bytes()...)
	}
	return nil
}

// rows reads a share. widths is how many values a row has.
func (r *rowsText) rows(width int) (all [][]any, done bool) {
	for r.err == nil {
		switch r.byte() {
		case goesOn:
			return all, false
		case endOfRows:
			return all, true
		}
		row := make([]any, width)
		for i := range row {
			row[i] = r.value()
		}
		all = append(all, row)
	}
	return nil, true
}

// share makes of what JavaScript read what the guest takes.
func (s *storage) share(number uint64, c *cursor, r *rowsText) (*wire.Rows, error) {
	all, done := r.rows(len(c.columns) + len(c.exact))
	if r.err != nil {
		return nil, r.err
	}
	if inexact := c.rounded(all); inexact != nil {
		return s.again(number, c, inexact)
	}
	out := &wire.Rows{Done: done}
	for _, row := range all {
		for i := range c.columns {
			row[i] = c.value(row, i)
		}
		out.Rows = append(out.Rows, row[:len(c.columns)])
	}
	c.delivered += len(all)
	if done {
		delete(s.cursors, number)
		if c.statement.changes() {
			return out, s.counts(out)
		}
	}
	return out, nil
}

// rounded are the columns whose whole numbers must be read as text: nil where
// all rows are exact.
func (c *cursor) rounded(rows [][]any) []int {
	var all []int
	more := false
	for i := range c.columns {
		if _, ok := c.exact[i]; ok {
			all = append(all, i)
			continue
		}
		for _, row := range rows {
			if n, ok := row[i].(float64); ok && math.Abs(n) >= safe && n == math.Trunc(n) && !math.IsInf(n, 0) {
				all, more = append(all, i), true
				break
			}
		}
	}
	if !more {
		return nil
	}
	return all
}

// again runs a SELECT once more, so that it says its whole numbers exactly,
// from the row on that is wanted next.
func (s *storage) again(number uint64, c *cursor, inexact []int) (*wire.Rows, error) {
	q := c.statement
	if !q.selects() || len(c.columns)+len(inexact) > maxColumns {
		return nil, errTooBig
	}
	text := exactly(q.whole(q.tokens[q.last].start, c.isWhole), len(c.columns), inexact, c.delivered)
	_, rest, err := header(s.Call("query", number, text, c.bindings, rowShare, byteShare))
	if err != nil {
		return nil, err
	}
	c.exact = map[int]int{}
	for i, column := range inexact {
		c.exact[column] = len(c.columns) + i
	}
	return s.share(number, c, rest)
}

// value is a column's value with the type that SQLite knows it by.
func (c *cursor) value(row []any, i int) any {
	n, ok := row[i].(float64)
	if !ok {
		return row[i]
	}
	if at, ok := c.exact[i]; ok {
		if text, ok := row[at].(string); ok {
			if exact, err := strconv.ParseInt(text, 10, 64); err == nil {
				return exact
			}
		}
		return n
	}
	if n == math.Trunc(n) && math.Abs(n) < safe && !isReal(c.columns[i].Type) {
		return int64(n)
	}
	return n
}

// isReal reports whether a declared type makes SQLite store whole numbers as
// REAL.
func isReal(declared string) bool {
	t := strings.ToUpper(declared)
	return !strings.Contains(t, "INT") && (strings.Contains(t, "REAL") || strings.Contains(t, "FLOA") || strings.Contains(t, "DOUB"))
}

// ours is the cursor of questions of our own.
const ours = 0

// ask runs a query of our own.
func (s *storage) ask(text string, args ...any) ([][]any, error) {
	names, r, err := header(s.Call("query", ours, text, args, 1000, byteShare))
	if err != nil {
		return nil, err
	}
	rows, done := r.rows(len(names))
	if !done {
		s.Call("closeCursor", ours)
	}
	return rows, r.err
}

// counts adds what a statement has changed.
func (s *storage) counts(out *wire.Rows) error {
	rows, err := s.ask("SELECT changes(), CAST(last_insert_rowid() AS TEXT)")
	if err != nil || len(rows) != 1 {
		return err
	}
	n, _ := rows[0][0].(float64)
	id, _ := rows[0][1].(string)
	out.RowsAffected = int64(n)
	out.LastInsertID, err = strconv.ParseInt(id, 10, 64)
	return err
}

// forgetTables is called where the tables' columns may have changed.
func (s *storage) forgetTables() {
	s.tables = nil
	clear(s.parsed)
}

// table is a table's columns with their declared types. The engine does not
// tell the types of a result.
func (s *storage) table(name string) []wire.Column {
	name = strings.ToLower(name)
	if s.tables == nil {
		s.tables = map[string][]wire.Column{}
		rows, _ := s.ask("SELECT lower(name) FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'")
		for _, row := range rows {
			if t, ok := row[0].(string); ok {
				s.tables[t] = nil
			}
		}
	}
	columns, ok := s.tables[name]
	if columns != nil || !ok {
		return columns
	}
	rows, _ := s.ask(`PRAGMA table_xinfo("` + strings.ReplaceAll(name, `"`, `""`) + `")`)
	columns = []wire.Column{}
	for _, row := range rows {
		n, _ := row[1].(string)
		t, _ := row[2].(string)
		columns = append(columns, wire.Column{Name: n, Type: t})
	}
	s.tables[name] = columns
	return columns
}

func (s *storage) columnNames(table string) (names []string) {
	for _, c := range s.table(table) {
		names = append(names, c.Name)
	}
	return names
}

// columns are a result's columns with the types that they seem to be declared
// with: those of the only column of that name in the tables that the statement
// mentions.
func (s *storage) columns(q *statement, names []string) []wire.Column {
	if len(names) == len(q.columns) {
		same := true
		for i, c := range q.columns {
			same = same && c.Name == names[i]
		}
		if same {
			return q.columns
		}
	}
	q.columns = make([]wire.Column, len(names))
	if len(names) == 0 {
		return q.columns
	}
	s.table("") // reads which tables there are
	declared := map[string]string{}
	for t := range s.tables {
		if !q.mentions(t) {
			continue
		}
		for _, c := range s.table(t) {
			k := strings.ToLower(c.Name)
			if other, ok := declared[k]; ok && !strings.EqualFold(other, c.Type) {
				declared[k] = "" // it might be either
			} else {
				declared[k] = c.Type
			}
		}
	}
	for i, n := range names {
		q.columns[i] = wire.Column{Name: n, Type: declared[strings.ToLower(q.source(n))]}
	}
	return q.columns
}
