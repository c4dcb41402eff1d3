// Party runs realtime servers on one laptop: see `party help`.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

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
	root := rootCommand()
	err := root.Execute()
	if err == nil {
		return
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintln(os.Stderr, "party: "+explain(root, err))
	}
	var f failure
	if errors.As(err, &f) {
		os.Exit(exitFailed)
	}
	os.Exit(exitUsage)
}

// explain is an error as a person should read it.
func explain(root *cobra.Command, err error) string {
	name, unknown := strings.CutPrefix(err.Error(), `unknown command "`)
	name, _, cut := strings.Cut(name, `" for "party"`)
	if !unknown || !cut {
		return err.Error()
	}
	root.SuggestionsMinimumDistance = max(min(len(name)-1, 2), 1)
	text := fmt.Sprintf("there is no command %q; ", name)
	alike := root.SuggestionsFor(name)
	slices.Sort(alike)
	switch n := len(alike); n {
	case 0:
		return text + "`party help` lists them"
	case 1:
		return text + "did you mean " + alike[0] + "?"
	default:
		return text + "did you mean " + strings.Join(alike[:n-1], ", ") + " or " + alike[n-1] + "?"
	}
}

// arguments lets a command be called with least to most arguments; -1: with any
// number.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || most >= 0 && n > most {
			use := strings.TrimSuffix(cmd.UseLine(), " [flags]")
			return fmt.Errorf("call it as `%s`, not with %s; `%s --help` says more", use, plural(n, "argument"), cmd.CommandPath())
		}
		return nil
	}
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
		Args:  arguments(0, 0),
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
