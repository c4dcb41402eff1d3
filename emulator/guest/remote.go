//go:build !js

package guest

import (
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/goparty/party/emulator/wire"
)

// SocketVariable is the environment variable that tells a guest's process where
// its emulator is: "fd:3", or "unix:" and a path.
const SocketVariable = "PARTY_GUEST"

// Remote is a guest's link to an emulator in another process.
type Remote struct {
	conn  *wire.Conn
	ready chan struct{} // closed when the program is there
	ended chan struct{}
	guest *Guest
}

// Attach connects to the emulator that started this process. When the emulator
// ends, however that happens, so does the process: Attach should run before any
// of the user's code can hang. It returns nil where no emulator started us.
func Attach() (*Remote, error) {
	where := os.Getenv(SocketVariable)
	if where == "" {
		return nil, nil
	}
	_ = os.Unsetenv(SocketVariable) // not for the processes that user code starts
	conn, err := dial(where)
	if err != nil {
		return nil, fmt.Errorf("connecting to the emulator: %w", err)
	}
	r := &Remote{conn: wire.NewConn(conn), ready: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		_ = r.conn.Serve(func(m wire.Message) {
			<-r.ready
			if w, ok := m.(*wire.Welcome); ok {
				r.guest.Connect(r.conn, w)
				return
			}
			r.guest.Handle(m)
		}, func() {})
		os.Exit(0)
	}()
	return r, nil
}

func dial(where string) (net.Conn, error) {
	kind, at, _ := strings.Cut(where, ":")
	switch kind {
	case "unix":
		return net.Dial("unix", at)
	case "fd":
		var fd uintptr
		if _, err := fmt.Sscan(at, &fd); err != nil {
			return nil, err
		}
		f := os.NewFile(fd, "emulator")
		defer f.Close() // FileConn makes a copy, closed on exec
		return net.FileConn(f)
	}
	return nil, fmt.Errorf("%s=%q is not understood", SocketVariable, where)
}

// Run serves p until the emulator ends, which ends the process.
func (r *Remote) Run(p Program) {
	r.guest = New(p)
	r.conn.Send(r.guest.Hello())
	r.conn.Flush()
	close(r.ready)
	<-r.ended
}

// Refuse tells the emulator that the program cannot run, and ends the process.
func (r *Remote) Refuse(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
