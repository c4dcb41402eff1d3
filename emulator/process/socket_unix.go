//go:build unix

package process

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// socket gives the command one end of a socket pair as its file 3. A pair has
// no name in the file system that could be left behind or be reached by others.
func socket(cmd *exec.Cmd) (accept func(<-chan struct{}, time.Duration) (io.ReadWriteCloser, error), err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "emulator")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(cmd.Env, guest.SocketVariable+"=fd:3")
	return func(<-chan struct{}, time.Duration) (io.ReadWriteCloser, error) {
		_ = theirs.Close()
		return wire.Waiting(fds[0])
	}, nil
}

// kill ends the process and all that it started.
func (p *Process) kill() {
	if p.cmd.Process != nil {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
}
