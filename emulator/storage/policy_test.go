package storage

import (
	"strings"
	"testing"
)

func TestRefusedStatements(t *testing.T) {
	f := open(t)
	d := f.room(1)
	put(t, d, "secret", `"s"`)
	query(t, d, "CREATE TABLE t(x, y); CREATE VIRTUAL TABLE ft USING fts5(body)")
	commit(t, d)
	tests := []struct{ text, want string }{
		{"BEGIN", "not authorized: SQLITE_AUTH: transactions are not SQL text"},
		{"/* x */ bEgIn immediate", "SQLITE_AUTH"},
		{"COMMIT", "BeginTx"}, {"END", "BeginTx"}, {"ROLLBACK", "BeginTx"}, {"SAVEPOINT a", "BeginTx"}, {"RELEASE a", "BeginTx"},
		{"ROLLBACK TO _cf_1", "BeginTx"},
		{"ATTACH 'x' AS y", "ATTACH"}, {"DETACH main", "ATTACH"},
		{"VACUUM", ""}, {"VACUUM INTO '/tmp/never.sqlite'", ""},
		{"CREATE TEMP TABLE x(a)", "temporary"}, {"CREATE TABLE temp.x(a)", "temporary"},
		{"CREATE TEMP VIEW x AS SELECT 1", "temporary"}, {"CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "temporary"},
		{"CREATE VIRTUAL TABLE v USING dbstat", "fts5"}, {"CREATE VIRTUAL TABLE v USING geopoly(a)", "fts5"},
		{"SELECT * FROM dbstat", "SQLITE_AUTH"}, {"SELECT * FROM sqlite_dbpage", "SQLITE_AUTH"}, {"SELECT data FROM SQLITE_DBPAGE('main')", "SQLITE_AUTH"},
		{"UPDATE sqlite_dbpage SET data = zeroblob(4096)", ""},
		{"SELECT load_extension('x')", "not authorized to use function: load_extension"},
		{"SELECT sqlite_version()", "not authorized"}, {"SELECT 1 WHERE LOAD_extension('a', 'b')", "not authorized"},
		{"UPDATE sqlite_master SET name = 'x'", "may not be modified"}, {"DELETE FROM sqlite_schema", "may not be modified"},
		{"SELECT fts3_tokenizer('a')", ""}, {"SELECT readfile('/etc/passwd')", "no such function"},
		{"INSERT INTO ft_data VALUES (1, 2)", "may not be modified"},

		{"SELECT * FROM _cf_KV", "prohibited"}, {"SELECT key FROM _CF_kv", "prohibited"}, {`SELECT "key" FROM "_cf_KV"`, "prohibited"},
		{"SELECT * FROM [_cf_KV]", "prohibited"}, {"SELECT * FROM `_cf_kv`", "prohibited"}, {"SELECT * FROM main._cf_KV", "prohibited"},
		{"SELECT count(*) FROM _cf_KV", "SQLITE_AUTH"}, {"SELECT 1 FROM _cf_KV", "SQLITE_AUTH"}, {"SELECT/**/1 FROM/*x*/_cf_METADATA", "SQLITE_AUTH"},
		{"WITH a AS (SELECT * FROM _cf_KV) SELECT * FROM a", "SQLITE_AUTH"}, {"WITH _cf_a AS (SELECT * FROM _cf_KV) SELECT count(*) FROM _cf_a", "SQLITE_AUTH"},
		{"SELECT (SELECT value FROM _cf_KV LIMIT 1)", "prohibited"}, {"SELECT EXISTS(SELECT 1 FROM _cf_KV)", "SQLITE_AUTH"},
		{"SELECT * FROM t JOIN _cf_KV", "prohibited"}, {"VALUES (1) UNION SELECT key FROM _cf_KV", "prohibited"},
		{"EXPLAIN SELECT * FROM _cf_KV", "prohibited"}, {"TABLE _cf_KV", ""},
		{"INSERT INTO _cf_KV VALUES ('a', 1)", "SQLITE_AUTH"}, {"REPLACE INTO _cf_METADATA VALUES (1, 1)", "SQLITE_AUTH"},
		{"UPDATE _cf_KV SET value = 1", "SQLITE_AUTH"}, {"DELETE FROM _cf_KV", "SQLITE_AUTH"},
		{"INSERT INTO t SELECT * FROM _cf_KV", "prohibited"}, {"CREATE TABLE u AS SELECT * FROM _cf_KV", "prohibited"},
		{"DROP TABLE _cf_KV", "SQLITE_AUTH"}, {"DROP TABLE IF EXISTS [_CF_metadata]", "SQLITE_AUTH"},
		{"ALTER TABLE _cf_KV RENAME TO kv", "SQLITE_AUTH"}, {"ALTER TABLE _cf_KV ADD COLUMN z", "SQLITE_AUTH"},
		{"ALTER TABLE t RENAME TO _cf_t", "SQLITE_AUTH"}, {`ALTER TABLE t RENAME TO "_CF_t"`, "SQLITE_AUTH"},
		{"ALTER TABLE t RENAME TO _cf_t; SELECT 1", "SQLITE_AUTH"}, {"ALTER TABLE ft RENAME TO _cf_ft", "SQLITE_AUTH"},
		{"CREATE TABLE _cf_x(a)", "SQLITE_AUTH"}, {`CREATE TABLE "_CF_x"(a)`, "SQLITE_AUTH"}, {"CREATE TABLE IF NOT EXISTS _cf_KV(a)", ""},
		{"CREATE INDEX _cf_i ON t(x)", "SQLITE_AUTH"}, {"CREATE INDEX i ON _cf_KV(value)", "SQLITE_AUTH"},
		{"CREATE VIEW _cf_v AS SELECT 1", "SQLITE_AUTH"}, {"CREATE TRIGGER _cf_g AFTER INSERT ON t BEGIN SELECT 1; END", "SQLITE_AUTH"},
		{"CREATE TRIGGER g AFTER INSERT ON _cf_KV BEGIN SELECT 1; END", "SQLITE_AUTH"},
		{"CREATE VIRTUAL TABLE _cf_f USING fts5(a)", "SQLITE_AUTH"},
		{"PRAGMA table_info(_cf_KV)", "SQLITE_AUTH"}, {"PRAGMA index_list('_cf_KV')", "SQLITE_AUTH"},
		{"SELECT * FROM pragma_table_info('_cf_KV')", "not authorized"}, {"SELECT name FROM pragma_table_xinfo WHERE arg = '_CF_KV'", "not authorized"},
		{"PRAGMA writable_schema = ON", "PRAGMA is not on"}, {"PRAGMA user_version", "use a table"}, {"PRAGMA user_version = 1", "use a table"},
		{"PRAGMA journal_mode = DELETE", "SQLITE_AUTH"}, {"PRAGMA integrity_check", "SQLITE_AUTH"}, {"PRAGMA page_size = 512", "SQLITE_AUTH"},
		{"PRAGMA wal_checkpoint", "SQLITE_AUTH"}, {"PRAGMA synchronous = OFF", "SQLITE_AUTH"}, {"PRAGMA main.Cache_Size = 1", "SQLITE_AUTH"},
		{"SELECT * FROM pragma_compile_options", "SQLITE_"}, {"SELECT * FROM pragma_function_list", ""},
		{"PRAGMA temp_store_directory = '/'", "SQLITE_"}, {"PRAGMA trusted_schema = 1", "SQLITE_AUTH"}, {"PRAGMA locking_mode = exclusive", "SQLITE_AUTH"},
		{"", "did not contain a statement"}, {" -- nothing", "did not contain"}, {";;", "did not contain"}, {"SELECT 1\x00; x", "NUL"},
	}
	for _, test := range tests {
		rows, err := try(d, test.text)
		if err == nil {
			t.Errorf("%s: allowed, rows %v", test.text, rows)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.text, err, test.want)
		}
	}
	// What is refused only when it is used.
	query(t, d, "CREATE VIEW v AS SELECT * FROM _cf_KV")
	_, err := try(d, "SELECT * FROM v")
	fails(t, err, "prohibited")
	query(t, d, "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE _cf_KV SET value = 'stolen'; END")
	_, err = try(d, "INSERT INTO t VALUES (1, 2)")
	fails(t, err, "SQLITE_AUTH")
	query(t, d, "CREATE TRIGGER h AFTER DELETE ON t BEGIN INSERT INTO t SELECT key, value FROM _cf_KV; END")
	_, err = try(d, "DELETE FROM t")
	fails(t, err, "prohibited")
	query(t, d, "CREATE VIRTUAL TABLE e USING fts5(key, value, content='_cf_KV', content_rowid='key')")
	_, err = try(d, "INSERT INTO e(e) VALUES ('rebuild')")
	fails(t, err, "SQLITE_")
	query(t, d, "CREATE TABLE child(k REFERENCES _cf_KV(key))")
	_, err = try(d, "INSERT INTO child VALUES ('secret')")
	fails(t, err, "SQLITE_AUTH")
	same(t, "value", get(t, d, "secret"), `"s"`)
	put(t, d, "secret", `"t"`)
	if _, err := d.Delete("secret"); err != nil {
		t.Error(err)
	}
	commit(t, d)
}

