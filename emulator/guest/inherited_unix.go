//go:build unix

package guest

import (
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// inherited is the socket that the emulator started this process with, as a file
// that blocks. A guest often has nothing to do but to wait for the emulator. If
// it waited in Go's poller, all of the scheduler would go to sleep with it, its
// monitor thread included, and be woken with it for every message; a thread that
// waits in the kernel takes an eighth less of the processor for each.
func inherited(fd string) (io.ReadWriteCloser, error) {
	n, err := strconv.Atoi(fd)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(n)
	if err := syscall.SetNonblock(n, false); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return blocking{os.NewFile(uintptr(n), "emulator")}, nil
}

type blocking struct{ *os.File }

// Read first lets run what this goroutine has made ready: while its thread waits
// in the kernel, nothing else runs in its place until the monitor has seen that.
func (b blocking) Read(p []byte) (int, error) {
	runtime.Gosched()
	return b.File.Read(p)
}
