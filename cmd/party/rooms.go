package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

func roomsCommand() *cobra.Command {
	var r reach
	var follow bool
	cmd := r.command(cobra.Command{
		Use:   "rooms",
		Short: "List the rooms",
		Long: `List the rooms of the running emulator: what is in memory, what has connections,
and what has storage. Looking wakes none of them.

STATE is running (code in memory), hibernated (connections, no code in memory),
cold (neither), starting, reloading (its last turn still runs under old code) or
crashed (no code runs that it waits for). WHY says what it does, why it cannot
sleep, or when it will.`,
		Example:           "  party rooms\n  party rooms -f\n  party rooms --json | jq -r 'select(.state == \"running\").room'",
		Args:              arguments(0, 0),
		ValidArgsFunction: noFiles,
	}, func(cmd *cobra.Command, _ []string) error {
		list := func(ctx context.Context, c *control.Client) (listing, error) {
			s, err := c.Snapshot(ctx)
			if err != nil {
				return listing{}, err
			}
			return listRooms(s), nil
		}
		return r.list(cmd, follow, list)
	})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on, with a line for each room that changes")
	return cmd
}

// listing is a table with the same as JSON, and a name for each line.
type listing struct {
	table table
	json  []any
	names []string
	empty string // what to say where there is nothing
	gone  func(name string) []string
}

func listRooms(s *inspect.Snapshot) listing {
	l := listing{empty: "no rooms yet: the first connection or request makes one"}
	if s.URL != "" && len(s.Classes) > 0 {
		l.empty += fmt.Sprintf(", such as `party connect %s`", roomOf(s.Classes[0], "lobby"))
	}
	l.table = table{head: []string{"ROOM", "STATE", "CONNS", "GEN", "SIZE", "ALARM", "WHY"}, right: map[int]bool{2: true, 3: true, 4: true}, flex: []int{6, 0}}
	l.gone = func(name string) []string { return []string{clean(name), "gone", "", "", "", "", ""} }
	for _, room := range s.Rooms {
		gen, size := "", ""
		if room.Generation > 0 {
			gen = strconv.FormatUint(room.Generation, 10)
		}
		if room.Size > 0 {
			size = sizeText(room.Size)
		}
		l.table.add(room.Room, room.State, strconv.Itoa(room.Connections), gen, size, alarmText(room.Alarm, s.Time), whyText(room, s.Time))
		l.json = append(l.json, room)
		l.names = append(l.names, room.Room)
	}
	return l
}

func alarmText(a *inspect.Alarm, now time.Time) string {
	switch {
	case a == nil:
		return ""
	case a.Running:
		return "now"
	case a.Retries > 0:
		return fmt.Sprintf("%s, retry %d", when(a.Due, now), a.Retries)
	}
	return when(a.Due, now)
}

// whyText says what a room does, or why it is as it is.
func whyText(room inspect.Room, now time.Time) string {
	var parts []string
	if t := room.Turn; t != nil {
		s := fmt.Sprintf("%s for %s", t.Kind, span(t.For))
		if room.Waiting > 0 {
			s += fmt.Sprintf(", %d waiting", room.Waiting)
		}
		parts = append(parts, s)
	}
	for _, why := range room.Awake {
		if room.Turn == nil || !strings.Contains(why, "running or waiting") && why != "OnStart runs" {
			parts = append(parts, why)
		}
	}
	switch {
	case !room.SleepsAt.IsZero():
		parts = append(parts, "sleeps "+when(room.SleepsAt, now))
	case !room.EvictedAt.IsZero():
		parts = append(parts, "evicted "+when(room.EvictedAt, now))
	}
	if len(parts) == 0 && room.LastError != "" {
		parts = append(parts, "failed "+when(room.ErrorAt, now)+": "+room.LastError)
	}
	return strings.Join(parts, "; ")
}

// list prints a listing, and with follow each line anew that has changed.
func (r *reach) list(cmd *cobra.Command, follow bool, get func(ctx context.Context, c *control.Client) (listing, error)) error {
	out := cmd.OutOrStdout()
	if !follow {
		return r.with(cmd, func(ctx context.Context, c *control.Client) error {
			l, err := get(ctx, c)
			if err != nil {
				return err
			}
			return r.print(out, cmd.ErrOrStderr(), l)
		})
	}
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := untilInterrupt(cmd.Context())
	defer stop()
	_, feed, err := c.Follow(ctx, 1)
	if err != nil {
		return err
	}
	defer feed.Close()
	f := follower{r: r, out: out, before: map[string]string{}}
	for {
		l, err := get(ctx, c)
		if err == nil {
			err = f.show(l)
		}
		if err == nil {
			err = settled(ctx, feed)
		}
		if err != nil {
			return over(ctx, err)
		}
	}
}

// pause is how long what happens is gathered before it is looked at again.
const pause = 200 * time.Millisecond

// settled waits for something to happen, and then a moment.
func settled(ctx context.Context, feed inspect.Feed) error {
	if _, _, err := feed.Next(ctx); err != nil {
		return err
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// print writes a listing once.
func (r *reach) print(out, hints io.Writer, l listing) error {
	if r.json {
		for _, v := range l.json {
			if err := printJSON(out, v); err != nil {
				return err
			}
		}
		return nil
	}
	if len(l.table.rows) == 0 {
		fmt.Fprintln(hints, l.empty)
		return nil
	}
	return l.table.write(out, styleOf(out), widthOf(out))
}

// follower shows a listing again and again: the lines that are not as before.
type follower struct {
	r      *reach
	out    io.Writer
	before map[string]string
	widths []int // of the columns so far; nil: nothing was shown
}

func (f *follower) show(l listing) error {
	t := l.table
	t.rows = nil
	there := map[string]bool{}
	for i, name := range l.names {
		there[name] = true
		b, err := json.Marshal(l.json[i])
		if err != nil {
			return err
		}
		state := string(stable(b))
		if f.before[name] == state {
			continue
		}
		f.before[name] = state
		if f.r.json {
			if err := printJSON(f.out, l.json[i]); err != nil {
				return err
			}
		}
		t.rows = append(t.rows, l.table.rows[i])
	}
	for _, name := range slices.Sorted(maps.Keys(f.before)) {
		if there[name] {
			continue
		}
		delete(f.before, name)
		if f.r.json {
			if err := printJSON(f.out, map[string]any{"gone": name}); err != nil {
				return err
			}
		}
		t.rows = append(t.rows, l.gone(name))
	}
	if f.r.json {
		return nil
	}
	t.widths, t.headless, t.grows = f.widths, f.widths != nil, true
	err := t.write(f.out, styleOf(f.out), widthOf(f.out))
	f.widths = t.widths
	return err
}

// stable is an object without the members that change by themselves.
func stable(b []byte) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(b, &m) != nil {
		return b
	}
	for _, name := range []string{"turn", "sleeps_at", "evicted_at", "traffic", "queued", "size"} {
		delete(m, name)
	}
	b, _ = json.Marshal(m)
	return b
}
