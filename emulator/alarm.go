package emulator

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goparty/party/emulator/clock"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/storage"
	"github.com/goparty/party/emulator/wire"
)

// The platform's schedule of retries (workerd: server/alarm-scheduler).
const (
	alarmFirst   = 2 * time.Second // doubled for each retry
	alarmTries   = 6               // retries, then the alarm is given up
	alarmBackoff = 9               // doublings at most
	alarmJitter  = 4               // up to a quarter of the delay on top
)

// alarm is a room's alarm as the clock knows it. The room's file is the truth;
// this is when it is looked at. It belongs to Emulator.alarmMu.
type alarm struct {
	scheduled time.Time // what SetAlarm was given
	due       time.Time // scheduled, or the time of a retry
	retries   int
	indexed   bool // read from the index
	entry     *clock.Entry
}

// setAlarm replaces what the clock knows of a room's alarm.
func (e *Emulator) setAlarm(a wire.Address, al *alarm) {
	e.alarmMu.Lock()
	defer e.alarmMu.Unlock()
	if old := e.alarms[a]; old != nil {
		old.entry.Stop()
	}
	al.entry = e.clock.At(al.due, clock.Alarm, a.String(), func() { e.fire(a, al) })
	e.alarms[a] = al
}

func (e *Emulator) deleteAlarm(a wire.Address) {
	e.alarmMu.Lock()
	defer e.alarmMu.Unlock()
	if old := e.alarms[a]; old != nil {
		old.entry.Stop()
		delete(e.alarms, a)
	}
}

// alarm is what the clock knows of a room's alarm, or nil.
func (e *Emulator) alarm(a wire.Address) *alarm {
	e.alarmMu.Lock()
	defer e.alarmMu.Unlock()
	return e.alarms[a]
}

// loadAlarms sets the clock for the alarms that are on disk.
func (e *Emulator) loadAlarms() error {
	all, err := e.store.Rooms()
	if err != nil {
		return err
	}
	for _, r := range all {
		e.life(addressOf(r)).wrote(true)
		if r.HasAlarm {
			e.setAlarm(addressOf(r), &alarm{scheduled: r.Alarm, due: r.Alarm, indexed: true})
		}
	}
	return nil
}

// addressOf finds the address of a stored room.
func addressOf(r storage.RoomInfo) wire.Address {
	if jurisdiction, name, ok := strings.Cut(r.Name, "\x00"); ok {
		return wire.Address{Binding: r.Binding, Name: name, Jurisdiction: jurisdiction}
	}
	return wire.Address{Binding: r.Binding, Name: r.Name}
}

// storedName is the name that a room's file keeps.
func storedName(a wire.Address) string {
	if a.Jurisdiction != "" {
		return a.Jurisdiction + "\x00" + a.Name
	}
	return a.Name
}

// fire queues the turn of an alarm that is due. What was read from the index may
// be earlier than the truth after a crash, so the room's file is asked first.
func (e *Emulator) fire(a wire.Address, al *alarm) {
	e.doAt(a, func(r *room) {
		if !al.indexed {
			r.alarmDue(al, false)
			return
		}
		db := r.database()
		r.later(func() {
			at, ok, err := db.Alarm()
			r.post(do(func(r *room) { r.alarmRead(al, at, ok, err) }))
		})
	})
}

// alarmRead compares an alarm of the index with what the room's file says.
func (r *room) alarmRead(al *alarm, at time.Time, ok bool, err error) {
	switch {
	case r.em.alarm(r.address) != al: // set anew meanwhile
	case err != nil:
		r.em.events.Publish(&inspect.Log{Header: r.header(), Level: "ERROR", Text: "the alarm cannot be read: " + err.Error()})
	case !ok:
		r.em.deleteAlarm(r.address)
	case at.After(al.scheduled):
		r.em.setAlarm(r.address, &alarm{scheduled: at, due: at})
	default:
		r.alarmDue(al, false)
	}
	if r.inst == nil && len(r.queue) == 0 {
		r.closeDatabase()
	}
}

