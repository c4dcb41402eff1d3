package watch

import (
	"context"
	"log/slog"
	"time"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/process"
)

// Loader starts a program that a [Builder] built as a process of its own. What
// the process writes becomes log lines of its generation.
type Loader struct {
	Path   string
	Dir    string // where it runs; "": here
	Events *inspect.Stream
	// Patient lets it take any time until it serves, as in a debugger.
	Patient bool
}

// Load implements [emulator.Loader].
func (l *Loader) Load(ctx context.Context, generation uint64) (emulator.Guest, error) {
	limit := time.Duration(0)
	if l.Patient {
		limit = 24 * time.Hour
	}
	p, err := process.Start(ctx, process.Command{
		Path: l.Path, Dir: l.Dir, HelloLimit: limit,
		Line: func(stderr bool, line string) {
			level := slog.LevelInfo
			if stderr {
				level = slog.LevelError
			}
			l.Events.Publish(&inspect.Log{
				Header: inspect.Header{Generation: generation}, Level: level.String(), Text: line, Output: true,
			})
		},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}
