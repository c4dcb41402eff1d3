// Package process runs a guest as a process of its own and talks to it over a
// Unix socket. No process outlives the emulator, however that ends: a guest
// exits when its socket closes, and where the system can do it (Linux) the
// kernel kills it with its parent.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// Command says what to run.
type Command struct {
	Path string
	Args []string
	Env  []string // added to the emulator's own
	Dir  string
	// Line gets each line that the process writes. It must not block.
	Line func(stderr bool, line string)
	// HelloLimit is how long the process may take until it calls party.Main.
	// 0: 15 s.
	HelloLimit time.Duration
}

// Process is a running guest.
type Process struct {
	cmd   *exec.Cmd
	conn  *wire.Conn
	hello *wire.Hello

	mu     sync.Mutex
	err    error
	asked  bool // Close was called
	output []string
	marks  map[string]*outputMark
	pipes  []io.ReadCloser
	read   sync.WaitGroup // of its output
	exited chan struct{}  // the process has
	served chan struct{}  // nobody reads the link any more; nil: never run

	receive wire.Receiver // of Run
	unrun   sync.Once     // the end of one that was never run
	done    chan struct{}
}

// How much of its output is kept, and how long it may take to end by itself.
const (
	keptLines = 40
	exitLimit = 300 * time.Millisecond
)

// Start runs the command and waits for its hello.
func Start(ctx context.Context, c Command) (*Process, error) {
	if c.HelloLimit == 0 {
		c.HelloLimit = 15 * time.Second
	}
	p := &Process{cmd: exec.Command(c.Path, c.Args...), exited: make(chan struct{}), done: make(chan struct{})}
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), c.Env...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	accept, err := socket(p.cmd)
	if err != nil {
		return nil, fmt.Errorf("making the socket to the server's process: %w", err)
	}
	if err := p.start(); err != nil {
		if conn, err := accept(p.exited, time.Millisecond); err == nil {
			_ = conn.Close()
		}
		return nil, fmt.Errorf("starting the server's process: %w", err)
	}
	p.pipes = []io.ReadCloser{stdout, stderr}
	p.read.Go(func() { p.lines(stdout, false, c.Line) })
	p.read.Go(func() { p.lines(stderr, true, c.Line) })
	conn, err := accept(p.exited, c.HelloLimit)
	if err == nil {
		p.conn = wire.NewConn(conn)
		err = p.greet(ctx, c.HelloLimit)
	}
	if err != nil {
		return nil, p.failed(err)
	}
	return p, nil
}

// greet waits for the hello and checks the version.
func (p *Process) greet(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errNoMain)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = p.conn.Close() })
	m, err := p.conn.Read()
	if !stop() {
		if cause := context.Cause(ctx); cause != errNoMain {
			return cause
		}
		return fmt.Errorf("the program did not call party.Main within %s: call it at the end of main, and do slow work in OnStart", limit)
	}
	if err != nil {
		return errNoHello
	}
	h, ok := m.(*wire.Hello)
	if !ok {
		return fmt.Errorf("the program's first message is a %T", m)
	}
	if h.Version != wire.Version {
		return fmt.Errorf("the server's party module speaks protocol %d and this tool protocol %d: bring both to one version, with `go get github.com/goparty/party@latest` in the server's module and `go install github.com/goparty/party/cmd/party@latest`", h.Version, wire.Version)
	}
	p.hello = h
	return nil
}

var (
	errNoHello = errors.New("no hello") // the program ended too early; failed says how
	errNoMain  = errors.New("no hello in time")
)

// failed ends a process that did not get to its hello, and explains.
func (p *Process) failed(err error) error {
	if errors.Is(err, errNoHello) {
		select {
		case <-p.exited:
		case <-time.After(exitLimit):
		}
	}
	p.kill()
	if p.conn != nil {
		_ = p.conn.Close()
	}
	p.reap()
	if !errors.Is(err, errNoHello) {
		return err
	}
	out := p.Output()
	if state := p.cmd.ProcessState; out == "" || state.Success() {
		if out != "" {
			out = "; it wrote:\n" + out
		}
		return fmt.Errorf("the program ended (%s) without calling party.Main: its main function should end with party.Main(App)%s", state, out)
	}
	return fmt.Errorf("the program ended (%s) before it served:\n%s", p.cmd.ProcessState, out)
}

