package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/devclient"
	"github.com/goparty/party/emulator/control"
)

func sendCommand() *cobra.Command {
	var (
		d                dialing
		wait             time.Duration
		binary, asServer bool
		to               string
	)
	cmd := d.command(cobra.Command{
		Use:   "send ROOM TEXT",
		Short: "Send a room one message, and show what comes back",
		Long: `Connect to a room, send one message (- reads it from the input), show what comes
until nothing has come for as long as --wait says, and close.

With --as-server the message goes the other way: to all clients of the room, or
with --to to one of them.`,
		Example: "  party send chat/lobby hello\n  party send chat/lobby '{\"type\":\"refresh\"}' --as-server --to ada",
		Args:    arguments(2, 2), ValidArgsFunction: d.roomArgs(1),
	}, func(cmd *cobra.Command, args []string) error {
		data, err := argument(cmd, args[1])
		if err != nil {
			return err
		}
		if binary {
			if data, err = unhex(string(data)); err != nil {
				return usageError{err}
			}
		}
		if to != "" && !asServer {
			return usageError{errors.New("--to goes with --as-server")}
		}
		if asServer {
			return d.with(cmd, func(ctx context.Context, c *control.Client) error {
				n, err := c.Send(ctx, args[0], to, binary, data)
				if err != nil {
					return err
				}
				if d.json {
					return printJSON(cmd.OutOrStdout(), control.Count{Connections: n})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "sent to %s\n", plural(n, "connection"))
				return nil
			})
		}
		c, _, err := d.connect(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		t := &talk{c: c, room: args[0], json: d.json, style: styleOf(out), out: out, wait: wait, ends: make(chan error, 1)}
		return t.once(cmd.Context(), devclient.Message{Binary: binary, Data: data})
	})
	d.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&binary, "binary", false, "TEXT is bytes in hex")
	f.DurationVar(&wait, "wait", 300*time.Millisecond, "how long to wait for more to come")
	f.BoolVar(&asServer, "as-server", false, "send it to the room's clients")
	f.StringVar(&to, "to", "", "with --as-server: only to the connection with this id")
	return cmd
}
