package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

func inspectCommand() *cobra.Command {
	var r reach
	return r.command(cobra.Command{
		Use:   "inspect ROOM",
		Short: "Show all there is to know of a room",
		Long: `Show a room's state, the turn that runs and since when, why it is awake and when
it will sleep, its alarm, storage and connections. Looking does not wake it.`,
		Example: "  party inspect chat/lobby",
		Args:    arguments(1, 1), ValidArgsFunction: r.roomArgs(1),
	}, func(cmd *cobra.Command, args []string) error {
		return r.with(cmd, func(ctx context.Context, c *control.Client) error {
			d, err := c.Room(ctx, args[0])
			if err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), d)
			}
			now, err := c.Clock(ctx)
			if err != nil {
				return err
			}
			return printRoom(cmd.OutOrStdout(), d, now.Time)
		})
	})
}

// printRoom shows a room to people: a word and what there is to say of it a line.
func printRoom(out io.Writer, d *inspect.RoomDetail, now time.Time) error {
	s := styleOf(out)
	state := d.State
	if d.Generation > 0 {
		state += fmt.Sprintf(", generation %d", d.Generation)
	}
	if d.Starts > 0 {
		state += fmt.Sprintf(", started %s", plural(int(d.Starts), "time"))
	}
	fmt.Fprintf(out, "%s  %s\n", s.bold(clean(d.Room.Room)), state)
	line := func(word, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		fmt.Fprintf(out, "  %s  %s\n", s.dim(fmt.Sprintf("%-11s", word)), cleanBut(text, ""))
	}
	line("class", "%s", d.Class)
	line("id", "%s", d.ID)
	if t := d.Turn; t != nil {
		text := t.Kind
		if t.Connection != "" {
			text += " of " + t.Connection
		}
		line("turn", "%s, for %s", text, span(t.For))
	}
	if d.Waiting > 0 {
		line("waiting", "%s", plural(d.Waiting, "turn"))
	}
	if len(d.Awake) > 0 {
		line("awake", "%s", strings.Join(d.Awake, ", "))
	}
	if !d.SleepsAt.IsZero() {
		line("sleeps", "%s, if nothing happens", when(d.SleepsAt, now))
	}
	if !d.EvictedAt.IsZero() {
		line("evicted", "%s, if nobody needs it", when(d.EvictedAt, now))
	}
	if a := d.Alarm; a != nil {
		line("alarm", "%s (%s)", a.Due.Format(time.RFC3339), alarmText(a, now))
	}
	storage := "none"
	if d.File != "" {
		storage = sizeText(d.Size) + ", " + plural(d.Keys, "key")
	}
	line("storage", "%s", storage)
	for _, t := range d.Tables {
		line("", "table %s, %s", t.Name, plural(int(t.Rows), "row"))
	}
	if d.File != "" {
		line("file", "%s", d.File)
	}
	line("messages", "%d in (%s), %d out (%s)", d.Traffic.In, sizeText(int64(d.Traffic.InBytes)), d.Traffic.Out, sizeText(int64(d.Traffic.OutBytes)))
	if d.LastError != "" {
		line("last error", "%s: %s", when(d.ErrorAt, now), d.LastError)
	}
	line("connections", "%d", len(d.Conns))
	if len(d.Conns) == 0 {
		return nil
	}
	l := tableOfConnections(d.Conns, now, false)
	var b strings.Builder
	width := widthOf(out)
	if width > 0 {
		width = max(width-4, 1)
	}
	if err := l.table.write(&b, s, width); err != nil {
		return err
	}
	for text := range strings.Lines(b.String()) {
		fmt.Fprint(out, "    ", text)
	}
	return nil
}
