package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// A dashboard changes the terminal's settings and draws over the screen. Where
// it has a bug of its own it gives the terminal back itself. What else can end
// the tool, such as a bug in the emulator or kill -9, leaves no time for that:
// so a second process waits for the end of the first.

const guardCommandName = "guard-terminal"

// farewell is what a tool that ends well writes.
const farewell = "ended"

// startGuard starts the process that gives the terminal back, and returns what
// lets it go. Where it cannot be started there is none: the dashboard does not
// depend on it.
func startGuard() (release func()) {
	none := func() {}
	self, err := os.Executable()
	if err != nil || runtime.GOOS == "windows" {
		return none
	}
	heard, said, err := os.Pipe()
	if err != nil {
		return none
	}
	defer heard.Close()
	cmd := exec.Command(self, guardCommandName)
	cmd.Stdin, cmd.Stderr = heard, os.Stdout
	ready, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = said.Close()
		return none
	}
	_, _ = ready.Read(make([]byte, 1)) // it knows what the terminal is like
	_ = debug.SetCrashOutput(said, debug.CrashOptions{})
	return func() {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		_, _ = io.WriteString(said, farewell)
		_ = said.Close()
		_ = cmd.Wait()
	}
}

func guardCommand() *cobra.Command {
	return &cobra.Command{
		Use:    guardCommandName,
		Short:  "Give the terminal back when the dashboard ends without doing so",
		Hidden: true,
		Args:   arguments(0, 0),
		RunE: run(func(*cobra.Command, []string) error {
			guard(os.Stdin, os.Stdout, os.Stderr)
			return nil
		}),
	}
}

// guard waits for the end of whoever holds the other end of in. tty is the
// terminal.
func guard(in io.Reader, ready io.WriteCloser, tty *os.File) {
	ignoreTerminalSignals()
	before, err := term.GetState(int(tty.Fd()))
	_, _ = ready.Write([]byte{'.'})
	_ = ready.Close()
	last, _ := io.ReadAll(in)
	if err != nil || bytes.HasSuffix(last, []byte(farewell)) {
		return
	}
	_, _ = io.WriteString(tty, ansi.ResetModeSynchronizedOutput+ansi.ResetModeAltScreenSaveCursor+ansi.ResetModeBracketedPaste+
		ansi.ResetModeMouseButtonEvent+ansi.ResetModeMouseAnyEvent+ansi.ResetModeMouseExtSgr+
		ansi.ResetModifyOtherKeys+ansi.KittyKeyboard(0, 1)+ansi.ResetProgressBar+ansi.ShowCursor+ansi.ResetStyle+"\r")
	_ = term.Restore(int(tty.Fd()), before)
	if len(last) > 0 {
		_, _ = io.WriteString(tty, "party had a bug; this is where:\n\n")
		_, _ = tty.Write(last)
		return
	}
	_, _ = io.WriteString(tty, "party was killed\n")
}
