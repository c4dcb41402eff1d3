package storage

import (
	"errors"
	"time"
)

const (
	alarmGet    = "SELECT value FROM _cf_METADATA WHERE key = 1"
	alarmPut    = "INSERT OR REPLACE INTO _cf_METADATA(key, value) VALUES (1, ?)"
	alarmDelete = "DELETE FROM _cf_METADATA WHERE key = 1"
)

// readAlarm is the alarm in ns as this transaction has it, 0 for none.
func (d *Database) readAlarm(c *conn) (int64, error) {
	if d.unborn && !d.begun {
		return 0, nil
	}
	return c.number(alarmGet)
}

// rememberAlarm notes the committed alarm before this transaction changes it.
func (d *Database) rememberAlarm(c *conn) error {
	if d.alarmSet {
		return nil
	}
	ns, err := d.readAlarm(c)
	if err == nil {
		d.alarm, d.alarmSet = ns, true
	}
	return err
}

// SetAlarm sets the room's one alarm as part of the transaction. The time is
// cut to milliseconds; a time in the past becomes now.
func (d *Database) SetAlarm(t time.Time) error {
	switch {
	case t.UnixMilli() <= 0:
		return errors.New("setAlarm() cannot be called with an alarm time <= 0")
	case t.UTC().Year() > 2189:
		return errors.New("This API doesn't support dates after 2189.")
	}
	if now := d.store.options.Now(); t.Before(now) {
		t = now
	}
	defer d.enter()()
	c, err := d.writing()
	if err != nil {
		return err
	}
	if err := d.rememberAlarm(c); err != nil {
		return d.failed(err)
	}
	return d.failed(c.run(alarmPut, nil, t.UnixMilli()*int64(time.Millisecond)))
}

// Alarm is the alarm as this transaction has it, and whether there is one.
func (d *Database) Alarm() (time.Time, bool, error) {
	defer d.enter()()
	c, err := d.reading()
	if c == nil || err != nil {
		return time.Time{}, false, err
	}
	ns, err := d.readAlarm(c)
	if ns == 0 || err != nil {
		return time.Time{}, false, d.failed(err)
	}
	return time.Unix(0, ns), true, nil
}

// DeleteAlarm removes the alarm as part of the transaction; without one it
// does nothing.
func (d *Database) DeleteAlarm() error {
	defer d.enter()()
	c, err := d.reading()
	if c == nil || err != nil {
		return err
	}
	if ns, err := d.readAlarm(c); ns == 0 || err != nil {
		return d.failed(err)
	}
	if c, err = d.writing(); err != nil {
		return err
	}
	if err := d.rememberAlarm(c); err != nil {
		return d.failed(err)
	}
	return d.failed(c.run(alarmDelete, nil))
}
