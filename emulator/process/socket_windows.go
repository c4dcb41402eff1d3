package process

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/goparty/party/emulator/guest"
)

// socket listens where the command is told to connect. Windows passes no
// sockets to children.
func socket(cmd *exec.Cmd) (accept func(<-chan struct{}, time.Duration) (io.ReadWriteCloser, error), err error) {
	dir, err := os.MkdirTemp("", "party")
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	cmd.Env = append(cmd.Env, guest.SocketVariable+"=unix:"+ln.Addr().String())
	return func(exited <-chan struct{}, limit time.Duration) (io.ReadWriteCloser, error) {
		defer os.RemoveAll(dir)
		defer ln.Close()
		accepted := make(chan struct{})
		defer close(accepted)
		go func() {
			select {
			case <-exited:
				_ = ln.Close()
			case <-accepted:
			}
		}()
		_ = ln.(*net.UnixListener).SetDeadline(time.Now().Add(limit))
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, errNoHello
		}
		return c, err
	}, nil
}

func group(*exec.Cmd) {}

func (p *Process) kill() {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
	}
}
