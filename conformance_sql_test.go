//go:build !partyplugin && !js

package party

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage/testdata/books"
)

// What the rooms do with SQL, beside the steps of values.
func init() {
	exec := func(k *Keeper, ctx context.Context, queries ...string) error {
		for _, q := range queries {
			if _, err := k.Storage().SQL().ExecContext(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	}
	for name, f := range map[string]step{
		"sql types": func(k *Keeper, ctx context.Context, w io.Writer) error {
			if err := exec(k, ctx, "CREATE TABLE t (i INTEGER, f REAL, s TEXT, b BLOB, n, at DATETIME, text)"); err != nil {
				return err
			}
			db, at := k.Storage().SQL(), time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
			if _, err := db.ExecContext(ctx, "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", int64(1)<<62, 2.5, "é", []byte{0, 1}, nil, at, at); err != nil {
				return err
			}
			var i, f, s, b, n, when, text any
			if err := db.QueryRowContext(ctx, "SELECT * FROM t WHERE s = @s AND b = :b", sql.Named("s", "é"), sql.Named("b", []byte{0, 1})).Scan(&i, &f, &s, &b, &n, &when, &text); err != nil {
				return err
			}
			fmt.Fprintf(w, "%T %T %T %T %T %t %v", i, f, s, b, n, when.(time.Time).Equal(at), text)
			return nil
		},
		"sql nested": func(k *Keeper, ctx context.Context, w io.Writer) error {
			if err := exec(k, ctx, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1), (2), (3)"); err != nil {
				return err
			}
			db := k.Storage().SQL()
			rows, err := db.QueryContext(ctx, "SELECT n FROM t ORDER BY n")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var n, below int
				if err := rows.Scan(&n); err != nil {
					return err
				}
				if err := db.QueryRowContext(ctx, "SELECT count(*) FROM t WHERE n < ?", n).Scan(&below); err != nil {
					return err
				}
				fmt.Fprint(w, n, ":", below, " ")
			}
			return rows.Err()
		},
		"sql transactions": func(k *Keeper, ctx context.Context, w io.Writer) error {
			if err := exec(k, ctx, "CREATE TABLE t (n INTEGER)"); err != nil {
				return err
			}
			db := k.Storage().SQL()
			count := func() (n int) { _ = db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n); return n }
			for _, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (1)"); err != nil {
					return err
				}
				if err := end(tx); err != nil {
					return err
				}
				fmt.Fprint(w, count(), " ")
			}
			tx, err := db.BeginTx(ctx, nil) // left open: undone at the turn's end
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO t VALUES (2)")
			fmt.Fprint(w, count())
			return err
		},
		"sql count": func(k *Keeper, ctx context.Context, w io.Writer) error {
			var n int
			err := k.Storage().SQL().QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n)
			fmt.Fprint(w, n)
			return err
		},
		"sql features": func(k *Keeper, ctx context.Context, w io.Writer) error {
			db := k.Storage().SQL()
			if err := exec(k, ctx, "CREATE VIRTUAL TABLE notes USING fts5(body)", "INSERT INTO notes VALUES ('a red car'), ('a blue boat')", "CREATE TABLE t (id INTEGER PRIMARY KEY, doc TEXT)"); err != nil {
				return err
			}
			var body, color string
			var id int64
			if err := db.QueryRowContext(ctx, "SELECT body FROM notes WHERE notes MATCH 'boat'").Scan(&body); err != nil {
				return err
			}
			if err := db.QueryRowContext(ctx, "INSERT INTO t (doc) VALUES (json_object('color', 'red')) RETURNING id").Scan(&id); err != nil {
				return err
			}
			if err := db.QueryRowContext(ctx, "SELECT doc ->> 'color' FROM t").Scan(&color); err != nil {
				return err
			}
			stmt, err := db.PrepareContext(ctx, "INSERT INTO t (doc) VALUES (?)")
			if err != nil {
				return err
			}
			defer stmt.Close()
			var last int64
			for range 3 {
				result, err := stmt.ExecContext(ctx, "{}")
				if err != nil {
					return err
				}
				last, _ = result.LastInsertId()
			}
			fmt.Fprint(w, body, " ", id, " ", color, " ", last)
			return nil
		},
		"sql refusals": func(k *Keeper, ctx context.Context, w io.Writer) error {
			many := strings.TrimSuffix(strings.Repeat("?,", 101), ",")
			for _, q := range []string{
				"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT x", "ATTACH 'x' AS y", "SELECT * FROM _cf_KV", `CREATE TABLE "_CF_x" (y)`,
				"PRAGMA journal_mode", "PRAGMA user_version = 3", "VACUUM", "SELECT " + many, "SELECT 1 -- " + strings.Repeat("x", 100_000),
				"SELECT load_extension('x')",
			} {
				if _, err := k.Storage().SQL().ExecContext(ctx, q); err == nil {
					return fmt.Errorf("%.40s passed", q)
				} else if len(err.Error()) < 10 {
					return fmt.Errorf("%.40s: %w", q, err)
				}
			}
			return nil
		},
		"sql million": func(k *Keeper, ctx context.Context, w io.Writer) error {
			rows, err := k.Storage().SQL().QueryContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT i FROM n")
			if err != nil {
				return err
			}
			defer rows.Close()
			sum := 0
			for rows.Next() {
				var i int
				if err := rows.Scan(&i); err != nil {
					return err
				}
				sum += i
			}
			fmt.Fprint(w, sum)
			return rows.Err()
		},
		"sql endless": func(k *Keeper, ctx context.Context, w io.Writer) error {
			ctx, cancel := context.WithCancel(ctx)
			k.WaitUntil(func(context.Context) error { cancel(); return nil })
			var n int
			err := k.Storage().SQL().QueryRowContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n").Scan(&n)
			fmt.Fprint(w, errors.Is(err, context.Canceled))
			return nil
		},
		"sqlx": func(k *Keeper, ctx context.Context, w io.Writer) error {
			db := sqlx.NewDb(k.Storage().SQL(), "sqlite")
			db.MustExecContext(ctx, books.Schema)
			type author struct {
				ID   int64          `db:"id"`
				Name string         `db:"name"`
				Bio  sql.NullString `db:"bio"`
			}
			if _, err := db.NamedExecContext(ctx, "INSERT INTO authors (name, bio) VALUES (:name, :bio)", []author{{Name: "Ada"}, {Name: "Ben"}}); err != nil {
				return err
			}
			tx, err := db.BeginTxx(ctx, nil)
			if err != nil {
				return err
			}
			tx.MustExecContext(ctx, "DELETE FROM authors")
			if err := tx.Rollback(); err != nil {
				return err
			}
			var all []author
			query, args, err := sqlx.In("SELECT * FROM authors WHERE name IN (?) ORDER BY name", []string{"Ada", "Ben", "Cid"})
			if err != nil {
				return err
			}
			if err := db.SelectContext(ctx, &all, db.Rebind(query), args...); err != nil {
				return err
			}
			var one author
			if err := db.GetContext(ctx, &one, "SELECT * FROM authors WHERE id = ?", all[1].ID); err != nil {
				return err
			}
			fmt.Fprint(w, len(all), " ", one.Name, " ", one.Bio.Valid)
			return nil
		},
		"sqlc": func(k *Keeper, ctx context.Context, w io.Writer) error {
			db := k.Storage().SQL()
			if _, err := db.ExecContext(ctx, books.Schema); err != nil {
				return err
			}
			q := books.New(db)
			ada, err := q.CreateAuthor(ctx, books.CreateAuthorParams{Name: "Ada", Bio: sql.NullString{String: "first", Valid: true}})
			if err != nil {
				return err
			}
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if _, err := q.WithTx(tx).CreateAuthor(ctx, books.CreateAuthorParams{Name: "Ben"}); err != nil {
				return err
			}
			if err := tx.Commit(); err != nil {
				return err
			}
			all, err := q.ListAuthors(ctx)
			if err != nil {
				return err
			}
			n, err := q.DeleteAuthor(ctx, ada.ID)
			if err != nil {
				return err
			}
			_, err = q.GetAuthor(ctx, ada.ID)
			b, _ := json.Marshal(all[1])
			fmt.Fprint(w, len(all), " ", n, " ", errors.Is(err, sql.ErrNoRows), " ", string(b))
			return nil
		},
		"goose": func(k *Keeper, ctx context.Context, w io.Writer) error {
			migrations, err := fs.Sub(books.Migrations, "migrations")
			if err != nil {
				return err
			}
			p, err := goose.NewProvider(goose.DialectSQLite3, k.Storage().SQL(), migrations)
			if err != nil {
				return err
			}
			up, err := p.Up(ctx)
			if err != nil {
				return err
			}
			version, err := p.GetDBVersion(ctx)
			if err != nil {
				return err
			}
			if _, err := k.Storage().SQL().ExecContext(ctx, "INSERT INTO authors (name) VALUES (?)", fmt.Sprint("author ", len(up))); err != nil {
				return err
			}
			var bio string
			err = k.Storage().SQL().QueryRowContext(ctx, "SELECT bio FROM authors").Scan(&bio)
			fmt.Fprint(w, len(up), " ", version, " ", bio)
			return err
		},
	} {
		steps[name] = f
	}
}

