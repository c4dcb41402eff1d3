//go:build unix

package wire

import (
	"io"
	"os"
	"runtime"
	"syscall"
)

// Waiting returns the socket fd, which it owns, as one whose reader waits in the
// kernel. Both ends of a link often have nothing to do but to wait for the other.
// If they did so in Go's poller, all of the scheduler would go to sleep with them,
// its monitor thread included, and be woken with them for every message: a tenth
// to a sixth of what a message costs.
func Waiting(fd int) (io.ReadWriteCloser, error) {
	if err := syscall.SetNonblock(fd, false); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return waiting{os.NewFile(uintptr(fd), "link")}, nil
}

type waiting struct{ *os.File }

// Read first lets run what this goroutine has made ready: while its thread waits
// in the kernel, nothing else runs in its place until the monitor has seen that.
func (w waiting) Read(p []byte) (int, error) {
	runtime.Gosched()
	return w.File.Read(p)
}

// Close ends a Read that waits, too.
func (w waiting) Close() error {
	if raw, err := w.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
	}
	return w.File.Close()
}
