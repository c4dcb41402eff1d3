package tui

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// source is something of a room's storage that has rows.
type source struct {
	table string // "": the keys
	query string // instead: what was asked
	rows  int64
}

func (s source) same(o source) bool { return s.table == o.table && s.query == o.query }

func (s source) title() string {
	switch {
	case s.query != "":
		return "query"
	case s.table != "":
		return clean(s.table)
	}
	return "keys"
}

// storageTab shows what a room has stored, one page of rows at a time.
type storageTab struct {
	room    string
	sources []source // keys, tables, and the last query
	at      int
	list    list

	columns []string
	rows    [][]cell
	first   int      // number of the first row
	after   []string // the key that each page of keys begins behind
	more    bool     // rows behind these
	loading bool
	dirty   bool // something was written since
	failed  string
	asked   int // number of the last load: what came of others is dropped
	toEnd   bool
	past    past
}

// cell is one value: as it is shown in a row, and whole.
type cell struct {
	role  role
	short string
	text  string
	bytes []byte
}

// storageMsg is a page of rows.
type storageMsg struct {
	room    string
	asked   int
	source  source
	columns []string
	rows    [][]cell
	more    bool
	err     error
}

// pageRows is how many rows are asked for at once.
const pageRows = 200

func storageBindings() []binding {
	return []binding{
		{scope: inStorage, keys: []string{"right", "l"}, name: "next-table", short: "next table", foot: 2,
			help: "the next of keys, tables and query", run: func(m *model) tea.Cmd { return m.room.storage.turn(m, 1) }},
		{scope: inStorage, keys: []string{"left"}, name: "table-before", short: "table before",
			help: "the one before", run: func(m *model) tea.Cmd { return m.room.storage.turn(m, -1) }},
		{scope: inStorage, keys: []string{"i"}, name: "sql", short: "SQL", foot: 1,
			help: "ask with SQL; what writes asks first", run: (*model).askSQL},
		{scope: inStorage, keys: []string{"enter"}, name: "show-row", short: "show", foot: 2,
			help: "show the chosen row in full", run: (*model).layOut, off: needRow},
		{scope: inStorage, keys: []string{"E"}, name: "edit", short: "edit",
			help: "edit the chosen key's JSON", run: (*model).editKey, off: needKey},
		{scope: inStorage, keys: []string{"D"}, name: "delete", short: "delete",
			help: "delete the chosen key (asks first)", run: (*model).deleteKey, off: needKey},
		{scope: inStorage, keys: []string{"y"}, name: "copy-row", short: "copy",
			help: "copy the chosen value or row", run: (*model).copyRow, off: needRow},
		{scope: inStorage, keys: []string{"ctrl+r"}, name: "refresh", short: "refresh",
			help: "read it again; that happens by itself when the room commits", run: func(m *model) tea.Cmd { return m.room.storage.load(m) }},
	}
}

func needRow(m *model) string {
	if t := &m.room.storage; t.list.at >= len(t.rows) {
		return "there is no row"
	}
	return ""
}

func needKey(m *model) string {
	if s := m.room.storage.source(); s.table != "" || s.query != "" {
		return "this is no key; change rows with SQL (i)"
	}
	return needRow(m)
}

func (t *storageTab) source() source {
	if t.at < len(t.sources) {
		return t.sources[t.at]
	}
	return source{}
}

// takeTables takes over what there is to look at.
func (t *storageTab) takeTables(m *model, d *inspect.RoomDetail) tea.Cmd {
	now := t.source()
	all := []source{{rows: int64(d.Keys)}}
	for _, table := range d.Tables {
		all = append(all, source{table: table.Name, rows: table.Rows})
	}
	for _, s := range t.sources {
		if s.query != "" {
			all = append(all, s)
		}
	}
	began := t.sources == nil
	t.sources = all
	t.at = max(slices.IndexFunc(all, now.same), 0)
	if began && d.Keys == 0 && len(d.Tables) > 0 {
		t.at = 1 // where there is something
	}
	if began || !t.source().same(now) {
		return t.restart(m)
	}
	return nil
}

// turn goes to another source.
func (t *storageTab) turn(m *model, by int) tea.Cmd {
	if len(t.sources) == 0 {
		return nil
	}
	return t.turnTo(m, (t.at+by+len(t.sources))%len(t.sources))
}