// alarmDue queues the alarm's turn, unless it waits or runs already.
func (r *room) alarmDue(al *alarm, forced bool) {
	if r.alarm != nil || r.em.alarm(r.address) != al {
		return
	}
	ev := &event{kind: kindAlarm, payload: &wire.RunAlarm{RetryCount: al.retries, Scheduled: al.scheduled.UnixNano()}}
	r.alarm = al
	r.em.events.Publish(&inspect.AlarmFired{
		Header: inspect.Header{Room: r.name, Forced: forced}, Scheduled: al.scheduled, Retry: al.retries,
	})
	ev.done = func(m *wire.Done) {
		r.alarm = nil
		switch {
		case r.em.alarm(r.address) != al: // set anew or deleted meanwhile
		case m.Err != nil:
			r.retryAlarm(al)
		}
	}
	ev.failed = func(f *wire.Failure) { ev.done(&wire.Done{Err: f}) }
	r.enqueue(ev)
}

// alarmStarts notes that the alarm's turn goes to the guest. An alarm that was
// moved meanwhile does not run.
func (r *room) alarmStarts() bool {
	if r.em.alarm(r.address) != r.alarm {
		r.alarm = nil
		return false
	}
	r.inst.alarmRuns, r.inst.alarmTouched = true, false
	return true
}

// alarmEnded lets the alarm's own end be a part of its turn's commit: where its
// hook succeeded, or failed once too often, and set no other.
func (r *room) alarmEnded(m *wire.Done) {
	in := r.inst
	if !in.alarmRuns || in.starting {
		return
	}
	in.alarmRuns = false
	if in.alarmTouched {
		return
	}
	if m.Err != nil && r.alarm != nil && r.alarm.retries < alarmTries {
		return
	}
	if m.Err != nil {
		r.em.events.Publish(&inspect.AlarmGivenUp{Header: r.header(), Error: m.Err.Text})
	}
	db := r.database()
	r.wroteNow()
	r.later(func() { db.note(db.DeleteAlarm()) })
}

// retryAlarm lets an alarm whose turn failed run again later.
func (r *room) retryAlarm(al *alarm) {
	if al.retries >= alarmTries {
		// Its turn did not get to a commit that deletes it.
		r.giveUpAlarm(al)
		return
	}
	delay := alarmFirst << min(al.retries, alarmBackoff)
	delay += time.Duration(r.em.random(int64(delay/alarmJitter)/int64(time.Millisecond))) * time.Millisecond
	due := r.em.clock.Now().Add(delay)
	r.em.setAlarm(r.address, &alarm{scheduled: al.scheduled, due: due, retries: al.retries + 1})
	r.em.events.Publish(&inspect.AlarmRetried{Header: r.header(), Retry: al.retries + 1, Due: due})
}

func (r *room) giveUpAlarm(al *alarm) {
	r.em.events.Publish(&inspect.AlarmGivenUp{Header: r.header(), Error: fmt.Sprintf("it failed %d times", al.retries+1)})
	db := r.database()
	r.later(func() {
		db.note(db.DeleteAlarm())
		change, err := db.Database.Commit()
		r.post(do(func(r *room) {
			if err == nil {
				r.alarmCommitted(change)
			}
			if r.inst == nil {
				r.closeDatabase()
			}
		}))
	})
}

// alarmCommitted brings a committed change of the alarm to the clock.
func (r *room) alarmCommitted(c storage.Committed) {
	if !c.AlarmChanged {
		return
	}
	if !c.HasAlarm {
		r.em.deleteAlarm(r.address)
		r.em.events.Publish(&inspect.AlarmSet{Header: r.header(), Deleted: true})
		return
	}
	r.em.setAlarm(r.address, &alarm{scheduled: c.Alarm, due: c.Alarm})
	r.em.events.Publish(&inspect.AlarmSet{Header: r.header(), At: c.Alarm})
}

// alarmRestored brings the clock what alarm there is after the database went
// back to a bookmark, which happens when it is opened here.
func (r *room) alarmRestored(db *database) error {
	t, ok, err := db.Alarm()
	switch {
	case err != nil:
	case ok:
		r.em.setAlarm(r.address, &alarm{scheduled: t, due: t})
	default:
		r.em.deleteAlarm(r.address)
	}
	return errors.Join(err, db.Close())
}
