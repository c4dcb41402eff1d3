package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

func kvCommand() *cobra.Command {
	var (
		r             reach
		q             inspect.KVQuery
		write, remove bool
	)
	cmd := r.command(cobra.Command{
		Use:   "kv ROOM [KEY [VALUE]]",
		Short: "Show and change a room's keys",
		Long: `Show the keys of a room with their values, or the value of one key as JSON. The
room is not woken, and what a turn has not committed yet is not seen.

With --write, a VALUE (JSON; - reads it from the input) is written between two
turns of the room, and --delete removes the KEY.`,
		Example: "  party kv chat/lobby\n  party kv chat/lobby topic\n  party kv chat/lobby topic '\"tea\"' --write\n  party kv chat/lobby topic --delete --write",
		Args:    arguments(1, 3), ValidArgsFunction: r.keyArgs,
	}, func(cmd *cobra.Command, args []string) error {
		changes := len(args) == 3 || remove
		switch {
		case changes && !write:
			return usageError{errors.New("this changes the room's storage: say --write to do so")}
		case remove && len(args) != 2:
			return usageError{errors.New("--delete takes a ROOM and a KEY")}
		case write && !changes:
			return usageError{errors.New("--write needs a VALUE to write, or --delete")}
		}
		var value []byte
		if len(args) == 3 {
			var err error
			if value, err = argument(cmd, args[2]); err != nil {
				return err
			}
			if !json.Valid(value) {
				return usageError{fmt.Errorf("VALUE is no JSON: %s; a text needs quotes of its own: '%q'", value, value)}
			}
		}
		return r.with(cmd, func(ctx context.Context, c *control.Client) error {
			if changes {
				if err := c.Put(ctx, args[0], args[1], value); err != nil {
					return err
				}
				done := "wrote"
				if remove {
					done = "deleted"
				}
				return r.done(cmd, done, args[0], args[1])
			}
			if len(args) == 2 {
				q = inspect.KVQuery{Key: args[1]}
			}
			all, err := c.KV(ctx, args[0], q)
			if err != nil {
				return err
			}
			if len(args) == 2 {
				return r.printKey(ctx, cmd, c, args[0], args[1], all)
			}
			return r.printKeys(cmd, args[0], all)
		})
	})
	f := cmd.Flags()
	f.BoolVar(&write, "write", false, "allow changes")
	f.BoolVar(&remove, "delete", false, "delete the key")
	f.StringVar(&q.Prefix, "prefix", "", "only keys that begin so")
	f.StringVar(&q.After, "after", "", "only keys behind this one")
	f.IntVar(&q.Limit, "limit", 0, "at most so many (0: all)")
	return cmd
}

// keyArgs completes a room and then one of its keys.
func (r *reach) keyArgs(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return r.roomArgs(1)(cmd, args, typed)
	}
	var keys []string
	_ = r.with(cmd, func(ctx context.Context, c *control.Client) error {
		all, err := c.KV(ctx, args[0], inspect.KVQuery{Prefix: typed, Limit: 100})
		for _, kv := range all {
			keys = append(keys, kv.Key)
		}
		return err
	})
	return keys, cobra.ShellCompDirectiveNoFileComp
}

// argument is one given on the command line, or with "-" the input.
func argument(cmd *cobra.Command, s string) ([]byte, error) {
	if s != "-" {
		return []byte(s), nil
	}
	b, err := io.ReadAll(cmd.InOrStdin())
	return bytes.TrimSuffix(b, []byte("\n")), err
}