func (t *storageTab) turnTo(m *model, at int) tea.Cmd {
	t.at = at
	return t.restart(m)
}

// restart begins with a source's first row.
func (t *storageTab) restart(m *model) tea.Cmd {
	t.first, t.after, t.rows, t.columns, t.failed = 0, nil, nil, nil, ""
	t.list.at = 0
	m.room.laid = m.room.laid && m.room.tab == tabStorage
	return t.load(m)
}

// load reads the page again.
func (t *storageTab) load(m *model) tea.Cmd {
	t.asked++
	t.loading, t.dirty = true, false
	msg := storageMsg{room: t.room, asked: t.asked, source: t.source()}
	first, after := t.first, ""
	if n := len(t.after); n > 0 {
		after = t.after[n-1]
	}
	em, parent := m.o.Emulator, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, actionLimit)
		defer cancel()
		switch s := msg.source; {
		case s.query != "":
			msg.set(em.SQL(ctx, msg.room, s.query, 10*pageRows))
		case s.table != "":
			q := fmt.Sprintf("SELECT * FROM %s LIMIT %d OFFSET %d", quote(s.table), pageRows+1, first)
			msg.set(em.SQL(ctx, msg.room, q, pageRows))
		default:
			kvs, err := em.KV(ctx, msg.room, inspect.KVQuery{After: after, Limit: pageRows + 1})
			msg.err = err
			if msg.more = len(kvs) > pageRows; msg.more {
				kvs = kvs[:pageRows]
			}
			msg.columns = []string{"Key", "Value"}
			for _, kv := range kvs {
				v := cell{role: dim, short: clean(keep(string(kv.Value))), text: string(kv.Value)}
				if kv.Blob != nil {
					v = bytesCell(kv.Blob)
				}
				msg.rows = append(msg.rows, []cell{{short: clean(kv.Key), text: kv.Key}, v})
			}
		}
		return msg
	}
}

// quote writes a name as SQL does.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (msg *storageMsg) set(rows *inspect.Rows, err error) {
	if msg.err = err; err != nil || rows == nil {
		return
	}
	msg.columns, msg.more = rows.Columns, rows.More
	for _, row := range rows.Rows {
		cells := make([]cell, len(row))
		for i, v := range row {
			cells[i] = cellOf(v)
		}
		msg.rows = append(msg.rows, cells)
	}
}

func cellOf(v any) cell {
	switch v := v.(type) {
	case nil:
		return cell{role: faint, short: "NULL", text: "NULL"}
	case []byte:
		return bytesCell(v)
	case string:
		return cell{short: clean(keep(v)), text: v}
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		return cell{role: warn, short: s, text: s}
	}
	s := fmt.Sprint(v)
	return cell{role: warn, short: s, text: s}
}

func bytesCell(b []byte) cell {
	return cell{role: dim, short: hex.EncodeToString(b[:min(len(b), 64)]), bytes: b}
}

// take takes over a page.
func (t *storageTab) take(m *model, msg storageMsg) tea.Cmd {
	if msg.room != t.room || msg.asked != t.asked {
		return nil
	}
	t.loading = false
	if t.failed = ""; msg.err != nil {
		t.failed = msg.err.Error()
		t.rows = nil
		return nil
	}
	t.columns, t.rows, t.more = msg.columns, msg.rows, msg.more
	if t.toEnd {
		t.list.at, t.toEnd = len(t.rows)-1, false
	}
	t.list.fit(len(t.rows), t.list.h)
	return nil
}

// changed is told that the room's storage was written.
func (t *storageTab) changed(m *model) tea.Cmd {
	if t.loading || t.dirty {
		return nil
	}
	t.dirty = true // a busy room is read again once a second
	return tea.Tick(time.Second/2, func(time.Time) tea.Msg {
		return clicked{func(m *model) tea.Cmd {
			if m.room == nil || &m.room.storage != t || !t.dirty || t.source().query != "" {
				return nil
			}
			return t.load(m)
		}}
	})
}

