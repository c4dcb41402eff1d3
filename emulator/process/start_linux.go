package process

import (
	"runtime"
	"syscall"
)

// start runs the process in a group of its own and lets the kernel kill it when
// the thread that started it ends, so that thread must live as long: it belongs
// to a goroutine that does nothing else.
func (p *Process) start() error {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with us
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.wait()
		}
	}()
	return <-started
}