// reap waits for the end of the process and of its output. Something that it
// started and that left its group may hold the pipes; we do not wait for that.
func (p *Process) reap() {
	<-p.exited
	t := time.AfterFunc(exitLimit, p.closePipes)
	p.read.Wait()
	t.Stop()
	p.closePipes()
}

func (p *Process) closePipes() {
	for _, r := range p.pipes {
		_ = r.Close()
	}
}

// lines reads what the process writes.
func (p *Process) lines(r io.Reader, stderr bool, line func(bool, string)) {
	br := bufio.NewReaderSize(r, 16<<10)
	for {
		b, err := br.ReadSlice('\n') // a longer line comes in pieces
		if len(b) > 0 {
			s := strings.TrimRight(string(b), "\r\n")
			if text, mark, ok := strings.Cut(s, MarkPrefix); ok {
				p.marked(mark)
				if s = text; s == "" {
					continue
				}
			}
			p.mu.Lock()
			if p.output = append(p.output, s); len(p.output) > keptLines {
				p.output = p.output[1:]
			}
			p.mu.Unlock()
			if line != nil {
				line(stderr, s)
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// MarkPrefix begins a mark of [wire.Settle] in what the process writes; no one
// else sees it.
const MarkPrefix = "\x1eparty-mark-"

// marked notes that a mark has come on one of the two outputs.
func (p *Process) marked(mark string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mark(mark)
	if m.seen++; m.seen == len(p.pipes) {
		close(m.whole)
	}
}

// mark must be called with mu held.
func (p *Process) mark(mark string) *outputMark {
	if p.marks == nil {
		p.marks = map[string]*outputMark{}
	}
	m := p.marks[mark]
	if m == nil {
		m = &outputMark{whole: make(chan struct{})}
		p.marks[mark] = m
	}
	return m
}

// outputMark is a mark on its way through the process's outputs.
type outputMark struct {
	seen  int
	whole chan struct{} // closed when it has come on all
}

// AwaitMark returns when everything that the process wrote before the mark has
// been handed to Command.Line, or when ctx ends or the process does.
func (p *Process) AwaitMark(ctx context.Context, mark string) {
	p.mu.Lock()
	m := p.mark(mark)
	p.mu.Unlock()
	select {
	case <-m.whole:
	case <-ctx.Done():
	case <-p.done:
	}
	p.mu.Lock()
	delete(p.marks, mark)
	p.mu.Unlock()
}

// Hello is what the guest said of itself.
func (p *Process) Hello() *wire.Hello { return p.hello }

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why it ended.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Output is the end of what it wrote.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.output, "\n")
}

// Run welcomes the guest and reads its messages until it ends.
func (p *Process) Run(w *wire.Welcome, receive wire.Receiver) wire.Link {
	p.served = make(chan struct{})
	p.receive = receive
	p.conn.Send(w)
	p.conn.Flush()
	go p.serve()
	return p.conn
}

// ReadOn makes another goroutine read the guest's messages, while the one that
// did is lent to something else.
func (p *Process) ReadOn() { go p.serve() }

// serve reads until the guest ends or another goroutine reads on.
func (p *Process) serve() {
	handle, pause := p.receive()
	err := p.conn.Serve(handle, pause)
	if err == nil {
		return
	}
	pause()
	close(p.served)
	select {
	case <-p.exited:
	case <-time.After(exitLimit):
	}
	p.kill()
	p.reap()
	p.mu.Lock()
	p.err = fmt.Errorf("its process ended: %s", p.cmd.ProcessState)
	if err != io.EOF && !p.asked && !errors.Is(err, net.ErrClosed) && strings.Contains(err.Error(), "malformed") {
		p.err = fmt.Errorf("its process was ended because it sent what is not the protocol: %w", err)
	}
	p.mu.Unlock()
	_ = p.conn.Close()
	close(p.done)
}

// Close ends the process and waits until it has ended.
func (p *Process) Close() {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	_ = p.conn.Close()
	p.kill()
	if p.served == nil { // it was never run: nobody else waits for its end
		p.unrun.Do(func() { p.reap(); close(p.done) })
	}
	<-p.done
}