// moved turns pages where the cursor wants to leave this one.
func (t *storageTab) moved(m *model, moved bool, by int) tea.Cmd {
	if moved || t.loading || t.source().query != "" {
		return nil
	}
	switch {
	case by > 0 && t.more && len(t.rows) > 0:
		t.first += len(t.rows)
		t.after = append(t.after, t.rows[len(t.rows)-1][0].text)
		t.list.at = 0
	case by < 0 && t.first > 0:
		t.first = max(t.first-pageRows, 0)
		if n := len(t.after); n > 0 {
			t.after = t.after[:n-1]
		}
		t.toEnd = true
	default:
		return nil
	}
	return t.load(m)
}

func (m *model) askSQL() tea.Cmd {
	t := &m.room.storage
	return m.ask(input{
		label: "SQL", hint: "SELECT ...", past: &t.past,
		enter: func(m *model, text string) tea.Cmd {
			if text = strings.TrimSpace(text); text == "" || m.room == nil {
				return nil
			}
			if writes(text) {
				return m.confirmWrite(text)
			}
			return m.room.storage.query(m, text)
		},
	}, "")
}

// writes reports whether a query begins as those do that change something. One
// that does so otherwise is refused when it is run.
func writes(query string) bool {
	word, _, _ := strings.Cut(strings.ToUpper(strings.TrimLeft(query, " \t(")), " ")
	return slices.Contains([]string{"INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "REINDEX"}, word)
}

// query shows what a question finds.
func (t *storageTab) query(m *model, text string) tea.Cmd {
	if n := len(t.sources); n > 0 && t.sources[n-1].query != "" {
		t.sources = t.sources[:n-1]
	}
	if len(t.sources) == 0 {
		t.sources = []source{{}}
	}
	t.sources = append(t.sources, source{query: text})
	return t.turnTo(m, len(t.sources)-1)
}

func (m *model) confirmWrite(text string) tea.Cmd {
	room, em := m.room.name, m.o.Emulator
	m.confirm(warn, "Write to the storage of "+clean(room)+"?\n"+text, "run it between two turns, and commit", func(m *model) tea.Cmd {
		return m.do("writing", actionLimit, func(ctx context.Context) (string, error) {
			rows, err := em.Exec(ctx, room, text)
			if err != nil {
				return "", err
			}
			return plural(rows.Affected, "row") + " changed", nil
		}, reread)
	})
	return nil
}

// reread shows what was written.
func reread(m *model, err error) tea.Cmd {
	if err != nil {
		m.sayError(err)
	}
	if m.room == nil || m.room.tab != tabStorage {
		return nil
	}
	return m.room.storage.load(m)
}

func (m *model) editKey() tea.Cmd {
	t := &m.room.storage
	row := t.rows[t.list.at]
	if row[1].bytes != nil {
		m.say(warn, "this value is bytes; only JSON can be edited here")
		return nil
	}
	room, key, em := m.room.name, row[0].text, m.o.Emulator
	return m.ask(input{
		label: clean(key), hint: "JSON",
		enter: func(m *model, text string) tea.Cmd {
			return m.do("writing "+clean(key), actionLimit, func(ctx context.Context) (string, error) {
				return clean(key) + " is written", em.Put(ctx, room, key, []byte(text))
			}, reread)
		},
	}, row[1].text)
}

func (m *model) deleteKey() tea.Cmd {
	t := &m.room.storage
	room, key, em := m.room.name, t.rows[t.list.at][0].text, m.o.Emulator
	m.confirm(warn, "Delete the key "+clean(key)+" of "+clean(room)+"?", "delete it", func(m *model) tea.Cmd {
		return m.do("deleting "+clean(key), actionLimit, func(ctx context.Context) (string, error) {
			return clean(key) + " is deleted", em.Put(ctx, room, key, nil)
		}, reread)
	})
	return nil
}

func (m *model) copyRow() tea.Cmd {
	t := &m.room.storage
	row := t.rows[t.list.at]
	if s := t.source(); s.table == "" && s.query == "" {
		row = row[1:]
	}
	var parts []string
	for _, c := range row {
		if c.bytes != nil {
			parts = append(parts, hex.EncodeToString(c.bytes))
		} else {
			parts = append(parts, c.text)
		}
	}
	text := strings.Join(parts, "\t")
	return m.copy(text, text)
}
