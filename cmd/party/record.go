package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/devclient/script"
	"github.com/goparty/party/emulator/inspect"
)

func recordCommand() *cobra.Command {
	var r reach
	var force bool
	var span time.Duration
	cmd := r.command(cobra.Command{
		Use:   "record FILE",
		Short: "Turn what happens from now on into a test script",
		Long: `Record what clients do and see, and what is forced, until Ctrl-C, and write it to
FILE as a script for party test: what they did becomes commands, what they saw
becomes expectations. Times, and ids that nobody chose, are made stable.

The script begins without rooms, so begin a recording before the first client
comes, best on a fresh party dev. What it cannot do again it says in comments.`,
		Example: "  party record lobby.txtar      # try things out, then Ctrl-C\n  party test lobby.txtar",
		Args:    arguments(1, 1),
	}, func(cmd *cobra.Command, args []string) error {
		file := args[0]
		if filepath.Ext(file) == "" {
			file += ".txtar"
		}
		if _, err := os.Stat(file); err == nil && !force {
			return usageError{fmt.Errorf("%s is there already: name another file, or say --force to replace it", file)}
		}
		return r.record(cmd, file, span)
	})
	cmd.Flags().BoolVar(&force, "force", false, "replace the file")
	cmd.Flags().DurationVar(&span, "for", 0, "end by itself after so long")
	return cmd
}

// unreadMost is how many events may wait for the recorder.
const unreadMost = 1 << 16

// record writes a script to file.
func (r *reach) record(cmd *cobra.Command, file string, span time.Duration) error {
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := untilInterrupt(cmd.Context())
	defer stop()
	if span > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, span)
		defer cancel()
	}
	// The file is there from the beginning, so that a place where it cannot be
	// is known at once.
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	s, feed, err := c.FollowWhole(ctx, unreadMost, script.RecordPayload)
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	defer feed.Close()
	conns, err := c.Connections(ctx)
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	dir, err := relative(s.Source)
	if err != nil {
		return err
	}
	rec := script.NewRecorder(script.RecordOptions{Snapshot: s, Connections: conns, Dir: dir, Flags: s.Flags})
	said := cmd.OutOrStdout()
	if r.json {
		said = cmd.ErrOrStderr()
	}
	fmt.Fprintf(said, "recording to %s; Ctrl-C ends it\n", file)
	gone := over(ctx, recordAll(ctx, c, feed, rec))
	text, warnings := rec.Script()
	if _, err := out.Write(text); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: "+clean(w))
	}
	if r.json {
		return errors.Join(gone, printJSON(cmd.OutOrStdout(), map[string]any{"file": file, "events": rec.Len(), "warnings": warnings}))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; `party test %s` runs it\n", file, file)
	return gone
}

// onItsWay is how long the end of a recording waits for what happened before it.
const onItsWay = time.Second

// recordAll adds what happens until ctx ends, all of it: what had happened by then
// may still be on its way here. Without an end of ctx it returns why the feed
// ended.
func recordAll(ctx context.Context, v inspect.Viewer, feed inspect.Feed, rec *script.Recorder) error {
	read := func(ctx context.Context, upTo uint64) error {
		for rec.Seq() < upTo {
			events, lost, err := feed.Next(ctx)
			if err != nil {
				return err
			}
			rec.Add(events, lost)
		}
		return nil
	}
	if err := read(ctx, math.MaxUint64); ctx.Err() == nil {
		return err
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), onItsWay)
	defer cancel()
	if s, err := v.Snapshot(late); err == nil {
		_ = read(late, s.Seq) // an emulator that is gone by now has told all that it will
	}
	return ctx.Err()
}

// relative is dir as a script names it that runs here.
func relative(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if here, err = filepath.EvalSymlinks(here); err != nil {
		return "", err
	}
	rel, err := filepath.Rel(here, dir)
	if err != nil || strings.HasPrefix(rel, "..") {
		return dir, nil
	}
	return filepath.ToSlash(rel), nil
}
