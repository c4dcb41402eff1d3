package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator/control"
)

// reach is how a command gets at a running emulator, and how it prints.
type reach struct {
	socket string
	json   bool
}

// answerLimit is how long the emulator may take to answer.
const answerLimit = 10 * time.Second

func (r *reach) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.socket, "socket", "", "control socket of the emulator (default: "+control.Name+" here or in a directory above)")
	cmd.Flags().BoolVar(&r.json, "json", false, "print JSON, one object a line")
}

// dial reaches the emulator. The caller must close the client.
func (r *reach) dial() (*control.Client, error) {
	path := r.socket
	if path == "" {
		var err error
		if path, err = control.Find("."); err != nil {
			return nil, err
		}
	}
	return control.Dial(path)
}

// with calls f with the emulator. ctx ends when it has not answered for long.
func (r *reach) with(cmd *cobra.Command, f func(ctx context.Context, c *control.Client) error) error {
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	slow := fmt.Errorf("nothing came within %s; is its process stopped (a debugger, Ctrl-Z)?", answerLimit)
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), answerLimit, slow)
	defer cancel()
	return f(ctx, c)
}

// printJSON writes v as one line.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// command makes a command that reaches an emulator.
func (r *reach) command(c cobra.Command, f func(cmd *cobra.Command, args []string) error) *cobra.Command {
	c.RunE = run(f)
	cmd := &c
	r.flags(cmd)
	return cmd
}

// roomArgs completes the names of rooms for the first n arguments; -1: for all.
func (r *reach) roomArgs(n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if n >= 0 && len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		_ = r.with(cmd, func(ctx context.Context, c *control.Client) error {
			s, err := c.Snapshot(ctx)
			if err != nil {
				return err
			}
			for _, room := range s.Rooms {
				names = append(names, room.Room)
			}
			return nil
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// noFiles is for arguments that are no files.
func noFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// confirm asks a question of a person. Where there is none it fails and names
// the flag that answers.
func confirm(cmd *cobra.Command, question string) error {
	if !isTerminal(os.Stdin) || !isTerminal(os.Stderr) {
		return usageError{errors.New(question + " Say --yes to do it without being asked")}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s Continue? [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(os.Stdin, &answer)
	if answer != "y" && answer != "Y" && answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
