//go:build !js

package workers

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

func TestStatement(t *testing.T) {
	for _, test := range []struct {
		text, trimmed, verb, table string
		params                     []string
		selects, changes, defines  bool
	}{
		{text: "SELECT 1", verb: "SELECT", selects: true},
		{text: " select 1 ; -- done\n", trimmed: " select 1", verb: "SELECT", selects: true},
		{text: "/* a; b */ SELECT ';', \"a;b\", [c;d], `e;f` ;;", trimmed: "/* a; b */ SELECT ';', \"a;b\", [c;d], `e;f`", verb: "SELECT", selects: true},
		{text: "CREATE TABLE t (a); INSERT INTO t VALUES (?), (?2), (:x), (:x), (@y), ($z), (?)", verb: "INSERT", table: "t", changes: true, defines: true,
			params: []string{"", "", ":x", "@y", "$z", ""}},
		{text: "WITH a(x) AS (SELECT ? UNION SELECT 2) UPDATE OR IGNORE main.\"my t\" SET x = 1", verb: "UPDATE", table: "my t", changes: true, params: []string{""}},
		{text: "WITH a AS (DELETE) SELECT * FROM a", verb: "SELECT", selects: true},
		{text: "DELETE FROM [a b] WHERE x = 'it''s ?' AND y = x'00'", verb: "DELETE", table: "a b", changes: true},
		{text: "REPLACE INTO t (a) SELECT ?1 FROM u WHERE ?1", verb: "REPLACE", table: "t", changes: true, params: []string{""}},
		{text: "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3", verb: "SELECT", selects: true, defines: true},
		{text: "VALUES (1)", verb: "VALUES", selects: true},
		{text: "PRAGMA table_info(t)", verb: "PRAGMA"},
		{text: "SELECT 'open", verb: "SELECT", selects: true},
		{text: "-- nothing", trimmed: "-- nothing"},
		{text: "SELECT a::b, json->>'$.x' FROM t", verb: "SELECT", selects: true, params: []string{":b"}},
	} {
		q := parse(test.text)
		if test.trimmed == "" {
			test.trimmed = test.text
		}
		table := ""
		if q.changes() {
			table = q.table()
		}
		if q.text != test.trimmed || q.verb() != test.verb || table != test.table || !slices.Equal(q.params, test.params) ||
			q.selects() != test.selects || q.changes() != test.changes || q.defines() != test.defines {
			t.Errorf("%q: text %q, verb %q, table %q, params %q, selects %v, changes %v, defines %v",
				test.text, q.text, q.verb(), table, q.params, q.selects(), q.changes(), q.defines())
		}
	}
}

func database(t *testing.T, script string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
	return db
}

