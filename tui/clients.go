package tui

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/devclient"
)

// clients are the test clients that were connected from here.
type clients struct {
	ctx     context.Context
	all     []*client
	waiting bool // a command waits for what comes
	running sync.WaitGroup

	mu    sync.Mutex // guards what came and was not taken
	came  []clientEvent
	lost  map[*client]int
	ready chan struct{} // capacity 1
}

// client is one connection as a browser has it.
type client struct {
	id     string // that the server knows it by
	room   string
	conn   *devclient.Client // nil until it is open
	over   string            // how it ended
	hex    bool              // what is written are bytes in hex
	list   list
	follow bool
	lines  *ring[clientLine]
	past   past
	lost   int // that came too fast to be kept
}

// clientLine is one message of a client, or what happened to it.
type clientLine struct {
	at     time.Time
	sent   bool
	note   string // instead of a message
	binary bool
	data   []byte
}

// clientEvent is something that came for a client.
type clientEvent struct {
	c     *client
	line  clientLine
	over  string
	opens *devclient.Client
}

// clientsMsg is what came for all of them.
type clientsMsg struct {
	events []clientEvent
	lost   map[*client]int
}

// Bounds of what is kept of clients.
const (
	clientKept  = 1000    // lines of each
	clientRoom  = 2000    // events that wait to be shown
	clientBytes = 4 << 10 // of each message
	clientPace  = 33 * time.Millisecond
	dialLimit   = 30 * time.Second
)

func newClients(ctx context.Context) *clients {
	return &clients{ctx: ctx, lost: map[*client]int{}, ready: make(chan struct{}, 1)}
}

// close ends all connections, and returns when nothing of them runs.
func (c *clients) close() {
	for _, one := range c.all {
		if one.conn != nil {
			one.conn.Drop()
		}
	}
	c.running.Wait()
}

// of lists the clients of a room.
func (c *clients) of(room string) []*client {
	var out []*client
	for _, one := range c.all {
		if one.room == room {
			out = append(out, one)
		}
	}
	return out
}

// put leaves an event to be taken. Where too many wait, messages are dropped
// and counted.
func (c *clients) put(e clientEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.came) >= clientRoom && e.over == "" && e.opens == nil {
		c.lost[e.c]++
		return
	}
	c.came = append(c.came, e)
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// wait is the command that brings what came.
func (c *clients) wait() tea.Cmd {
	if c.waiting {
		return nil
	}
	c.waiting = true
	return func() tea.Msg {
		select {
		case <-c.ready:
		case <-c.ctx.Done():
			return nil
		}
		pause(c.ctx, clientPace)
		c.mu.Lock()
		defer c.mu.Unlock()
		msg := clientsMsg{c.came, c.lost}
		c.came, c.lost = nil, map[*client]int{}
		return msg
	}
}

// dial connects a new client.
func (m *model) dial(room string) tea.Cmd {
	cs := m.clients
	c := &client{id: fmt.Sprintf("dash%d-%s", len(cs.all)+1, suffix()), room: room, lines: newRing[clientLine](clientKept), follow: true}
	cs.all = append(cs.all, c)
	to := m.address(room)
	return tea.Batch(cs.wait(), func() tea.Msg {
		cs.running.Add(1)
		defer cs.running.Done()
		ctx, cancel := context.WithTimeout(cs.ctx, dialLimit)
		defer cancel()
		conn, err := devclient.Dial(ctx, to, devclient.Options{ID: c.id})
		if err != nil {
			cs.put(clientEvent{c: c, over: err.Error(), line: clientLine{at: time.Now(), note: err.Error()}})
			return nil
		}
		cs.put(clientEvent{c: c, opens: conn, line: clientLine{at: time.Now(), note: "connected as " + c.id}})
		cs.running.Add(1)
		go cs.read(c, conn)
		return nil
	})
}

// suffix sets the clients of one dashboard apart from those of another.
func suffix() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789"
	b := make([]byte, 3)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// read takes what comes for a client as fast as it comes.
func (cs *clients) read(c *client, conn *devclient.Client) {
	defer cs.running.Done()
	stop := context.AfterFunc(cs.ctx, conn.Drop)
	defer stop()
	for {
		e, err := conn.Next(context.Background())
		if err != nil {
			return
		}
		if e.Closed != nil {
			cs.put(clientEvent{c: c, over: e.Closed.String(), line: clientLine{at: time.Now(), note: e.Closed.String()}})
			continue
		}
		data := e.Data
		if len(data) > clientBytes {
			data = append([]byte(nil), data[:clientBytes]...)
		}
		cs.put(clientEvent{c: c, line: clientLine{at: e.At, binary: e.Binary, data: data}})
	}
}

