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

func connectionsCommand() *cobra.Command {
	var (
		r           reach
		follow, cut bool
		delay       time.Duration
	)
	cmd := r.command(cobra.Command{
		Use:   "connections [ROOM [ID]]",
		Short: "List the WebSockets, cut them, or slow them down",
		Long: `List the WebSockets of all rooms, of one room, or one by its id.

--cut ends them without a close frame, as a network that fails does: the server
sees 1006. --delay lets everything to and from them take so much longer, until
--delay 0. Both need a ROOM, and mean all of its connections where there is no ID.`,
		Example: "  party connections chat/lobby\n  party connections chat/lobby ada --cut\n  party connections chat/lobby --delay 300ms",
		Args:    arguments(0, 2), ValidArgsFunction: r.roomArgs(1),
	}, func(cmd *cobra.Command, args []string) error {
		delayed := cmd.Flags().Changed("delay")
		switch {
		case (cut || delayed) && len(args) == 0:
			return usageError{errors.New("name the ROOM whose connections you mean")}
		case cut && delayed:
			return usageError{errors.New("--cut and --delay do not go together")}
		case delay < 0:
			return usageError{fmt.Errorf("--delay %s: a delay cannot be negative; 0 ends it", delay)}
		}
		if cut || delayed {
			return r.with(cmd, func(ctx context.Context, c *control.Client) error {
				id, what := "", ""
				if len(args) == 2 {
					id = args[1]
				}
				var n int
				var err error
				if cut {
					n, err = c.Cut(ctx, args[0], id)
					what = "cut"
				} else {
					n, err = c.Delay(ctx, args[0], id, delay)
					what = "delayed by " + delay.String()
					if delay == 0 {
						what = "no longer delayed"
					}
				}
				if err != nil {
					return err
				}
				if r.json {
					return printJSON(cmd.OutOrStdout(), control.Count{Connections: n})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s of %s %s\n", plural(n, "connection"), args[0], what)
				return nil
			})
		}
		return r.list(cmd, follow, func(ctx context.Context, c *control.Client) (listing, error) {
			return listConnections(ctx, c, args, !follow)
		})
	})
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on, with a line for each connection that changes")
	f.BoolVar(&cut, "cut", false, "end them without a close frame")
	f.DurationVar(&delay, "delay", 0, "let everything take so much longer; 0 ends it")
	return cmd
}

// listConnections lists all, those of a room, or one. must is whether the room
// has to exist.
func listConnections(ctx context.Context, c *control.Client, args []string, must bool) (listing, error) {
	var all []inspect.Connection
	var err error
	if len(args) > 0 {
		var d *inspect.RoomDetail
		if d, err = c.Room(ctx, args[0]); err == nil {
			all = d.Conns
		} else if !must && errors.Is(err, inspect.ErrNoRoom) {
			err = nil
		}
	} else {
		all, err = c.Connections(ctx)
	}
	if err != nil {
		return listing{}, err
	}
	now, err := c.Clock(ctx)
	if err != nil {
		return listing{}, err
	}
	if len(args) > 1 {
		var ids []string
		all, ids = withID(all, args[1])
		if len(all) == 0 && must {
			return listing{}, noConnection(args[0], args[1], ids)
		}
	}
	l := tableOfConnections(all, now.Time, len(args) == 0)
	l.empty = "no connections; open one with `party connect ROOM`"
	return l, nil
}

// trafficText is messages and their bytes.
func trafficText(n, size uint64) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", n, sizeText(int64(size)))
}

func withID(all []inspect.Connection, id string) (found []inspect.Connection, ids []string) {
	for _, conn := range all {
		ids = append(ids, conn.ID)
		if conn.ID == id {
			found = append(found, conn)
		}
	}
	return found, ids
}

func noConnection(room, id string, ids []string) error {
	if like := inspect.Similar(id, ids); like != "" {
		return fmt.Errorf("%s has no connection %q; did you mean %s?", room, id, like)
	}
	return fmt.Errorf("%s has no connection %q; `party connections %s` lists them", room, id, room)
}

// tableOfConnections has a column for the room where several are shown.
func tableOfConnections(all []inspect.Connection, now time.Time, rooms bool) listing {
	t := table{head: []string{"ID", "STATUS", "AGE", "IN", "OUT", "QUEUED", "DELAY", "TAGS", "STATE"}, right: map[int]bool{2: true, 3: true, 4: true, 5: true}, flex: []int{8, 7, 0}}
	if rooms {
		t.head = append([]string{"ROOM"}, t.head...)
		t.right, t.flex = map[int]bool{3: true, 4: true, 5: true, 6: true}, []int{9, 8, 0, 1}
	}
	l := listing{}
	columns := len(t.head)
	l.gone = func(name string) []string {
		row := make([]string, columns)
		room, id, _ := strings.Cut(name, "\x00")
		id, _, _ = strings.Cut(id, "\x00")
		if rooms {
			row[0], row[1], row[2] = clean(room), clean(id), "gone"
		} else {
			row[0], row[1] = clean(id), "gone"
		}
		return row
	}
	for _, conn := range all {
		age, queued, delay := "", "", ""
		if !conn.Opened.IsZero() {
			age = span(now.Sub(conn.Opened))
		}
		if conn.Queued > 0 {
			queued = sizeText(int64(conn.Queued))
		}
		if conn.Delay > 0 {
			delay = span(conn.Delay)
		}
		tags := conn.Tags
		if len(tags) > 0 && tags[0] == conn.ID {
			tags = tags[1:]
		}
		row := []string{
			conn.ID, conn.Status, age, trafficText(conn.Traffic.In, conn.Traffic.InBytes), trafficText(conn.Traffic.Out, conn.Traffic.OutBytes),
			queued, delay, strings.Join(tags, ","), string(conn.State),
		}
		if rooms {
			row = append([]string{conn.Room}, row...)
		}
		t.add(row...)
		l.json = append(l.json, conn)
		l.names = append(l.names, conn.Room+"\x00"+conn.ID+"\x00"+conn.Opened.String())
	}
	l.table = t
	return l
}
