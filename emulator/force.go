package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage"
	"github.com/goparty/party/emulator/wire"
)

// What a person may do to rooms. Everything shows in the stream of events, as
// forced.

// ErrAsleep is what forcing an instance out of a room without one answers.
var ErrAsleep = errors.New("the room is not in memory")

// hibernateWait is how long Hibernate waits, of machine time, for what a room
// does just now: whoever has seen an answer may be ahead of the end of its turn.
const hibernateWait = 100 * time.Millisecond

// Hibernate drops a room's memory and keeps its connections. It refuses, with
// the reasons, a room that could not hibernate by itself and that does not come
// to rest in a moment, unless forced. A room already asleep is fine.
func (e *Emulator) Hibernate(ctx context.Context, name string, force bool) (err error) {
	patience, cancel := context.WithTimeout(ctx, hibernateWait)
	defer cancel()
	poll(patience, func() bool {
		var why []string
		err = e.force(ctx, name, func(r *room) error {
			if r.inst == nil {
				return nil
			}
			if why = r.awake(); len(why) > 0 && !force {
				return fmt.Errorf("%s cannot hibernate now: %s; force it (--force) to drop that", r.name, joinReasons(why))
			}
			r.hibernate(true)
			return nil
		})
		return err == nil || len(why) == 0
	})
	return err
}

// Evict drops a room's memory as the platform would: connections of classes
// that hibernate stay, others are cut. It works on a room whose hook hangs.
func (e *Emulator) Evict(ctx context.Context, name string) error {
	return e.force(ctx, name, func(r *room) error {
		if r.inst == nil {
			return fmt.Errorf("%s: %w", r.name, ErrAsleep)
		}
		r.evict("asked for", true)
		return nil
	})
}

// Abort resets a room: what is not committed is lost and every connection is
// cut. It works on a room whose hook hangs.
func (e *Emulator) Abort(ctx context.Context, name string) error {
	return e.force(ctx, name, func(r *room) error {
		if r.inst == nil && len(r.conns) == 0 {
			return fmt.Errorf("%s: %w", r.name, ErrAsleep)
		}
		r.abort("asked for", true)
		return nil
	})
}

// force runs f as r's owner. A room that does not exist is not made for it.
func (e *Emulator) force(ctx context.Context, name string, f func(r *room) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, err := e.parse(name)
	if err != nil {
		return err
	}
	e.mu.RLock()
	r := e.rooms[a]
	e.mu.RUnlock()
	if r == nil {
		if _, err := e.find(name); err != nil {
			return err
		}
		return f(newRoom(e, a))
	}
	if !r.do(func() { err = f(r) }) {
		return e.force(ctx, name, f) // forgotten meanwhile
	}
	return err
}

