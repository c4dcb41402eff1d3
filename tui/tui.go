// Package tui is the dashboard: the rooms of an emulator, live in a terminal.
//
// It sees and does everything through [inspect.Emulator], so that it is the same
// inside `party dev` and attached to one that runs elsewhere. Asking and doing
// happen in commands, never where keys are handled: an emulator that does not
// answer shows as such, and the dashboard can always be left.
package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/goparty/party/emulator/inspect"
)

// Options of a dashboard.
type Options struct {
	Emulator inspect.Emulator
	Recorder Recorder      // nil: nothing can be recorded from here
	Name     string        // of what is shown, such as the server's directory
	Attached bool          // leaving it leaves the emulator running
	ASCII    bool          // no other signs than those of ASCII
	Notes    <-chan string // what is to be said; nil: nothing

	Input  io.Reader // nil: the terminal
	Output io.Writer // nil: the terminal
}

// Recorder makes a script of what happens.
type Recorder interface {
	// Start begins to record into a file.
	Start(ctx context.Context, path string) error
	// Stop ends the script and says what was written.
	Stop(ctx context.Context) (string, error)
}

// ErrPanic is the error of a dashboard that had a bug. Its stack was printed.
var ErrPanic = errors.New("the dashboard had a bug; its stack is above")

// Fits says why a dashboard cannot be shown, or "" where it can. getenv is
// os.Getenv, and terminal whether input and output are one.
func Fits(terminal bool, getenv func(string) string) string {
	switch {
	case !terminal:
		return "this is not a terminal"
	case getenv("TERM") == "dumb":
		return "TERM is dumb"
	case getenv("TERM") == "" && runtime.GOOS != "windows":
		return "TERM is not set"
	case getenv("CI") != "" && getenv("CI") != "false":
		return "CI is set"
	}
	return ""
}

// Run shows the dashboard until the person leaves it or ctx ends.
func Run(ctx context.Context, o Options) error {
	asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m := newModel(asking, o)
	defer m.close()
	defer cancel()
	opts := []tea.ProgramOption{tea.WithoutSignalHandler()}
	if os.Getenv("NO_COLOR") != "" { // of any value; the library knows truth values only
		opts = append(opts, tea.WithColorProfile(colorprofile.ASCII))
	}
	if o.Input != nil {
		opts = append(opts, tea.WithInput(o.Input))
	}
	if o.Output != nil {
		opts = append(opts, tea.WithOutput(o.Output))
	}
	var bug bug
	p := tea.NewProgram(careful{m, &bug}, opts...)
	// Told to quit, a program ends in order; killed, it may still be reading.
	stop := context.AfterFunc(ctx, func() {
		kill := time.AfterFunc(quitLimit, p.Kill)
		defer kill.Stop()
		p.Quit()
		p.Wait()
	})
	defer stop()
	_, err := p.Run()
	switch {
	case bug.found():
		bug.print(os.Stderr)
		return ErrPanic
	case errors.Is(err, tea.ErrProgramPanic): // in the library, which has printed it
		return ErrPanic
	case ctx.Err() != nil, errors.Is(err, tea.ErrInterrupted):
		return nil
	case err != nil:
		return fmt.Errorf("the dashboard: %w", err)
	}
	return nil
}

// The pace of the dashboard.
const (
	gather    = 100 * time.Millisecond // events are taken together for so long
	unread    = 512                    // events that may wait meanwhile
	busyPoll  = 250 * time.Millisecond // between two looks while something happens
	idlePoll  = time.Second            // and while nothing does
	slowest   = 3 * time.Second        // however long looking takes
	share     = 20                     // looking may take one part in so many of the time
	patience  = 2 * time.Second        // then the emulator is said not to answer
	heartbeat = 250 * time.Millisecond // of countdowns
	quitLimit = 2 * time.Second        // for a dashboard that is told to end
)
