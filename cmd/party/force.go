package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

// done says what was done to a room.
func (r *reach) done(cmd *cobra.Command, what, room string, more ...string) error {
	if r.json {
		v := map[string]string{"done": what, "room": room}
		if len(more) > 0 {
			v["key"] = more[0]
		}
		return printJSON(cmd.OutOrStdout(), v)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), what+" "+clean(strings.Join(append([]string{room}, more...), " ")))
	return err
}

// roomsAction makes a command that does something to each of the rooms named.
// Where one fails the others are still done.
func (r *reach) roomsAction(base cobra.Command, what string, f func(ctx context.Context, c *control.Client, room string) error) *cobra.Command {
	base.Args, base.ValidArgsFunction = arguments(1, -1), r.roomArgs(-1)
	return r.command(base, func(cmd *cobra.Command, args []string) error {
		return r.with(cmd, func(ctx context.Context, c *control.Client) error {
			var errs []error
			for _, room := range args {
				err := f(ctx, c, room)
				if err == nil {
					err = r.done(cmd, what, room)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		})
	})
}

func hibernateCommand() *cobra.Command {
	var r reach
	var force bool
	cmd := r.roomsAction(cobra.Command{
		Use:   "hibernate ROOM...",
		Short: "Drop a room's memory and keep its connections",
		Long: `Drop the memory of rooms and keep their connections, as the platform does once
nothing needs a room. One that could not sleep by itself is refused, with the
reasons; --force drops them.`,
		Example: "  party hibernate chat/lobby",
	}, "hibernated", func(ctx context.Context, c *control.Client, room string) error {
		return c.Hibernate(ctx, room, force)
	})
	cmd.Flags().BoolVar(&force, "force", false, "also a room that something keeps awake")
	return cmd
}

func evictCommand() *cobra.Command {
	var r reach
	return r.roomsAction(cobra.Command{
		Use:   "evict ROOM...",
		Short: "Drop a room's memory as the platform would",
		Long: `Drop the memory of rooms as the platform does at any time: connections of classes
that hibernate stay, others are cut. It works also on a room whose hook hangs.`,
		Example: "  party evict chat/lobby",
	}, "evicted", func(ctx context.Context, c *control.Client, room string) error { return c.Evict(ctx, room) })
}

func abortCommand() *cobra.Command {
	var r reach
	return r.roomsAction(cobra.Command{
		Use:   "abort ROOM...",
		Short: "Reset a room: uncommitted writes are lost, connections cut",
		Long: `Reset rooms: what is not committed is lost, and every connection is cut (clients
see 1006). What is stored stays; ` + "`party reset`" + ` deletes that too.`,
		Example: "  party abort chat/lobby",
	}, "aborted", func(ctx context.Context, c *control.Client, room string) error { return c.Abort(ctx, room) })
}

func failCommand() *cobra.Command {
	var r reach
	return r.roomsAction(cobra.Command{
		Use:   "fail ROOM...",
		Short: "Make a room's next commit fail",
		Long: `Make the next commit of rooms fail, as when the disk is full: what that turn wrote
and sent is lost, and the room is reset.`,
		Example: "  party fail bank/main",
	}, "the next commit fails in", func(ctx context.Context, c *control.Client, room string) error { return c.FailCommit(ctx, room) })
}

func resetCommand() *cobra.Command {
	var r reach
	var yes bool
	cmd := r.roomsAction(cobra.Command{
		Use:     "reset ROOM...",
		Short:   "Abort a room and delete its storage",
		Long:    `Abort rooms and delete their storage and their alarms. It asks first.`,
		Example: "  party reset chat/lobby --yes",
	}, "reset", func(ctx context.Context, c *control.Client, room string) error { return c.Reset(ctx, room) })
	reset := cmd.RunE
	cmd.RunE = run(func(cmd *cobra.Command, args []string) error {
		if !yes {
			if err := confirm(cmd, "This deletes everything that "+clean(strings.Join(args, ", "))+" has stored."); err != nil {
				return err
			}
		}
		return reset(cmd, args)
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func alarmCommand() *cobra.Command {
	var (
		r            reach
		fire, remove bool
		set          string
	)
	cmd := r.command(cobra.Command{
		Use:   "alarm ROOM",
		Short: "Show a room's alarm, fire it, or move it",
		Long: `Show a room's alarm. --fire runs its handler now, whatever its time; --set moves it
(to a time, or with + from now on), and --delete removes it.`,
		Example: "  party alarm reminder/ada\n  party alarm reminder/ada --fire\n  party alarm reminder/ada --set +10m",
		Args:    arguments(1, 1), ValidArgsFunction: r.roomArgs(1),
	}, func(cmd *cobra.Command, args []string) error {
		n := 0
		for _, given := range []bool{fire, remove, set != ""} {
			if given {
				n++
			}
		}
		if n > 1 {
			return usageError{errors.New("--fire, --set and --delete do not go together")}
		}
		return r.with(cmd, func(ctx context.Context, c *control.Client) error {
			room := args[0]
			switch {
			case fire:
				if err := c.Fire(ctx, room); err != nil {
					return err
				}
				return r.done(cmd, "fired the alarm of", room)
			case remove:
				if err := c.SetAlarm(ctx, room, time.Time{}); err != nil {
					return err
				}
				return r.done(cmd, "deleted the alarm of", room)
			}
			now, err := c.Clock(ctx)
			if err != nil {
				return err
			}
			if set != "" {
				at, err := moment(set, now.Time)
				if err != nil {
					return usageError{fmt.Errorf("--set %w", err)}
				}
				if err := c.SetAlarm(ctx, room, at); err != nil {
					return err
				}
			}
			d, err := c.Room(ctx, room)
			if err != nil {
				return err
			}
			return r.printAlarm(cmd, room, d.Alarm, now.Time)
		})
	})
	f := cmd.Flags()
	f.BoolVar(&fire, "fire", false, "run its handler now")
	f.StringVar(&set, "set", "", "move it to a time (2030-01-02T15:04:05Z) or a span from now (+10m)")
	f.BoolVar(&remove, "delete", false, "remove it")
	return cmd
}

// moment reads a time, or a span from now on.
func moment(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(strings.TrimPrefix(s, "+")); err == nil {
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.IsZero() {
		return t, fmt.Errorf("%s is no time: write 2030-01-02T15:04:05Z, or +10m for a span from now", s)
	}
	return t, nil
}

func (r *reach) printAlarm(cmd *cobra.Command, room string, a *inspect.Alarm, now time.Time) error {
	if r.json {
		return printJSON(cmd.OutOrStdout(), struct {
			Room  string         `json:"room"`
			Alarm *inspect.Alarm `json:"alarm"`
		}{room, a})
	}
	if a == nil {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s has no alarm\n", clean(room))
		return err
	}
	text := a.Due.Format(time.RFC3339Nano) + " (" + alarmText(a, now) + ")"
	if !a.Due.Equal(a.Scheduled) {
		text += ", set for " + a.Scheduled.Format(time.RFC3339Nano)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

func clockCommand() *cobra.Command {
	var r reach
	return r.command(cobra.Command{
		Use:   "clock [+SPAN]",
		Short: "Show the rooms' clock, or move it forward",
		Long: `Show the clock of the rooms, or move it forward: alarms that are due, spans of
hibernation, and timers fire in order on the way.`,
		Example: "  party clock\n  party clock +10m",
		Args:    arguments(0, 1), ValidArgsFunction: noFiles,
	}, func(cmd *cobra.Command, args []string) error {
		var d time.Duration
		if len(args) == 1 {
			var err error
			if d, err = time.ParseDuration(strings.TrimPrefix(args[0], "+")); err != nil || d < 0 {
				return usageError{fmt.Errorf("%s is no span to go forward: write one like +10m or +1h30m", args[0])}
			}
		}
		return r.with(cmd, func(ctx context.Context, c *control.Client) error {
			if d > 0 {
				if _, err := c.Advance(ctx, d); err != nil {
					return err
				}
			}
			now, err := c.Clock(ctx)
			if err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), now)
			}
			text := now.Time.Format(time.RFC3339Nano)
			switch {
			case now.Manual:
				text += ", standing still until it is moved"
			case now.Offset > 0:
				text += ", " + span(now.Offset) + " ahead of the machine's"
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		})
	})
}

// reloadLimit is how long a build may take.
const reloadLimit = 10 * time.Minute

func reloadCommand() *cobra.Command {
	var r reach
	return r.command(cobra.Command{
		Use:   "reload",
		Short: "Build the server again and swap it in",
		Long: `Build the server again and let its rooms take the new code, with every connection
kept. Where it does not build or start, nothing changes.`,
		Args: arguments(0, 0), ValidArgsFunction: noFiles,
	}, func(cmd *cobra.Command, _ []string) error {
		c, err := r.dial()
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), reloadLimit)
		defer cancel()
		began := time.Now()
		if err := c.Reload(ctx); err != nil {
			return err
		}
		s, err := c.Snapshot(ctx)
		if err != nil {
			return err
		}
		if r.json {
			return printJSON(cmd.OutOrStdout(), s.Generation)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "generation %d serves, after %s\n", s.Generation.Number, span(time.Since(began)))
		return err
	})
}

func crashCommand() *cobra.Command {
	var r reach
	return r.command(cobra.Command{
		Use:   "crash",
		Short: "Kill the process of the running code",
		Long: `Kill the process of the running code, as a bug would: the turns that run are lost
with what they had not committed, connections of classes that do not hibernate
are cut, and the code starts again.`,
		Args: arguments(0, 0), ValidArgsFunction: noFiles,
	}, func(cmd *cobra.Command, _ []string) error {
		return r.with(cmd, func(ctx context.Context, c *control.Client) error {
			s, err := c.Snapshot(ctx)
			if err != nil {
				return err
			}
			if err := c.Crash(ctx); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), s.Generation)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "killed process %d of generation %d\n", s.Generation.PID, s.Generation.Number)
			return err
		})
	})
}