func TestAllowedStatements(t *testing.T) {
	f := open(t)
	d := f.room(1)
	put(t, d, "k", "1")
	for _, text := range []string{
		"CREATE TABLE t(id INTEGER PRIMARY KEY, _cf_column TEXT UNIQUE, n INT DEFAULT 1) STRICT",
		"CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT, x)",
		"CREATE INDEX i ON a(x)", "CREATE VIEW v AS SELECT * FROM a", "ALTER TABLE a ADD COLUMN y", "ALTER TABLE a RENAME COLUMN y TO z",
		"ALTER TABLE a RENAME TO b", "ALTER TABLE b RENAME TO a", "ALTER TABLE a DROP COLUMN z", "ANALYZE", "REINDEX", "PRAGMA optimize",
		"EXPLAIN QUERY PLAN SELECT * FROM a", "INSERT INTO a(x) VALUES (1) RETURNING id", "INSERT INTO a(id, x) VALUES (1, 2) ON CONFLICT DO UPDATE SET x = 3",
		"WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i < 5) SELECT * FROM n",
		"CREATE TRIGGER g AFTER INSERT ON a BEGIN UPDATE a SET x = new.x + 1 WHERE id = new.id; END", "INSERT INTO a(x) VALUES (2)",
		"CREATE VIRTUAL TABLE ft USING fts5(body)", "INSERT INTO ft VALUES ('hello world')", "SELECT highlight(ft, 0, '<', '>') FROM ft WHERE ft MATCH 'world' ORDER BY bm25(ft)",
		"CREATE VIRTUAL TABLE fv USING fts5vocab(ft, row)", "SELECT * FROM fv", "INSERT INTO ft(ft) VALUES ('optimize')",
		"CREATE VIRTUAL TABLE rt USING rtree(id, x1, x2)", "INSERT INTO rt VALUES (1, 2, 3)", "SELECT * FROM rt WHERE x1 > 1",
		"PRAGMA table_list", "PRAGMA table_info(a)", "SELECT * FROM pragma_table_info('a')", "PRAGMA foreign_keys", "PRAGMA defer_foreign_keys = on",
		"PRAGMA quick_check", "PRAGMA foreign_key_check", "PRAGMA page_size", "PRAGMA index_list(a)", "PRAGMA data_version", "PRAGMA case_sensitive_like = on",
		"SELECT json_extract('{\"a\":1}', '$.a'), datetime('now'), sqrt(2), row_number() OVER ()", "SELECT name FROM sqlite_master WHERE name LIKE '_cf_%'",
		"CREATE TABLE c AS SELECT * FROM a", "DROP TABLE c", "DROP TABLE ft", "DROP VIEW v", "SELECT 1;", "SELECT 1; -- end", "-- start\nSELECT 1 /* x */ ; ; ",
	} {
		if _, err := try(d, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	commit(t, d)
	check(t, d.Close())
	same(t, "kept", query(t, d, "SELECT x FROM a"), [][]any{{int64(3)}, {int64(3)}})
}

func TestLimits(t *testing.T) {
	f := open(t)
	d := f.room(1)
	columns := func(n int) string { return "c" + strings.Repeat(", c", n-1) }
	numbered := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(", c")
			b.WriteString(strings.Repeat("x", i+1))
		}
		return b.String()[2:]
	}
	marks := func(n int) (string, []any) { return "?" + strings.Repeat(", ?", n-1), make([]any, n) }
	query(t, d, "CREATE TABLE wide("+numbered(100)+"); CREATE TABLE t(c)")
	over, args := marks(101)
	tests := []struct {
		text string
		args []any
		want string
	}{
		{"CREATE TABLE wider(" + numbered(101) + ")", nil, "too many columns on wider"},
		{"SELECT " + columns(101) + " FROM t", nil, "too many columns in result set"},
		{"SELECT 1 WHERE 1 IN (" + over + ")", args, "too many SQL variables at offset"},
		{"SELECT '" + strings.Repeat("x", 100_000) + "'", nil, "statement too long"},
		{"SELECT zeroblob(2097153)", nil, "string or blob too big: SQLITE_TOOBIG"},
		{"SELECT ?", []any{strings.Repeat("x", 2097153)}, "too big: SQLITE_TOOBIG"},
		{"INSERT INTO wide(cx, cxx) VALUES (zeroblob(1500000), zeroblob(1500000))", nil, "SQLITE_TOOBIG"},
		{"SELECT 'a' LIKE '" + strings.Repeat("%", 51) + "'", nil, "LIKE or GLOB pattern too complex"},
		{"SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 5), nil, "too many terms in compound SELECT"},
		{"SELECT max(1" + strings.Repeat(", 1", 32) + ")", nil, "too many arguments on function max"},
		{"SELECT 1" + strings.Repeat("+1", 101), nil, "Expression tree is too large (maximum depth 100)"},
	}
	for _, test := range tests {
		_, err := try(d, test.text, test.args...)
		fails(t, err, test.want)
	}
	within, args := marks(100)
	query(t, d, "SELECT 1 WHERE 1 IN ("+within+")", args...)
	query(t, d, "SELECT "+columns(100)+" FROM t")
	query(t, d, "SELECT length(?)", strings.Repeat("x", 2097152))
	query(t, d, "SELECT 'a' LIKE '"+strings.Repeat("%", 50)+"'")
	query(t, d, "SELECT 1"+strings.Repeat(" UNION ALL SELECT 1", 4))
	query(t, d, "INSERT INTO t VALUES (1)"+strings.Repeat(", (2)", 200))
	query(t, d, "SELECT zeroblob(2097152)")

	fails(t, d.Put([]Entry{{Key: strings.Repeat("k", 2049)}}), "2048", "2049")
	fails(t, d.Put([]Entry{{Key: "k", Value: make([]byte, 2097152)}}), "2097152", "2097153")
	fails(t, d.Put(make([]Entry, 129)), "128", "129")
	_, err := d.Get(make([]string, 129)...)
	fails(t, err, "128", "129")
	_, err = d.Delete(strings.Repeat("k", 3000))
	fails(t, err, "2048", "3000")
	big := []byte(strings.Repeat("v", 2097152-2048))
	key := strings.Repeat("k", 2048)
	for _, blob := range []bool{true, false} {
		check(t, d.Put([]Entry{{Key: key, Value: big, Blob: blob}}))
		commit(t, d)
		got, err := d.Get(key)
		check(t, err)
		if len(got) != 1 || len(got[0].Value) != len(big) || got[0].Blob != blob {
			t.Errorf("big value: %d entries", len(got))
		}
	}
	check(t, d.Put(make([]Entry, 128)))
}
