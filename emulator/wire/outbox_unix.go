//go:build unix

package wire

import "syscall"

const canTryWrite = true

// tryWrite writes what the socket takes without waiting, also where the socket
// is one that waits.
func tryWrite(fd uintptr, b []byte) (int, error) {
	written := 0
	for written < len(b) {
		n, err := syscall.SendmsgN(int(fd), b[written:], nil, nil, syscall.MSG_DONTWAIT)
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
