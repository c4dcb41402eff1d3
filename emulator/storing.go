package emulator

import (
	"context"
	"database/sql/driver"
	"errors"
	"strconv"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage"
	"github.com/goparty/party/emulator/wire"
)

// database is a room's database with the cursors of its turn. Only the room's
// worker uses it, but for what says otherwise.
type database struct {
	*storage.Database
	cursors map[uint64]*storage.Cursor
	points  []int // open savepoints of the turn, as the database numbers them
	failed  error // of an operation that nobody waited for: the commit fails

	queries queries

	restoring bool // the next opening goes back to a bookmark
}

// gate holds back what an instance does behind a write until that has
// committed. It belongs to the room's owner.
type gate struct {
	wrote      bool        // the turn wrote, and has not committed
	committing bool        // a commit is on its way
	held       []operation // to be done once it has
	heldBytes  int
	backlog    []operation // came while a commit was on its way
	points     int         // open savepoints
	dirty      bool        // cursors or savepoints may have to be cleaned up
}

// heldMost is how much may be held before it commits early.
const heldMost = 4 << 20

// database returns the room's database. It is opened when it is first used.
func (r *room) database() *database {
	if r.db == nil {
		r.db = &database{
			Database: r.em.store.Room(r.address.Binding, r.id, storedName(r.address)),
			cursors:  map[uint64]*storage.Cursor{},
		}
	}
	if oldest := r.em.files.used(r); oldest != nil {
		// On a goroutine of its own: this one owns a room already.
		r.em.work.Go(func() { oldest.post(do(func(r *room) { r.restDatabase() })) })
	}
	return r.db
}

// closeDatabase drops what is not committed and closes the file.
func (r *room) closeDatabase() {
	db := r.db
	if db == nil {
		return
	}
	r.db = nil
	r.em.files.closed(r)
	db.queries.stop()
	r.leaving++ // another room of this name must not open the file meanwhile
	r.later(func() {
		defer r.post(do(func(r *room) { r.leaving-- }))
		db.endTurn()
		err := errors.Join(db.Rollback(), db.Close())
		if db.restoring {
			err = errors.Join(err, r.alarmRestored(db))
		}
		if err != nil {
			r.em.events.Publish(&inspect.Log{Header: inspect.Header{Room: r.name}, Level: "ERROR", Text: "closing the room's database: " + err.Error()})
		}
	})
}

// endTurn ends what a turn left open: cursors, and savepoints, which are undone.
func (db *database) endTurn() {
	for id := range db.cursors {
		db.closeCursor(id)
	}
	db.queries.forget()
	if len(db.points) > 0 {
		db.note(db.RollbackTo(db.points[0]))
		db.points = nil
	}
}

func (db *database) note(err error) {
	if err != nil && db.failed == nil {
		db.failed = err
	}
}

// passes decides what becomes of an operation now: it is done, or kept until a
// commit.
func (g *gate) passes(o operation) bool {
	switch m := o.m.(type) {
	case *wire.Log, *wire.Exception, *wire.Interrupt, *wire.Cancel, *wire.Sleep, *wire.Hold, *wire.RequestTurn, *wire.Abort, *wire.Left:
		return true
	case *wire.Send:
		return g.output(o, len(m.Data))
	case *wire.Broadcast:
		return g.output(o, len(m.Data))
	case *wire.Response:
		return g.output(o, len(m.Data))
	case *wire.Close, *wire.SetState, *wire.AutoRespond, *wire.SetTimer, *wire.StopTimer, *wire.Accept:
		return g.output(o, 0)
	}
	if g.committing {
		g.backlog = append(g.backlog, o)
		return false
	}
	return true
}

func (g *gate) output(o operation, size int) bool {
	switch {
	case g.committing:
		g.backlog = append(g.backlog, o)
	case g.wrote:
		g.held = append(g.held, o)
		g.heldBytes += size
	default:
		return true
	}
	return false
}

// commitsEarly reports whether what is held now must not wait for the turn's
// end. Within a Transaction nothing can commit.
func (g *gate) commitsEarly(m wire.Message) bool {
	if !g.wrote || g.committing || g.points > 0 {
		return false
	}
	r, ok := m.(*wire.Response)
	return ok && r.Flush || g.heldBytes > heldMost
}