func TestSQL(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.wantStep("keeper/types", "sql types", "int64 float64 string []uint8 <nil> true 2030-01-02 03:04:05.000006Z")
		h.wantStep("keeper/nested", "sql nested", "1:0 2:1 3:2 ")
		h.wantStep("keeper/tx", "sql transactions", "1 1 2")
		h.wantStep("keeper/tx", "sql count", "1")
		h.wantStep("keeper/features", "sql features", "a blue boat 1 red 4")
		h.wantStep("keeper/refusals", "sql refusals", "")
		h.wantStep("keeper/endless", "sql endless", "true")
	}, keeper)
}

func TestAMillionRowsPassThrough(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second or two")
	}
	conform(t, func(t *testing.T, h *harness) { h.wantStep("keeper/a", "sql million", "500000500000") }, keeper)
}

func TestToolsForSQLWorkOnRooms(t *testing.T) {
	conform(t, func(t *testing.T, h *harness) {
		h.wantStep("keeper/sqlx", "sqlx", "2 Ben false")
		h.wantStep("keeper/sqlc", "sqlc", `2 1 true {"ID":2,"Name":"Ben","Bio":{"String":"","Valid":false}}`)
		h.wantStep("keeper/goose", "goose", "2 2 unknown")
		h.wantStep("keeper/goose", "goose", "0 2 unknown") // migrations are done once
		if all := events[*inspect.RoomAborted](h, nil); len(all) > 0 {
			t.Errorf("a room was reset: %s", all[0].Reason)
		}
	}, keeper)
}
