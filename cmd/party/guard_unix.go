//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreTerminalSignals keeps a process going that is about to mend a terminal:
// by then it may not be in the foreground, and what ends the tool may be sent to
// all of its group.
func ignoreTerminalSignals() {
	signal.Ignore(syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGTSTP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP)
}
