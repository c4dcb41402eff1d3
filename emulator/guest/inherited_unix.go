//go:build unix

package guest

import (
	"io"
	"strconv"
	"syscall"

	"github.com/goparty/party/emulator/wire"
)

// inherited is the socket that the emulator started this process with.
func inherited(fd string) (io.ReadWriteCloser, error) {
	n, err := strconv.Atoi(fd)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(n)
	return wire.Waiting(n)
}
