package watch

import "os/exec"

// apart leaves a go command as it is: its context kills it.
func apart(*exec.Cmd) (kill func()) { return func() {} }

// prefer leaves a command as important as it is.
func prefer(*exec.Cmd) {}
