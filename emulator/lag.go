package emulator

import (
	"context"
	"net"
	"sync"
	"time"
)

// lag lies between a socket and its connection once a delay was asked for: what
// passes it either way arrives so much later, in order, and at no lower rate.
// Time is the machine's.
type lag struct {
	net.Conn // beneath

	mu     sync.Mutex
	delay  time.Duration
	change chan struct{} // closed at each change of what follows
	in     late          // read, and not handed on
	out    late          // written, and not sent on
	ending bool          // no more is read, and out is the last
	over   bool
	err    error // of writing
	pulls  bool  // somebody reads from beneath

	work *sync.WaitGroup
}

// late is what is on its way.
type late struct {
	parts []part
	size  int
}

type part struct {
	at   time.Time // when it came
	data []byte
	err  error // instead of data
}

// lagMost is how much may be on its way in one direction; then it waits outside,
// where the limits on slow clients count it.
const lagMost = 1 << 20

// newLag starts the lag of a connection; it ends with ctx.
func newLag(ctx context.Context, work *sync.WaitGroup, conn net.Conn, d time.Duration) *lag {
	l := &lag{Conn: conn, delay: d, change: make(chan struct{}), work: work}
	work.Go(func() { l.push(ctx) })
	return l
}

// changed must be called with mu held.
func (l *lag) changed() {
	close(l.change)
	l.change = make(chan struct{})
}

func (l *lag) set(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
	l.changed()
}

// due waits until the first part of q has arrived, or there is no use in
// waiting. It must be called with mu held, and has it when it returns.
func (l *lag) due(q *late) (p *part, ok bool) {
	for {
		if l.over || l.ending && q == &l.in {
			return nil, false
		}
		wait := time.Duration(-1)
		if len(q.parts) > 0 {
			if wait = time.Until(q.parts[0].at.Add(l.delay)); wait <= 0 {
				return &q.parts[0], true
			}
		} else if l.ending {
			return nil, false
		}
		change := l.change
		l.mu.Unlock()
		if wait < 0 {
			<-change
		} else {
			t := time.NewTimer(wait)
			select {
			case <-change:
			case <-t.C:
			}
			t.Stop()
		}
		l.mu.Lock()
	}
}

func (q *late) add(p part) {
	q.parts = append(q.parts, p)
	q.size += len(p.data)
}

func (q *late) pop() {
	q.size -= len(q.parts[0].data)
	q.parts[0] = part{}
	q.parts = q.parts[1:]
}

// Write takes a copy of b and sends it on later.
func (l *lag) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.out.size > lagMost && !l.over && !l.ending && l.err == nil {
		change := l.change
		l.mu.Unlock()
		<-change
		l.mu.Lock()
	}
	switch {
	case l.err != nil:
		return 0, l.err
	case l.over || l.ending:
		return 0, net.ErrClosed
	}
	l.out.add(part{at: time.Now(), data: append([]byte(nil), b...)})
	l.changed()
	return len(b), nil
}

// push sends on what was written, and closes the connection behind the last.
func (l *lag) push(ctx context.Context) {
	defer context.AfterFunc(ctx, l.tear)()
	l.mu.Lock()
	for {
		p, ok := l.due(&l.out)
		if !ok {
			break
		}
		data := p.data
		l.mu.Unlock()
		_, err := l.Conn.Write(data)
		l.mu.Lock()
		if err != nil {
			l.err = err
			l.out = late{}
		} else {
			l.out.pop()
		}
		l.changed()
	}
	l.mu.Unlock()
	l.tear()
}

// Read returns what has arrived. Only one goroutine may call it.
func (l *lag) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.pulls {
		l.pulls = true
		l.work.Go(l.pull)
	}
	p, ok := l.due(&l.in)
	switch {
	case !ok:
		return 0, net.ErrClosed
	case p.err != nil:
		return 0, p.err
	}
	n := copy(b, p.data)
	if n == len(p.data) {
		l.in.pop()
	} else {
		p.data = p.data[n:]
		l.in.size -= n
	}
	l.changed()
	return n, nil
}

// arrived holds what was read before there was a lag.
func (l *lag) arrived(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in.add(part{at: time.Now(), data: append([]byte(nil), b...)})
}

// pull reads what comes until it fails, which Close sees to.
func (l *lag) pull() {
	b := make([]byte, 16<<10)
	for {
		n, err := l.Conn.Read(b)
		l.mu.Lock()
		if n > 0 {
			l.in.add(part{at: time.Now(), data: append([]byte(nil), b[:n]...)})
		}
		if err != nil {
			l.in.add(part{at: time.Now(), err: err})
		}
		l.changed()
		for l.in.size > lagMost && !l.over && !l.ending {
			change := l.change
			l.mu.Unlock()
			<-change
			l.mu.Lock()
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Close ends reading, and the connection behind what was written.
func (l *lag) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending = true
	l.changed()
	return nil
}

// tear ends the connection at once.
func (l *lag) tear() {
	l.mu.Lock()
	l.over = true
	l.changed()
	l.mu.Unlock()
	_ = l.Conn.Close()
}

// waiting is how much is on its way to the client.
func (l *lag) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.size
}

// slow lets what passes the socket take d longer. It must be a WebSocket. The
// room's owner calls it.
func (s *socket) slow(e *Emulator, d time.Duration) {
	if l := s.lag.Load(); l != nil {
		l.set(d)
		return
	}
	l := newLag(e.ctx, &e.work, s.Conn, d)
	s.out.Through(l)
	s.lag.Store(l)
}

// waiting is how much the client has not been sent.
func (s *socket) waiting() int {
	n := s.out.Size()
	if l := s.lag.Load(); l != nil {
		n += l.waiting()
	}
	return n
}

// tear ends the socket at once, with what was written and not sent.
func (s *socket) tear() {
	if l := s.lag.Load(); l != nil {
		l.tear()
		return
	}
	_ = s.Conn.Close()
}

// Close ends the socket; where it is slowed, behind what is on its way.
func (s *socket) Close() error {
	if l := s.lag.Load(); l != nil {
		return l.Close()
	}
	return s.Conn.Close()
}
