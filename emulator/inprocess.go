package emulator

import (
	"context"
	"sync"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// InProcess loads a program into this process: for a server that stands alone,
// and for tests. A panic in a goroutine that its code starts ends the process,
// and a hook that never returns is fenced but leaks.
func InProcess(p guest.Program) Loader { return inProcess{p} }

type inProcess struct{ program guest.Program }

func (l inProcess) Load(context.Context, uint64) (Guest, error) {
	return &localGuest{guest: guest.New(l.program), done: make(chan struct{})}, nil
}

type localGuest struct {
	guest *guest.Guest
	done  chan struct{}
	once  sync.Once
}

func (g *localGuest) Hello() *wire.Hello { return g.guest.Hello() }

func (g *localGuest) Run(w *wire.Welcome, receive wire.Receiver) wire.Link {
	handle, pause := receive()
	g.guest.Connect(wire.NewPipe(func(m wire.Message) { handle(m) }, func() { pause() }, func() {}), w)
	return wire.NewPipe(g.guest.Handle, func() {}, func() {})
}

func (g *localGuest) ReadOn()               {}
func (g *localGuest) Done() <-chan struct{} { return g.done }
func (g *localGuest) Err() error            { return nil }
func (g *localGuest) Output() string        { return "" }
func (g *localGuest) PID() int              { return 0 }

func (g *localGuest) Close() {
	g.once.Do(func() {
		g.guest.Close()
		close(g.done)
	})
}
