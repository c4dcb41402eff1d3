// Party runs realtime servers on one laptop: see `party help`.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Exit statuses: 0 done, 1 it failed, 2 the call was wrong.
const (
	exitFailed = 1
	exitUsage  = 2
)

// failure is an error of the work; every other error is one of the call.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// run makes a command's error a failure.
func run(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		var usage usageError
		if err == nil || errors.As(err, &usage) {
			return err
		}
		return failure{err}
	}
}

// usageError is an error of the call that only the work found.
type usageError struct{ error }

// errSaid is a failure that was explained already.
var errSaid = errors.New("it failed")

func main() {
	err := rootCommand().Execute()
	if err == nil {
		return
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintln(os.Stderr, "party: "+err.Error())
	}
	var f failure
	if errors.As(err, &f) {
		os.Exit(exitFailed)
	}
	os.Exit(exitUsage)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "party",
		Short:         "Realtime servers with rooms that sleep, on one laptop",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
	})
	root.AddGroup(groups...)
	for _, cmd := range []*cobra.Command{devCommand(), testCommand(), buildCommand(), newCommand()} {
		cmd.GroupID = "run"
		root.AddCommand(cmd)
	}
	root.AddCommand(controlCommands()...)
	root.AddCommand(versionCommand(), completionCommand(), guardCommand())
	return root
}

func versionCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this tool",
		Args:  cobra.NoArgs,
		RunE: run(func(cmd *cobra.Command, _ []string) error {
			v, goVersion := "(devel)", "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				goVersion = info.GoVersion
				if info.Main.Version != "" {
					v = info.Main.Version
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"party": v, "go": goVersion})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "party %s, built with %s\n", v, goVersion)
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