func all(t *testing.T, db *sql.DB, text string, args ...any) (rows []string) {
	t.Helper()
	r, err := db.Query(text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer r.Close()
	columns, err := r.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for r.Next() {
		values := make([]sql.NullString, len(columns))
		var into []any
		for i := range values {
			into = append(into, &values[i])
		}
		if err := r.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var row []string
		for _, v := range values {
			if v.Valid {
				row = append(row, v.String)
			} else {
				row = append(row, "NULL")
			}
		}
		rows = append(rows, strings.Join(row, "|"))
	}
	if err := r.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return rows
}

// A number that JavaScript handed over as REAL is a whole number again.
func TestWholeParameters(t *testing.T) {
	db := database(t, "CREATE TABLE t (a, b TEXT, c INTEGER)")
	for _, test := range []struct {
		text string
		args []any // as the engine gets them
		want string
	}{
		{"SELECT typeof(?), ? / 2, ? || ''", []any{5.0, 5.0, 5.0}, "integer|2|5"},
		{"SELECT :a, :a, @b", []any{sql.Named("a", "9223372036854775807"), sql.Named("b", 1.0)}, "9223372036854775807|9223372036854775807|1"},
		{"SELECT 'x' WHERE '5' = (SELECT b FROM (SELECT '5' AS b)) LIMIT ?", []any{1.0}, "x"},
		{"SELECT count(*) FROM (SELECT 1) WHERE 3 IN (?, ?)", []any{2.0, 3.0}, "1"},
	} {
		q := parse(test.text)
		text := q.whole(0, func(int) bool { return true })
		if got := all(t, db, text, test.args...); !slices.Equal(got, []string{test.want}) {
			t.Errorf("%s: %q", text, got)
		}
	}
	// The text column is still compared as text: a parameter has no affinity.
	if _, err := db.Exec("INSERT INTO t VALUES (1, '05', 1), (2, '5', 2)"); err != nil {
		t.Fatal(err)
	}
	q := parse("SELECT a FROM t WHERE b = ?")
	if got := all(t, db, q.whole(0, func(int) bool { return true }), 5.0); !slices.Equal(got, []string{"2"}) {
		t.Errorf("%q", got)
	}
	q = parse("SELECT ?, ?")
	if got := all(t, db, q.whole(0, func(p int) bool { return p == 2 }), "text", 2.0); !slices.Equal(got, []string{"text|2"}) {
		t.Errorf("%q", got)
	}
}

func TestExactly(t *testing.T) {
	db := database(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n, s TEXT); INSERT INTO t VALUES (1, 9223372036854775807, 'a'), (2, 1.5, 'b'), (3, 1e18, '7'), (4, NULL, NULL)")
	text := exactly("SELECT n, s FROM t ORDER BY id DESC", 2, []int{0}, 1)
	want := []string{"1e+18|7|NULL", "1.5|b|NULL", "9.223372036854776e+18|a|9223372036854775807"}
	got := all(t, db, text)
	if len(got) == 3 {
		got[2] = strings.Replace(got[2], "9223372036854775807|a", "9.223372036854776e+18|a", 1) // of this driver, which is exact
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q", text, got)
	}
}

func TestReturning(t *testing.T) {
	for _, test := range []struct {
		text, want string
		columns    int
	}{
		{"INSERT INTO t (s) VALUES ('x') RETURNING id", "1|1", 1},
		{"INSERT INTO t (s) VALUES ('x') RETURNING *", "1|x|1|NULL", 2},
		{"UPDATE t SET s = 'y' WHERE id = 0 RETURNING id AS n, s text, length(s)", "0|y|1|0|NULL|1", 3},
		{"DELETE FROM t RETURNING id + 1, (SELECT max(id) FROM t)", "1|NULL|1|NULL", 2},
		{"DELETE FROM t RETURNING ?", "5|NULL", 1},
		{"DELETE FROM t RETURNING ?1", "5|NULL", 1},
		{"DELETE FROM t", "", 0},
		{"INSERT INTO t (s) VALUES ('RETURNING id')", "", 0},
	} {
		db := database(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (0, 'z')")
		q := parse(test.text)
		text, n := q.returning(q.text, func(table string) []string {
			if table != "t" {
				t.Errorf("%s: table %q", test.text, table)
			}
			return []string{"id", "s"}
		})
		if n != test.columns {
			t.Errorf("%s: %d columns: %s", test.text, n, text)
		}
		var args []any
		if len(q.params) > 0 {
			args = []any{5}
		}
		if got := all(t, db, text, args...); strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestExplained(t *testing.T) {
	for text, want := range map[string]string{
		"ATTACH 'x' AS y":                  hintAttach,
		"SELECT 1; detach y":               hintAttach,
		"create temporary table t (a)":     hintTemp,
		"CREATE TABLE \"_CF_x\" (a)":       hintReserved,
		"PRAGMA journal_mode":              hintPragma,
		"CREATE VIRTUAL TABLE t USING csv": hintModule,
		"COMMIT":                           hintTransaction,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END": "",
	} {
		want := strings.TrimSuffix(notAuthorized+": "+want, ": ")
		if got := parse(text).explained(notAuthorized); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	if got := parse("x").explained("no such table: x: SQLITE_ERROR"); got != "no such table: x: SQLITE_ERROR" {
		t.Error(got)
	}
}

func TestMakesReserved(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE TABLE _CF_mine (a)":                                       true,
		"SELECT 1; create unique index if not exists main._Cf_i ON t (a)": true,
		"ALTER TABLE t RENAME TO \"_cf_t\"":                               true,
		"CREATE TABLE t (_cf_a)":                                          false,
		"ALTER TABLE t RENAME a TO _cf_a":                                 false,
		"SELECT * FROM _cf_KV":                                            false,
	} {
		if got := parse(text).makesReserved(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestSource(t *testing.T) {
	q := parse(`SELECT made AS at, t."when" AS w, max(made) AS m, made FROM t`)
	for column, want := range map[string]string{"at": "made", "w": "when", "m": "", "made": "made", "AT": "made"} {
		if got := q.source(column); got != want {
			t.Errorf("%s shows %q, not %q", column, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"SELECT ?", "'", "\"a\"\"b", "[", "/*", "--", "CREATE TRIGGER x BEGIN SELECT 1; END;", "?99999999999", "INSERT INTO t VALUES (:a) RETURNING *, (", "x'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := parse(s)
		text := q.whole(0, func(int) bool { return true })
		if got := strings.Count(text, "(+CAST("); got < len(q.uses)-strings.Count(s, "(+CAST(") {
			t.Errorf("%q: %q", s, text)
		}
		if len(q.tokens) > 0 {
			_ = q.verb()
			_ = q.whole(q.tokens[q.last].start, func(int) bool { return true })
		}
		_, _ = q.returning(q.text, func(string) []string { return []string{"a"} })
		_, _, _ = q.table(), q.source("a"), q.explained(notAuthorized)
		_ = q.makesReserved()
	})
}
