package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
)

func eventsCommand() *cobra.Command {
	return streamCommand(false, cobra.Command{
		Use:   "events [ROOM]",
		Short: "Show what happened lately, or as it happens",
		Long: `Show the latest events, of all rooms or of one, and with -f those to come. The
emulator keeps some 2000 of them. Whoever reads too slowly loses events and is
told how many; no room waits for it.

Turns that ended well within a second are left out, since what they were about
has a line of its own; --type turn and --json show them.`,
		Example: "  party events -f\n  party events chat/lobby --type message,alarm -f\n  party events --json -n 500",
	})
}

func logsCommand() *cobra.Command {
	return streamCommand(true, cobra.Command{
		Use:     "logs [ROOM]",
		Short:   "Show what the server wrote and logged",
		Long:    `Show what the server wrote to its output, logged, and failed with; with -f also what is to come.`,
		Example: "  party logs -f\n  party logs chat/lobby",
	})
}

// wanted says which events are shown.
type wanted struct {
	room  string
	types []string
	logs  bool
	all   bool // also turns that only say that what has a line of its own went well
}

func (w wanted) accepts(e inspect.Event) bool {
	if w.logs && !control.IsLog(e) || w.room != "" && inspect.Of(e).Room != w.room {
		return false
	}
	if t, ok := e.(*inspect.Turn); ok && len(w.types) == 0 && !w.all && t.Error == "" && t.Took < time.Second {
		return false
	}
	return len(w.types) == 0 || slices.ContainsFunc(w.types, func(t string) bool {
		return e.Type() == t || strings.HasPrefix(e.Type(), t+".")
	})
}

// lastShown is how many events are shown before those to come.
const lastShown = 10

func streamCommand(logs bool, base cobra.Command) *cobra.Command {
	var (
		r      reach
		w      = wanted{logs: logs}
		follow bool
		last   int
	)
	base.Args = arguments(0, 1)
	base.ValidArgsFunction = r.roomArgs(1)
	cmd := r.command(base, func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			w.room = args[0]
		}
		w.all = r.json
		if follow && !cmd.Flags().Changed("last") {
			last = lastShown
		}
		if last < 0 {
			return usageError{errors.New("-n cannot be negative")}
		}
		for _, t := range w.types {
			if !inspect.KnownType(t) {
				return usageError{fmt.Errorf("--type %s: there is no such event; use %s", t, strings.Join(inspect.Types(), ", "))}
			}
		}
		return r.stream(cmd, w, last, follow)
	})
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what happens")
	f.IntVarP(&last, "last", "n", 100, fmt.Sprintf("how many are shown of what happened already (with -f %d)", lastShown))
	if !logs {
		f.StringSliceVar(&w.types, "type", nil, "only these types, such as message.in, or message for both kinds")
		_ = cmd.RegisterFlagCompletionFunc("type", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return inspect.Types(), cobra.ShellCompDirectiveNoFileComp
		})
	}
	return cmd
}

// stream shows the last n events that are wanted, and then those to come.
func (r *reach) stream(cmd *cobra.Command, w wanted, n int, follow bool) error {
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := untilInterrupt(cmd.Context())
	defer stop()
	if w.room != "" {
		d, err := c.Room(ctx, w.room)
		switch {
		case err == nil:
			w.room = d.Room.Room
		case !errors.Is(err, inspect.ErrNoRoom):
			return err
		case !follow: // it may have had events, or may come
			defer func() { fmt.Fprintln(cmd.ErrOrStderr(), err) }()
		}
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	p := eventPrinter{out: out, json: r.json, style: styleOf(cmd.OutOrStdout())}
	seq, err := p.past(ctx, c, w, n)
	if err != nil {
		return over(ctx, err)
	}
	if err := out.Flush(); err != nil || !follow {
		return err
	}
	feed, err := c.Events(ctx, control.EventOptions{Past: 1 << 20, Logs: w.logs, Follow: true})
	if err != nil {
		return over(ctx, err)
	}
	defer feed.Close()
	for {
		events, lost, err := feed.Next(ctx)
		if err != nil {
			return over(ctx, err)
		}
		for _, e := range events {
			if inspect.Of(e).Seq > seq && w.accepts(e) {
				p.event(e)
			}
		}
		p.lost(lost)
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

// past prints the last n wanted events, and returns the number of the newest.
func (p *eventPrinter) past(ctx context.Context, c *control.Client, w wanted, n int) (seq uint64, err error) {
	feed, err := c.Events(ctx, control.EventOptions{Past: 1 << 20, Logs: w.logs})
	if err != nil {
		return 0, err
	}
	defer feed.Close()
	var found []inspect.Event
	for {
		events, _, err := feed.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		for _, e := range events {
			seq = inspect.Of(e).Seq
			if w.accepts(e) {
				found = append(found, e)
			}
		}
	}
	for _, e := range found[max(0, len(found)-n):] {
		p.event(e)
	}
	return seq, nil
}

// eventPrinter writes events as lines.
type eventPrinter struct {
	out   *bufio.Writer
	json  bool
	style style
}

func (p *eventPrinter) event(e inspect.Event) {
	if p.json {
		if line, err := inspect.Marshal(e); err == nil {
			_, _ = p.out.Write(append(line, '\n'))
		}
		return
	}
	h := inspect.Of(e)
	head := p.style.dim(h.Time.Format("15:04:05.000")) + "  "
	if h.Room != "" {
		head += p.style.blue(clean(h.Room)) + "  "
	}
	text := eventText(e)
	first, rest, _ := strings.Cut(text, "\n")
	switch e.(type) {
	case *inspect.Exception, *inspect.Crash, *inspect.GenerationFailed, *inspect.TurnLost, *inspect.AlarmGivenUp, *inspect.RoomAborted:
		first = p.style.red(first)
	}
	fmt.Fprintf(p.out, "%s%s\n", head, first)
	for line := range strings.Lines(rest) {
		fmt.Fprintf(p.out, "    %s\n", strings.TrimRight(line, "\n"))
	}
}

// eventText is an event for people. What clients had a hand in does not move the
// terminal's cursor; what the server itself writes may, as it does without party.
func eventText(e inspect.Event) string {
	text := inspect.Text(e)
	if l, ok := e.(*inspect.Log); ok && l.Output {
		return text
	}
	return cleanBut(text, "\n\t")
}

func (p *eventPrinter) lost(n uint64) {
	switch {
	case n == 0:
	case p.json:
		fmt.Fprintf(p.out, "{\"type\":\"lost\",\"events\":%d}\n", n)
	default:
		fmt.Fprintf(p.out, "... %s lost: they came faster than they were read\n", plural(int(n), "event"))
	}
}

// untilInterrupt is a context that Ctrl-C ends.
func untilInterrupt(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// over is the error of something that goes on until it is interrupted.
func over(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
