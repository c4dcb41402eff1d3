package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/tui"
)

func attachCommand() *cobra.Command {
	var socket string
	var ascii bool
	cmd := &cobra.Command{
		Use:   "attach",
		Short: "Show the dashboard of a party dev that runs",
		Long: `Show the dashboard of a party dev that runs here, or in a directory above.

It is the same dashboard that party dev shows on a terminal; any number of them
may look at one emulator. Leaving it leaves the emulator running.`,
		Example: "  party attach\n  party attach --socket ../chat/.party/dev.sock",
		Args:    arguments(0, 0),
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			if why := tui.Fits(isTerminal(os.Stdin) && isTerminal(os.Stdout), os.Getenv); why != "" {
				return fmt.Errorf("no dashboard here: %s; `party rooms`, `party events -f` and `party logs -f` print instead", why)
			}
			if socket == "" {
				found, err := control.Find(".")
				if err != nil {
					return err
				}
				socket = found
			}
			c, err := control.Dial(socket)
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, stop := untilInterrupt(cmd.Context())
			defer stop()
			rec := &recorder{viewer: c}
			err = runGuarded(ctx, tui.Options{Emulator: c, Recorder: rec, Name: attachedName(socket), Attached: true, ASCII: ascii})
			said, failed := rec.Stop(cmd.Context())
			if err = errors.Join(err, failed); said != "" {
				fmt.Fprintln(cmd.OutOrStdout(), said)
			}
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "left; the emulator goes on")
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&socket, "socket", "", "control socket of the emulator (default: "+control.Name+" here or in a directory above)")
	cmd.Flags().BoolVar(&ascii, "ascii", false, "draw without other signs than those of ASCII")
	return cmd
}

// attachedName is the directory in which the emulator was started.
func attachedName(socket string) string {
	abs, err := filepath.Abs(socket)
	if err != nil {
		return socket
	}
	dir := filepath.Dir(abs)
	if filepath.Base(dir) == scratch {
		dir = filepath.Dir(dir)
	}
	return filepath.Base(dir)
}