func (r *reach) printKey(ctx context.Context, cmd *cobra.Command, c *control.Client, room, key string, all []inspect.KV) error {
	if len(all) == 0 {
		hint := ""
		if have, err := c.KV(ctx, room, inspect.KVQuery{Limit: 1000}); err == nil {
			var keys []string
			for _, kv := range have {
				keys = append(keys, kv.Key)
			}
			if like := inspect.Similar(key, keys); like != "" {
				hint = fmt.Sprintf("; did you mean %q?", like)
			} else if len(keys) == 0 {
				hint = "; it has none"
			}
		}
		return fmt.Errorf("%s has no key %q%s", room, key, hint)
	}
	if r.json {
		return printJSON(cmd.OutOrStdout(), all[0])
	}
	out := cmd.OutOrStdout()
	if all[0].Value == nil { // bytes go on as they are, but not to a terminal
		if isTerminal(out) {
			_, err := fmt.Fprintf(out, "%x\n", all[0].Blob)
			return err
		}
		_, err := out.Write(all[0].Blob)
		return err
	}
	text := string(all[0].Value)
	if isTerminal(out) {
		var b bytes.Buffer
		if json.Indent(&b, all[0].Value, "", "  ") == nil {
			text = cleanBut(b.String(), "\n")
		}
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

func (r *reach) printKeys(cmd *cobra.Command, room string, all []inspect.KV) error {
	l := listing{table: table{head: []string{"KEY", "VALUE"}, flex: []int{1, 0}}, empty: room + " has no keys"}
	for _, kv := range all {
		value := string(kv.Value)
		if kv.Value == nil {
			value = fmt.Sprintf("%s: %x", plural(len(kv.Blob), "byte"), kv.Blob[:min(len(kv.Blob), 64)])
		}
		l.table.add(kv.Key, value)
		l.json = append(l.json, kv)
	}
	return r.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), l)
}

func sqlCommand() *cobra.Command {
	var (
		r     reach
		write bool
		limit int
	)
	cmd := r.command(cobra.Command{
		Use:   "sql ROOM QUERY",
		Short: "Ask a room's database",
		Long: `Run SQL on a room's database (- reads it from the input) without waking the room.
What a turn has not committed yet is not seen. SQLite lets nothing be written,
unless with --write, which runs it between two turns of the room and commits.`,
		Example: "  party sql todo/home 'SELECT * FROM items'\n  party sql todo/home \"UPDATE items SET done = 1\" --write",
		Args:    arguments(2, 2), ValidArgsFunction: r.roomArgs(1),
	}, func(cmd *cobra.Command, args []string) error {
		if limit < 0 {
			return usageError{errors.New("--limit cannot be negative")}
		}
		query, err := argument(cmd, args[1])
		if err != nil {
			return err
		}
		return r.with(cmd, func(ctx context.Context, c *control.Client) error {
			var rows *inspect.Rows
			if write {
				rows, err = c.Exec(ctx, args[0], string(query))
			} else {
				rows, err = c.SQL(ctx, args[0], string(query), limit)
			}
			if err != nil {
				return err
			}
			return r.printRows(cmd, rows, write)
		})
	})
	f := cmd.Flags()
	f.BoolVar(&write, "write", false, "allow changes")
	f.IntVar(&limit, "limit", 1000, "at most so many rows (0: all)")
	return cmd
}

func (r *reach) printRows(cmd *cobra.Command, rows *inspect.Rows, wrote bool) error {
	out := cmd.OutOrStdout()
	t := table{head: rows.Columns, right: map[int]bool{}}
	for i := range rows.Columns {
		t.right[i] = len(rows.Rows) > 0
		t.flex = append([]int{i}, t.flex...)
	}
	for _, row := range rows.Rows {
		if r.json {
			line, err := rowJSON(rows.Columns, row)
			if err == nil {
				_, err = out.Write(line)
			}
			if err != nil {
				return err
			}
			continue
		}
		cells := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case nil:
				cells[i] = "NULL"
			case []byte:
				cells[i] = fmt.Sprintf("x'%x'", v)
			default:
				cells[i] = fmt.Sprint(v)
			}
			switch v.(type) {
			case int64, float64, nil:
			default:
				t.right[i] = false
			}
		}
		t.add(cells...)
	}
	if len(rows.Columns) > 0 && !r.json {
		if err := t.write(out, styleOf(out), widthOf(out)); err != nil {
			return err
		}
	}
	if rows.More {
		fmt.Fprintln(cmd.ErrOrStderr(), "... there are more rows; --limit 0 shows all")
	}
	if wrote && len(rows.Columns) == 0 {
		if r.json {
			return printJSON(out, map[string]int64{"affected": rows.Affected})
		}
		fmt.Fprintf(out, "%s changed\n", plural(int(rows.Affected), "row"))
	}
	return nil
}

// rowJSON is an object with the columns in their order.
func rowJSON(columns []string, row []any) ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range row {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(columns[i])
		if err != nil {
			return nil, err
		}
		value, err := inspect.MarshalValue(v)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s:%s", name, value)
	}
	b.WriteString("}\n")
	return []byte(b.String()), nil
}
