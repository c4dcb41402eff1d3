package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/devclient/script"
)

// testOptions are the flags of `party test`.
type testOptions struct {
	match   string
	json    bool
	update  bool
	verbose bool
	timeout time.Duration
	on      string
	saw     bool
}

func testCommand() *cobra.Command {
	var o testOptions
	cmd := &cobra.Command{
		Use:   "test [FILES|DIRS]",
		Short: "Run test scripts against the server",
		Long: `Run .txtar scripts (default: those here and below) against the same runtime as
party dev, each with an emulator, state and clock of its own. The clock stands at
2030-01-01T00:00:00Z until a script moves it.

A script's own .go files are its server; a script without any uses the package
here. Commands beside testscript's own (exec, cmp, stdout, !, ...):

` + commandList() + `
party test --help COMMAND explains one of them.`,
		Example: "  party test\n  party test --run alarm -v ./testscripts\n  party test --help advance",
		RunE: run(func(cmd *cobra.Command, args []string) error {
			return runScripts(cmd.Context(), o, args, os.Stdout)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.match, "run", "", "only scripts whose name matches this regular expression")
	f.BoolVar(&o.json, "json", false, "one result a line, as JSON")
	f.BoolVar(&o.update, "update", false, "write what cmp finds into the scripts")
	f.StringVar(&o.on, "on", script.OnEmulator, "emulator, or workerd: Cloudflare's engine, as far as a script can run on it")
	f.BoolVar(&o.saw, "transcript", false, "show what each client and request saw, without what differs from run to run")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show all that scripts do, not only what failed")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long one script may take; 0: as long as it wants")
	help := cmd.HelpFunc()
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		for _, name := range cmd.Flags().Args() {
			text, err := script.Help(name)
			if err != nil {
				text = err.Error() + "\n"
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
		}
		if cmd.Flags().NArg() == 0 {
			help(cmd, args)
		}
	})
	return cmd
}

// commandList is the language in short, for help.
func commandList() string {
	var b strings.Builder
	for _, c := range script.Commands() {
		fmt.Fprintf(&b, "  %-11s%s\n", c.Name, c.Short)
	}
	return b.String()
}

// runScripts runs the scripts and fails where one did.
func runScripts(ctx context.Context, o testOptions, files []string, out io.Writer) error {
	if len(files) == 0 {
		files = []string{"."}
	}
	if o.on != script.OnEmulator && o.on != script.OnWorkerd {
		return usageError{fmt.Errorf("--on %s: use emulator or workerd", o.on)}
	}
	so := script.Options{Files: files, Update: o.update, Timeout: o.timeout, On: o.on, Transcript: o.saw}
	if o.match != "" {
		re, err := regexp.Compile(o.match)
		if err != nil {
			return usageError{fmt.Errorf("--run %s: %w", o.match, err)}
		}
		so.Match = re
	}
	if _, err := so.Find(); err != nil {
		return usageError{err}
	}
	// A pipe that nobody reads any more, or a terminal that is closed, ends it in
	// order too.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	began := time.Now()
	count := map[string]int{}
	err := script.Test(ctx, so, o.verbose, func(r script.Result) {
		count[r.Status]++
		if o.json {
			b, _ := json.Marshal(r)
			fmt.Fprintf(out, "%s\n", b)
			return
		}
		writeResult(out, r, o.verbose)
		for line := range strings.Lines(r.Transcript) {
			fmt.Fprint(out, "     "+line)
		}
	})
	if err != nil {
		return err
	}
	if !o.json {
		fmt.Fprintf(out, "%s in %s\n", tally(count), time.Since(began).Round(time.Millisecond))
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case count[script.Failed] > 0:
		return errSaid
	}
	return nil
}

// writeResult shows a result to a person: what failed in full, the rest in a line.
func writeResult(out io.Writer, r script.Result, verbose bool) {
	word := map[string]string{script.Passed: "ok  ", script.Failed: "FAIL", script.Skipped: "skip"}[r.Status]
	fmt.Fprintf(out, "%s %s (%s)\n", word, r.Name, r.Took.Round(time.Millisecond))
	if r.Status == script.Failed || verbose || r.Status == script.Skipped {
		for line := range strings.Lines(r.Log) {
			fmt.Fprint(out, "     "+strings.TrimRight(line, "\n")+"\n")
		}
	}
}

func tally(count map[string]int) string {
	var parts []string
	for _, p := range []struct{ status, word string }{{script.Passed, "passed"}, {script.Failed, "failed"}, {script.Skipped, "skipped"}} {
		if n := count[p.status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, p.word))
		}
	}
	return strings.Join(parts, ", ")
}
