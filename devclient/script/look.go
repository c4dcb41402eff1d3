package script

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

// looking is what commands that look begin with: a running server that is quiet.
func (s *session) looking() (*server, error) {
	server, err := s.running()
	if err != nil {
		return nil, err
	}
	return server, s.quiet()
}

// lookingAt is what those begin with that look at one room, their first argument.
func (s *session) lookingAt(args []string, least, most int) (server *server, room string, err error) {
	if err := s.count(args, least, most); err != nil {
		return nil, "", err
	}
	if server, err = s.looking(); err != nil {
		return nil, "", err
	}
	room = roomName(args[0])
	s.involve(room)
	return server, room, nil
}

// lived is what a room has been since the first start.
func (s *session) lived(room string) emulator.Past {
	before, now := s.past[room], s.server.em.Past()[room]
	now.Starts += before.Starts
	if now.Generation == 0 {
		now.Generation = before.Generation
	}
	return now
}

func (s *session) room(_ bool, args []string) error {
	if len(args) < 1 {
		return s.misuse("too few arguments")
	}
	wanted, err := s.facts(args[1:])
	if err != nil {
		return err
	}
	server, err := s.looking()
	if err != nil {
		return err
	}
	name := roomName(args[0])
	s.involve(name)
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	for {
		d, err := server.em.Room(s.runner.ctx, name)
		if err != nil && (d == nil || !errors.Is(err, inspect.ErrNoRoom)) {
			return err
		}
		wrong := differences(d, s.lived(name), wanted)
		if len(wrong) == 0 {
			return nil
		}
		// Work of the older code may take a moment to notice that it is to end, which
		// nobody can see from outside. Then the room starts, whoever looks.
		passing := d.State == inspect.Reloading || d.State == inspect.Starting
		if !passing || !pause(ctx, lookAgain) {
			return errors.New(name + " is not so" + strings.Join(wrong, ""))
		}
		if err := s.quiet(); err != nil {
			return err
		}
	}
}

// lookAgain is how often a room is looked at whose older code is about to end, of
// machine time.
const lookAgain = 5 * time.Millisecond

// pause reports whether ctx lasted for so long, of machine time.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// differences are the facts that do not hold, a line for each.
func differences(d *inspect.RoomDetail, lived emulator.Past, wanted []fact) (wrong []string) {
	got := map[string]string{
		"state": d.State, "connections": strconv.Itoa(d.Connections), "starts": strconv.FormatUint(lived.Starts, 10),
		"generation": strconv.FormatUint(lived.Generation, 10), "alarm": "none",
	}
	if d.Alarm != nil {
		got["alarm"] = d.Alarm.Scheduled.UTC().Format(time.RFC3339Nano)
	}
	for _, f := range wanted {
		if f.at.IsZero() && got[f.key] == f.value {
			continue
		}
		if !f.at.IsZero() && d.Alarm != nil && (d.Alarm.Scheduled.Equal(f.at) || d.Alarm.Due.Equal(f.at)) {
			continue
		}
		line := fmt.Sprintf("\n  want: %s=%s\n  got:  %s=%s", f.key, f.value, f.key, got[f.key])
		if f.key == "alarm" && d.Alarm != nil && !d.Alarm.Due.Equal(d.Alarm.Scheduled) {
			line += " (retry " + d.Alarm.Due.UTC().Format(time.RFC3339Nano) + ")"
		}
		if f.key == "state" && len(d.Awake) > 0 {
			line += ", awake because of " + strings.Join(d.Awake, ", ")
		}
		wrong = append(wrong, line)
	}
	return wrong
}

// fact is one KEY=VALUE of room.
type fact struct {
	key, value string
	at         time.Time // of an alarm
}

func (s *session) facts(args []string) (all []fact, err error) {
	known := []string{"state", "connections", "generation", "alarm", "starts"}
	for _, arg := range args {
		f := fact{}
		var ok bool
		if f.key, f.value, ok = strings.Cut(arg, "="); !ok {
			return nil, s.misuse("%q: write KEY=VALUE", arg)
		}
		switch f.key {
		case "state":
			switch f.value {
			case inspect.Running, inspect.Hibernated, inspect.Cold:
			default:
				return nil, s.misuse("state=%s: a room is running, hibernated or cold", f.value)
			}
		case "connections", "generation", "starts":
			if _, err := strconv.ParseUint(f.value, 10, 64); err != nil {
				return nil, s.misuse("%s: a number is wanted", arg)
			}
		case "alarm":
			if f.value == "none" {
				break
			}
			if f.at, err = s.time(f.value); err != nil {
				return nil, s.misuse("%s: %v", arg, err)
			}
		default:
			return nil, s.misuse("unknown key %q%s", f.key, didYouMean(f.key, known))
		}
		all = append(all, f)
	}
	return all, nil
}

// time reads a time, or with + a span from now.
func (s *session) time(text string) (time.Time, error) {
	if span, ok := strings.CutPrefix(text, "+"); ok {
		d, err := duration(span)
		return s.clock().Add(d), err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("%q is no time: write 2030-01-01T00:00:10Z, or +10s for a time from now", text)
	}
	return t, nil
}

