//go:build unix

package watch

import (
	"os/exec"
	"syscall"
	"time"
)

// apart runs a go command in a process group of its own: a terminal's Ctrl-C
// reaches it, and all that it started, through its context only, so that it
// never looks like a build that failed. kill ends what is left.
func apart(cmd *exec.Cmd) (kill func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 500 * time.Millisecond
	return func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
}

// prefer lets a command go before the server that runs meanwhile, where the
// system lets us: somebody waits for it.
func prefer(cmd *exec.Cmd) { _ = syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, -5) }