// take takes over what came.
func (cs *clients) take(m *model, msg clientsMsg) tea.Cmd {
	cs.waiting = false
	for c, n := range msg.lost {
		c.lost += n
	}
	for _, e := range msg.events {
		switch {
		case e.opens != nil:
			e.c.conn = e.opens
			m.needed++
		case e.over != "":
			e.c.over = e.over
			m.needed++
		}
		e.c.push(e.line)
	}
	return cs.wait()
}

func (c *client) push(l clientLine) {
	if c.lines.push(l) && !c.follow {
		c.list.at = max(c.list.at-1, 0)
	}
	if c.follow {
		c.list.at = c.lines.len() - 1
	}
	c.list.fit(c.lines.len(), c.list.h)
}

func (m *model) connectHere() tea.Cmd { return m.connectTo(m.target()) }

// connectTo opens a room's page with a new client, ready to write.
func (m *model) connectTo(room string) tea.Cmd {
	if why := needServing(m); why != "" {
		m.say(warn, why)
		return nil
	}
	cmds := []tea.Cmd{m.dial(room), m.open(room, tabClients)}
	m.room.client = len(m.clients.of(room)) - 1
	return tea.Batch(append(cmds, m.writeAsClient())...)
}

func (m *model) connectAnywhere() tea.Cmd {
	room := m.target()
	if room == "" {
		room = m.firstRoom()
	}
	return m.ask(input{
		label: "connect to", hint: "party/room, such as " + m.firstRoom(), past: &m.rooms.connected, offered: true,
		enter: func(m *model, text string) tea.Cmd {
			if text == "" {
				return nil
			}
			return m.connectTo(text)
		},
	}, room)
}

// chosenClient is the one that the tab shows, or nil.
func (m *model) chosenClient() *client {
	if m.room == nil {
		return nil
	}
	all := m.clients.of(m.room.name)
	if len(all) == 0 {
		return nil
	}
	m.room.client = max(0, min(m.room.client, len(all)-1))
	return all[m.room.client]
}

func (m *model) turnClient(by int) tea.Cmd {
	all := m.clients.of(m.room.name)
	if len(all) == 0 {
		return nil
	}
	m.room.client = (m.room.client + by + len(all)) % len(all)
	if m.input != nil && m.input.stays {
		return m.writeAsClient()
	}
	return nil
}

// writeAsClient opens the line that the chosen client sends.
func (m *model) writeAsClient() tea.Cmd {
	c := m.chosenClient()
	if c == nil {
		m.say(warn, "there is no test client here; c connects one")
		return nil
	}
	draft := ""
	if m.input != nil && m.input.stays {
		draft = m.input.field.Value()
	}
	label, hint := c.id, "a message; enter sends it"
	if c.hex {
		label, hint = c.id+" hex", "bytes such as 00 ff"
	}
	return m.ask(input{label: label, hint: hint, past: &c.past, stays: true, scope: typingToClient,
		enter: func(m *model, text string) tea.Cmd { return m.clientSend(c, text) }}, draft)
}

func (m *model) clientSend(c *client, text string) tea.Cmd {
	if text == "" {
		return nil
	}
	switch {
	case c.over != "":
		m.say(warn, "this client is "+clean(firstLine(c.over))+"; Ctrl-N connects another")
		return nil
	case c.conn == nil:
		m.say(warn, "this client is not connected yet")
		return nil
	}
	msg := devclient.Text(text)
	if c.hex {
		b, err := parseHex(text)
		if err != nil {
			m.say(bad, err.Error())
			return nil
		}
		msg = devclient.Binary(b)
	}
	c.follow = true
	c.push(clientLine{at: m.now(), sent: true, binary: msg.Binary, data: msg.Data})
	conn := c.conn
	return m.do("sending", actionLimit, func(context.Context) (string, error) {
		return "", conn.Send(msg)
	}, func(m *model, err error) tea.Cmd {
		if errors.Is(err, devclient.ErrClosed) {
			m.say(warn, "this client has ended; the message was not sent")
		} else if err != nil {
			m.sayError(err)
		}
		return nil
	})
}

// endClient ends the chosen client, or where it has ended takes it off.
func (m *model) endClient(drop bool) tea.Cmd {
	c := m.chosenClient()
	if c.over != "" {
		for i, one := range m.clients.all {
			if one == c {
				m.clients.all = append(m.clients.all[:i:i], m.clients.all[i+1:]...)
				break
			}
		}
		return nil
	}
	conn := c.conn
	return m.do("ending "+c.id, actionLimit, func(context.Context) (string, error) {
		if drop {
			conn.Drop()
			return "", nil
		}
		return "", conn.Close(1000, "")
	}, nil)
}

func needClient(m *model) string {
	c := m.chosenClient()
	if c == nil {
		return "there is no test client here; c connects one"
	}
	if c.conn == nil && c.over == "" {
		return "it is not connected yet"
	}
	return ""
}