func (s *session) rooms(_ bool, args []string) error {
	if err := s.count(args, 0, 0); err != nil {
		return err
	}
	server, err := s.looking()
	if err != nil {
		return err
	}
	snap, err := server.em.Snapshot(s.runner.ctx)
	if err != nil {
		return err
	}
	out := s.ts.Stdout()
	for _, r := range snap.Rooms {
		_, _ = fmt.Fprintln(out, r.Room)
	}
	return nil
}

func (s *session) kv(_ bool, args []string) error {
	server, room, err := s.lookingAt(args, 1, 2)
	if err != nil {
		return err
	}
	if server.engine != nil {
		return s.engineKV(room, args[1:])
	}
	q := inspect.KVQuery{}
	if len(args) == 2 {
		q.Key = args[1]
	}
	all, err := server.em.KV(s.runner.ctx, room, q)
	if err != nil && !errors.Is(err, inspect.ErrNoRoom) {
		return err
	}
	out := s.ts.Stdout()
	if len(args) == 2 {
		if len(all) == 0 {
			return fmt.Errorf("%s has no key %q", room, args[1])
		}
		_, _ = fmt.Fprintln(out, valueText(all[0]))
		return nil
	}
	for _, kv := range all {
		_, _ = fmt.Fprintf(out, "%s\t%s\n", kv.Key, valueText(kv))
	}
	return nil
}

// valueText is a value as JSON; bytes are, as in JSON of Go, base64.
func valueText(kv inspect.KV) string {
	if kv.Value == nil {
		b, _ := json.Marshal(kv.Blob)
		return string(b)
	}
	return string(kv.Value)
}

func (s *session) sql(_ bool, args []string) error {
	server, room, err := s.lookingAt(args, 2, 2)
	if err != nil {
		return err
	}
	if server.engine != nil {
		return s.engineSQL(room, args[1])
	}
	rows, err := server.em.SQL(s.runner.ctx, room, args[1], 0)
	switch {
	case errors.Is(err, emulator.ErrWrites):
		return errors.New("this query writes, and a script only looks: let the server write, as when it gets a message")
	case err != nil:
		return err
	}
	writeRows(s.ts.Stdout(), rows)
	return nil
}

// writeRows writes one row a line, columns split by tabs.
func writeRows(w io.Writer, rows *inspect.Rows) {
	for _, row := range rows.Rows {
		texts := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case nil:
				texts[i] = "NULL"
			case []byte:
				texts[i] = hex.EncodeToString(v)
			case float64:
				texts[i] = strconv.FormatFloat(v, 'g', -1, 64)
			default:
				texts[i] = fmt.Sprint(v)
			}
		}
		_, _ = fmt.Fprintln(w, strings.Join(texts, "\t"))
	}
}

func (s *session) events(_ bool, args []string) error {
	if err := s.count(args, 1, 1); err != nil {
		return err
	}
	if s.server != nil {
		if err := s.quiet(); err != nil {
			return err
		}
	}
	room := roomName(args[0])
	s.involve(room)
	s.collect()
	out := s.ts.Stdout()
	for _, e := range s.seen {
		if _, speed := e.(*inspect.FirstAnswer); !speed && inspect.Of(e).Room == room {
			_, _ = fmt.Fprintln(out, line(e))
		}
	}
	if s.lost > 0 {
		return fmt.Errorf("%d events were lost: too many happened since they were last looked at", s.lost)
	}
	return nil
}

// line is an event without what differs from run to run.
func line(e inspect.Event) string {
	h := inspect.Of(e)
	text := ""
	switch e := e.(type) {
	case *inspect.Turn:
		text = e.Kind
		if e.Connection != "" {
			text += " " + e.Connection
		}
		if e.Error != "" {
			text += ": " + e.Error
		}
	case *inspect.Request:
		text = fmt.Sprintf("%s %s %d", e.Method, e.URL, e.Status)
		if e.Error != "" {
			text += ": " + e.Error
		}
	case *inspect.Exception:
		text = e.Hook + ": " + e.Error // a stack bears addresses
	default:
		text = inspect.Text(e)
	}
	text, _, _ = strings.Cut(text, "\n")
	return strings.TrimRight(h.Time.UTC().Format(time.RFC3339Nano)+" "+e.Type()+" "+text, " ")
}

func (s *session) logs(_ bool, args []string) error {
	if err := s.count(args, 0, 0); err != nil {
		return err
	}
	if s.runner.engine != "" {
		return s.engineLogs()
	}
	if s.server != nil {
		if err := s.quiet(); err != nil {
			return err
		}
		s.server.output(s.runner.ctx)
	}
	s.collect()
	out := s.ts.Stdout()
	for _, e := range s.seen {
		switch e := e.(type) {
		case *inspect.Log:
			switch {
			case e.Output:
				_, _ = fmt.Fprintln(out, e.Text)
			case e.Room != "":
				_, _ = fmt.Fprintf(out, "%s %s %s\n", e.Level, e.Room, e.Text)
			case e.Level != "DEBUG":
				_, _ = fmt.Fprintf(out, "%s %s\n", e.Level, e.Text)
			}
		case *inspect.Exception:
			_, _ = fmt.Fprintf(out, "ERROR %s %s\n", e.Room, ownNames(inspect.Text(e)))
		}
	}
	return nil
}