// commit commits what the turn wrote, then lets out what was held, then calls
// then. Where the commit fails the room is reset.
func (r *room) commit(then func()) {
	in, db := r.inst, r.database()
	in.gate.committing = true
	fails := r.em.faults.take(r.address)
	r.later(func() {
		if fails {
			db.FailNextCommit(errForced)
		}
		change, err := db.Database.Commit()
		if db.failed != nil {
			err = db.failed
		}
		r.post(do(func(r *room) { r.committed(in, change, err, then) }))
	})
}

func (r *room) committed(in *instance, change storage.Committed, err error, then func()) {
	if err == nil {
		r.life.wrote(!change.Empty)
		r.alarmCommitted(change)
		r.em.events.Publish(&inspect.Commit{Header: r.header()})
	}
	if r.inst != in {
		return
	}
	if err != nil {
		r.life.failed("commit: "+err.Error(), r.em.clock.Now())
		r.em.events.Publish(&inspect.Log{Header: r.header(), Level: "ERROR", Text: "the commit failed, so what the turn wrote and sent is lost: " + err.Error()})
		in.spoiled = true
		r.abort("commit failed: "+err.Error(), errors.Is(err, errForced))
		return
	}
	g := &in.gate
	held, backlog := g.held, g.backlog
	g.wrote, g.committing, g.held, g.heldBytes, g.backlog = false, false, nil, 0, nil
	for _, o := range held {
		r.operate(o.m)
	}
	then()
	for _, o := range backlog {
		o.apply(r)
	}
}

// ended is a turn's Done: what it wrote commits first.
func (r *room) ended(m *wire.Done) {
	in := r.inst
	g := &in.gate
	r.alarmEnded(m)
	if g.dirty || g.points > 0 {
		g.dirty, g.points = false, 0
		db := r.database()
		r.later(db.endTurn)
	}
	if g.wrote {
		r.commit(func() { r.turnDone(m) })
		return
	}
	r.turnDone(m)
}

// wroteNow notes that the turn has written.
func (r *room) wroteNow() { r.inst.gate.wrote = true }

// store does a storage operation.
func (r *room) store(m wire.Message) {
	in, db, link := r.inst, r.database(), r.inst.gen.link
	reply := func(m wire.Message) {
		link.Send(m)
		link.Flush()
	}
	result := func(id uint64, value string, err error) {
		reply(&wire.Result{ID: id, Value: []byte(value), Err: storageFailure(err)})
	}
	switch m := m.(type) {
	case *wire.Get:
		r.later(func() {
			all, err := db.Get(m.Keys...)
			reply(&wire.Entries{ID: m.ID, Entries: toEntries(all), Err: storageFailure(err)})
		})
	case *wire.List:
		r.later(func() {
			o := storage.ListOptions{Start: m.Start, StartAfter: m.StartAfter, End: m.End, Prefix: m.Prefix, Reverse: m.Reverse}
			if m.Limit > 0 {
				o.Limit = &m.Limit
			}
			all, more, err := db.List(o, listShare)
			reply(&wire.Entries{ID: m.ID, Entries: toEntries(all), More: more, Err: storageFailure(err)})
		})
	case *wire.Put:
		r.wroteNow()
		r.later(func() { db.note(db.Put(fromEntries(m.Entries))) })
	case *wire.Delete:
		r.wroteNow()
		r.later(func() {
			n, err := db.Delete(m.Keys...)
			result(m.ID, strconv.Itoa(n), err)
		})
	case *wire.DeleteAll:
		r.wroteNow()
		in.alarmTouched = true
		r.later(func() { result(m.ID, "", db.DeleteAll()) })
	case *wire.SetAlarm:
		r.wroteNow()
		in.alarmTouched = true
		r.later(func() {
			if m.Time == 0 {
				db.note(db.DeleteAlarm())
			} else {
				db.note(db.SetAlarm(time.Unix(0, m.Time)))
			}
		})
	case *wire.Savepoint:
		in.gate.points = m.Number
		if m.Action != wire.SavepointOpen {
			in.gate.points--
		}
		r.later(func() { result(m.ID, "", db.savepoint(m)) })
	case *wire.Sync:
		if !in.gate.wrote {
			result(m.ID, "", nil)
			return
		}
		r.commit(func() { result(m.ID, "", nil) })
	case *wire.Query:
		in.gate.dirty = true
		ctx := db.queries.begin(r.em.ctx, m.Cursor)
		r.later(func() { reply(r.query(ctx, in, db, m)) })
	case *wire.NextRows:
		r.later(func() { reply(db.next(m)) })
	case *wire.CloseCursor:
		r.later(func() { db.closeCursor(m.Cursor) })
	case *wire.Interrupt:
		db.queries.interrupt(m.Cursor)
	case *wire.StorageCall:
		if m.What == wire.AskAlarm && in.alarmRuns && !in.alarmTouched {
			result(m.ID, "", nil)
			return
		}
		r.later(func() {
			text, err := db.answer(m)
			result(m.ID, text, err)
		})
	}
}

