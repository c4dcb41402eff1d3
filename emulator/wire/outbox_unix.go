//go:build unix

package wire

import "syscall"

const canTryWrite = true

// tryWrite writes what the socket takes without waiting. Go's sockets are
// non-blocking, so a full one answers EAGAIN.
func tryWrite(fd uintptr, b []byte) (int, error) {
	written := 0
	for written < len(b) {
		n, err := syscall.Write(int(fd), b[written:])
		switch err {
		case nil:
			written += n
		case syscall.EINTR:
		case syscall.EAGAIN:
			return written, nil
		default:
			return written, err
		}
	}
	return written, nil
}