// Reset implements [inspect.Actor].
func (e *Emulator) Reset(ctx context.Context, name string) error {
	a, err := e.find(name)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	e.doAt(a, func(r *room) {
		if r.inst != nil || len(r.conns) > 0 {
			r.abort("reset", true)
		}
		r.props = nil
		e.faults.take(a)
		if e.alarm(a) != nil {
			e.deleteAlarm(a)
			e.events.Publish(&inspect.AlarmSet{Header: inspect.Header{Room: r.name, Forced: true}, Deleted: true})
		}
		db := r.database() // of before is being closed
		r.later(func() {
			err := db.Remove()
			r.post(do(func(r *room) {
				if err == nil {
					e.life(a).wrote(false)
					e.events.Publish(&inspect.RoomReset{Header: inspect.Header{Room: r.name, Forced: true}})
				}
				if r.inst == nil && len(r.queue) == 0 {
					r.closeDatabase()
				}
				done <- err
			}))
		})
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s is being reset, which goes on: %w", name, ctx.Err())
	}
}

// SetAlarm implements [inspect.Actor].
func (e *Emulator) SetAlarm(ctx context.Context, name string, at time.Time) error {
	return e.write(ctx, name, write{f: func(_ context.Context, db *storage.Database) error {
		if at.IsZero() {
			return db.DeleteAlarm()
		}
		return db.SetAlarm(at)
	}})
}

// How much of a result is kept of what Exec reads.
const (
	execRows  = 1000
	execBytes = 4 << 20
)

// Exec implements [inspect.Actor].
func (e *Emulator) Exec(ctx context.Context, name, query string) (*inspect.Rows, error) {
	rows := &inspect.Rows{}
	err := e.write(ctx, name, write{
		f: func(ctx context.Context, db *storage.Database) error {
			c, err := db.Query(ctx, query, nil)
			if err != nil {
				return err
			}
			defer c.Close()
			for _, col := range c.Columns() {
				rows.Columns = append(rows.Columns, col.Name)
			}
			all, done, err := c.Next(execRows, execBytes)
			rows.Rows, rows.More = all, !done
			if err != nil {
				return err
			}
			for !done { // or it would not all be written
				if _, done, err = c.Next(execRows, execBytes); err != nil {
					return err
				}
			}
			rows.Affected = c.RowsAffected()
			return nil
		},
		note: func(h inspect.Header) inspect.Event {
			return &inspect.StorageWritten{Header: h, SQL: shorten(query), Affected: rows.Affected}
		},
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// shorten bounds the text of an event.
func shorten(s string) string {
	if len(s) <= inspect.PayloadKept {
		return s
	}
	return strings.ToValidUTF8(s[:inspect.PayloadKept], "") + "..."
}

// Put implements [inspect.Actor].
func (e *Emulator) Put(ctx context.Context, name, key string, value []byte) error {
	if value != nil && !json.Valid(value) {
		return fmt.Errorf("the value is no JSON: %q; a text needs quotes of its own, such as '\"text\"'", shorten(string(value)))
	}
	return e.write(ctx, name, write{
		f: func(_ context.Context, db *storage.Database) error {
			if value == nil {
				n, err := db.Delete(key)
				if err == nil && n == 0 {
					err = fmt.Errorf("%s has no key %q", name, key)
				}
				return err
			}
			return db.Put([]storage.Entry{{Key: key, Value: value}})
		},
		note: func(h inspect.Header) inspect.Event {
			return &inspect.StorageWritten{Header: h, Key: key, Deleted: value == nil}
		},
	})
}

// Send implements [inspect.Actor].
func (e *Emulator) Send(ctx context.Context, name, id string, binary bool, data []byte) (int, error) {
	if len(data) > maxMessage {
		return 0, fmt.Errorf("the message is too large: %d bytes, and %d are allowed", len(data), maxMessage)
	}
	data = outgoing(binary, data)
	return e.each(ctx, name, id, func(c *connection) bool {
		if !c.listed() || c.sent || c.gone {
			return false
		}
		h := c.room.header()
		h.Forced = true
		e.events.Publish(&inspect.MessageOut{Header: h, Connection: c.id, Count: 1, Payload: e.events.Payload(binary, data)})
		c.send(opcode(binary), data)
		return true
	})
}

// Cut implements [inspect.Actor].
func (e *Emulator) Cut(ctx context.Context, name, id string) (int, error) {
	return e.each(ctx, name, id, func(c *connection) bool {
		if c.sock == nil {
			return false
		}
		c.lost = true
		h := c.room.header()
		h.Forced = true
		e.events.Publish(&inspect.ConnectionCut{Header: h, Connection: c.id})
		c.sock.tear() // the reader sees it
		return true
	})
}

// Delay implements [inspect.Actor].
func (e *Emulator) Delay(ctx context.Context, name, id string, d time.Duration) (int, error) {
	if d < 0 {
		return 0, errors.New("a delay cannot be negative: use 0 to end it")
	}
	return e.each(ctx, name, id, func(c *connection) bool {
		if c.cut || c.delay == d {
			return !c.cut
		}
		c.delay = d
		if c.sock != nil {
			c.sock.slow(e, d)
		}
		h := c.room.header()
		h.Forced = true
		e.events.Publish(&inspect.ConnectionDelayed{Header: h, Connection: c.id, Delay: d})
		return true
	})
}

// each runs f for the connections of a room with an id, or for all, and counts
// those for which it reports true. An id that the room does not have is an
// error.
func (e *Emulator) each(ctx context.Context, name, id string, f func(c *connection) bool) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	a, err := e.find(name)
	if err != nil {
		return 0, err
	}
	n, found := 0, id == ""
	var ids []string
	e.doAt(a, func(r *room) {
		for _, c := range slices.Clone(r.conns) {
			ids = append(ids, c.id)
			if id != "" && c.id != id {
				continue
			}
			found = true
			if f(c) {
				n++
			}
		}
	})
	if !found {
		return 0, e.noConnection(name, id, ids)
	}
	return n, nil
}

// noConnection is the error for an id that no connection of a room bears.
func (e *Emulator) noConnection(name, id string, ids []string) error {
	hint := "it has none"
	if like := inspect.Similar(id, ids); like != "" {
		hint = "did you mean " + like + "?"
	} else if len(ids) > 0 {
		const most = 5
		if more := len(ids) - most; more > 0 {
			ids = append(ids[:most:most], fmt.Sprintf("and %d more", more))
		}
		hint = "it has " + strings.Join(ids, ", ")
	}
	return fmt.Errorf("%s has no connection %q; %s", name, id, hint)
}

// errForced is what a commit fails with that was made to fail.
var errForced = errors.New("it was made to fail")

// faults are the rooms whose next commit is to fail.
type faults struct {
	armed atomic.Int32 // so that commits need not look
	rooms sync.Map     // of wire.Address
}

func (f *faults) arm(a wire.Address) {
	if _, was := f.rooms.LoadOrStore(a, nil); !was {
		f.armed.Add(1)
	}
}

// take reports whether the commit that a room makes now is to fail.
func (f *faults) take(a wire.Address) bool {
	if f.armed.Load() == 0 {
		return false
	}
	_, was := f.rooms.LoadAndDelete(a)
	if was {
		f.armed.Add(-1)
	}
	return was
}

// FailCommit implements [inspect.Actor].
func (e *Emulator) FailCommit(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, err := e.find(name)
	if err != nil {
		return err
	}
	e.doAt(a, func(r *room) {
		h := r.header()
		h.Forced = true
		e.faults.arm(a)
		e.events.Publish(&inspect.CommitFailing{Header: h})
	})
	return nil
}