// How much of a listing or a result travels at once.
const (
	listShare = 256
	rowShare  = 256
	byteShare = 256 << 10
)

func (db *database) savepoint(m *wire.Savepoint) error {
	if m.Action == wire.SavepointOpen {
		n, err := db.Savepoint()
		if err == nil {
			db.points = append(db.points, n)
		}
		return err
	}
	if m.Number < 1 || m.Number > len(db.points) {
		return errors.New("this transaction has ended already")
	}
	n := db.points[m.Number-1]
	db.points = db.points[:m.Number-1]
	if m.Action == wire.SavepointUndo {
		return db.RollbackTo(n)
	}
	return db.Release(n)
}

// query runs a statement up to its first share of rows. That it wrote is known
// to the room's owner before the guest has the answer.
func (r *room) query(ctx context.Context, in *instance, db *database, m *wire.Query) *wire.Rows {
	args := make([]driver.NamedValue, len(m.Args))
	for i, a := range m.Args {
		args[i] = driver.NamedValue{Name: a.Name, Ordinal: i + 1, Value: a.Value}
	}
	c, err := db.Query(ctx, m.Text, args)
	if db.Dirty() {
		r.post(do(func(r *room) {
			if r.inst == in {
				r.wroteNow()
			}
		}))
	}
	if err != nil {
		db.queries.over(m.Cursor)
		return &wire.Rows{ID: m.ID, Err: storageFailure(err)}
	}
	rows := &wire.Rows{ID: m.ID}
	for _, col := range c.Columns() {
		rows.Columns = append(rows.Columns, wire.Column{Name: col.Name, Type: col.DeclType})
	}
	db.cursors[m.Cursor] = c
	db.share(m.Cursor, rows)
	return rows
}

func (db *database) next(m *wire.NextRows) *wire.Rows {
	rows := &wire.Rows{ID: m.ID}
	if db.cursors[m.Cursor] == nil {
		rows.Err = &wire.Failure{Code: wire.CodeClosed, Text: "this query has ended: with its turn, or because the database was deleted"}
		return rows
	}
	db.share(m.Cursor, rows)
	return rows
}

// share adds the next rows of a cursor, and closes it behind the last.
func (db *database) share(cursor uint64, rows *wire.Rows) {
	c := db.cursors[cursor]
	all, done, err := c.Next(rowShare, byteShare)
	rows.Rows, rows.Done, rows.Err = all, done, storageFailure(err)
	rows.LastInsertID, rows.RowsAffected = c.LastInsertID(), c.RowsAffected()
	if done || err != nil {
		db.closeCursor(cursor)
	}
}

func (db *database) closeCursor(cursor uint64) {
	if c := db.cursors[cursor]; c != nil {
		db.note(c.Close())
		db.queries.over(cursor)
		delete(db.cursors, cursor)
	}
}

func (db *database) answer(m *wire.StorageCall) (string, error) {
	switch m.What {
	case wire.AskAlarm:
		t, ok, err := db.Alarm()
		if err != nil || !ok {
			return "", err
		}
		return strconv.FormatInt(t.UnixNano(), 10), nil
	case wire.AskSize:
		n, err := db.Size()
		return strconv.FormatInt(n, 10), err
	case wire.AskBookmark:
		return db.CurrentBookmark()
	case wire.AskBookmarkForTime:
		return db.BookmarkForTime(time.Unix(0, m.Time))
	case wire.RestoreBookmark:
		undo, err := db.RestoreBookmark(m.Text)
		db.restoring = db.restoring || err == nil
		return undo, err
	}
	return "", errors.New("unknown question")
}

func storageFailure(err error) *wire.Failure {
	if err == nil {
		return nil
	}
	f := &wire.Failure{Text: err.Error()}
	return f
}

func toEntries(all []storage.Entry) []wire.Entry {
	out := make([]wire.Entry, len(all))
	for i, e := range all {
		out[i] = wire.Entry(e)
	}
	return out
}

func fromEntries(all []wire.Entry) []storage.Entry {
	out := make([]storage.Entry, len(all))
	for i, e := range all {
		out[i] = storage.Entry(e)
	}
	return out
}
