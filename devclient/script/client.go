package script

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goparty/party/devclient"
)

// socket is a WebSocket of the script.
type socket struct {
	*devclient.Client
	room string
}

func (c *socket) where() string   { return c.room }
func (c *socket) address() string { return c.Local().String() }
func (c *socket) drop()           { c.Drop() }

func (c *socket) flushed(ctx context.Context) { _ = c.Ping(ctx) }

func (c *socket) next(ctx context.Context, w want) error {
	return c.Expect(ctx, limit, w.String(), func(e devclient.Event) bool {
		return e.Closed == nil && w.accepts(e.Binary, e.Data)
	})
}

func (c *socket) none() error {
	unread := c.Unread()
	if len(unread) == 0 || unread[0].Closed != nil {
		return nil
	}
	return fmt.Errorf("something came\n  want: nothing\n  got:  %s", unread[0].Quoted())
}

func (c *socket) ended(ctx context.Context, code int, reason *string) error {
	wanted := "the connection closed"
	if code != 0 {
		wanted += " " + strconv.Itoa(code)
	}
	if reason != nil {
		wanted += fmt.Sprintf(" %q", *reason)
	}
	return c.Expect(ctx, limit, wanted, func(e devclient.Event) bool {
		return e.Closed != nil && (code == 0 || e.Closed.Code == code) && (reason == nil || e.Closed.Reason == *reason)
	})
}

// path is where a room answers; what begins with a slash is a path already.
func path(room string) string {
	p := room
	if !strings.HasPrefix(p, "/") {
		p = "/parties/" + p
	}
	return strings.ReplaceAll(p, " ", "%20")
}

// roomName is a room as it is shown: party/name as in the URL, where spaces and
// other letters are escaped. What stands behind is not part of it.
func roomName(room string) string {
	u, err := url.Parse(path(room))
	if err != nil {
		return room
	}
	parts := strings.SplitN(strings.TrimPrefix(u.EscapedPath(), "/parties/"), "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

func (s *session) connect(neg bool, args []string) error {
	a, err := s.parse(args, map[string]bool{"-id": true, "-query": true, "-header": true, "-protocol": true, "-fail": true})
	if err != nil {
		return err
	}
	if err := s.count(a.rest, 2, 2); err != nil {
		return err
	}
	name, room := a.rest[0], a.rest[1]
	if strings.Count(room, "/") == 0 {
		return s.misuse("%q is no room: write party/name, such as chat/lobby", room)
	}
	server, err := s.running()
	if err != nil {
		return err
	}
	o, err := s.options(a)
	if err != nil {
		return err
	}
	s.soft()
	if err := s.free(name); err != nil {
		return err
	}
	s.involve(roomName(room))
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	saw := s.saw.add("connect %s %s", name, room)
	if saw != nil {
		o.Heard = saw.heard
	}
	c, err := devclient.Dial(ctx, server.url+path(room), o)
	var refused *devclient.RefusedError
	if errors.As(err, &refused) {
		saw.add(fmt.Sprintf("< %d", refused.Status))
	}
	switch {
	case a.has("-fail"):
		if c != nil {
			c.Drop()
			return fmt.Errorf("the connection was let in\n  want: status %s", a.value("-fail"))
		}
		if !errors.As(err, &refused) {
			return err
		}
		if got := strconv.Itoa(refused.Status); got != a.value("-fail") {
			return fmt.Errorf("another status\n  want: %s\n  got:  %w", a.value("-fail"), err)
		}
		return nil
	case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the handshake was not answered within %s: ConnectionTags or OnConnect has not returned", limit)
	case err != nil:
		return err
	case neg:
		c.Drop()
		return nil
	}
	p := &socket{c, roomName(room)}
	s.add(name, p)
	p.flushed(ctx) // the server has it now
	return nil
}

// free fails where a name's connection or request is still open.
func (s *session) free(name string) error {
	switch have := s.clients[name].(type) {
	case *socket:
		if have.Open() {
			return misuse{fmt.Errorf("%s is connected already: close it first, or take another name", name)}
		}
	case *stream:
		if !have.over(s.runner.ctx) {
			return misuse{fmt.Errorf("%s is an open request: drop it first, or take another name", name)}
		}
	}
	return nil
}

func (s *session) options(a *arguments) (devclient.Options, error) {
	o := devclient.Options{ID: a.value("-id"), Query: url.Values{}, Header: http.Header{}, Subprotocols: a.values["-protocol"]}
	for _, kv := range a.values["-query"] {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return o, s.misuse("-query %s: write K=V", kv)
		}
		o.Query.Add(k, v)
	}
	for _, kv := range a.values["-header"] {
		i := strings.IndexAny(kv, "=:") // as -H of http, too
		if i < 0 {
			return o, s.misuse("-header %s: write K=V", kv)
		}
		o.Header.Add(strings.TrimSpace(kv[:i]), strings.TrimSpace(kv[i+1:]))
	}
	return o, nil
}

// mode takes a leading option of send and recv off.
func (s *session) mode(args []string, modes ...string) (mode string, rest []string, err error) {
	if len(args) > 0 && strings.HasPrefix(args[0], "-") && len(args[0]) > 1 {
		for _, m := range modes {
			if m == args[0] {
				return m, args[1:], nil
			}
		}
		return "", nil, s.misuse("unknown option %s%s", args[0], didYouMean(args[0], modes))
	}
	return "", args, nil
}

func (s *session) send(_ bool, args []string) error {
	mode, rest, err := s.mode(args, "-binary", "-file")
	if err != nil {
		return err
	}
	if err := s.count(rest, 2, 2); err != nil {
		return err
	}
	p, err := s.peer(rest[0])
	if err != nil {
		return err
	}
	c, ok := p.(*socket)
	if !ok {
		return s.misuse("%s is an open request: only what connect made can send", rest[0])
	}
	m := devclient.Text(rest[1])
	switch mode {
	case "-binary":
		data, err := hex.DecodeString(strings.ReplaceAll(rest[1], " ", ""))
		if err != nil {
			return s.misuse("%q is not hex: write two digits a byte, such as 00ff", rest[1])
		}
		m = devclient.Binary(data)
	case "-file":
		data, err := os.ReadFile(s.ts.MkAbs(rest[1]))
		if err != nil {
			return misuse{err}
		}
		m = devclient.Message{Binary: !utf8.Valid(data), Data: data}
	}
	s.soft()
	if err := c.Send(m); err != nil {
		return fmt.Errorf("sending as %s: %w", rest[0], err)
	}
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	c.flushed(ctx) // it has been read before the next command
	return nil
}

func (s *session) recv(_ bool, args []string) error {
	mode, rest, err := s.mode(args, "-re", "-json", "-binary", "-none")
	if err != nil {
		return err
	}
	n := 2
	if mode == "-none" {
		n = 1
	}
	if err := s.count(rest, n, n); err != nil {
		return err
	}
	p, err := s.peer(rest[0])
	if err != nil {
		return err
	}
	if mode == "-none" {
		if err := s.quiet(); err != nil {
			return err
		}
		return p.none()
	}
	w, err := newWant(mode, rest[1])
	if err != nil {
		return s.misuse("%v", err)
	}
	return p.next(s.runner.ctx, w)
}

func (s *session) close(_ bool, args []string) error {
	if err := s.count(args, 1, 3); err != nil {
		return err
	}
	p, err := s.peer(args[0])
	if err != nil {
		return err
	}
	c, ok := p.(*socket)
	if !ok {
		return s.misuse("%s is an open request: drop it", args[0])
	}
	code, reason, err := s.closeArgs(args[1:])
	if err != nil {
		return err
	}
	text := ""
	if reason != nil {
		text = *reason
	}
	s.soft()
	if err := c.Close(code, text); err != nil {
		return fmt.Errorf("closing %s: %w", args[0], err)
	}
	s.departed(p)
	return nil
}

func (s *session) closeArgs(args []string) (code int, reason *string, err error) {
	if len(args) > 0 {
		if code, err = strconv.Atoi(args[0]); err != nil || code < 1000 || code > 4999 {
			return 0, nil, s.misuse("%q is no close code: they go from 1000 to 4999", args[0])
		}
	}
	if len(args) > 1 {
		reason = &args[1]
	}
	return code, reason, nil
}

func (s *session) closed(_ bool, args []string) error {
	if err := s.count(args, 1, 3); err != nil {
		return err
	}
	p, err := s.peer(args[0])
	if err != nil {
		return err
	}
	code, reason, err := s.closeArgs(args[1:])
	if err != nil {
		return err
	}
	return p.ended(s.runner.ctx, code, reason)
}

func (s *session) drop(_ bool, args []string) error {
	if err := s.count(args, 1, 1); err != nil {
		return err
	}
	p, err := s.peer(args[0])
	if err != nil {
		return err
	}
	s.soft()
	p.drop()
	s.departed(p)
	return nil
}
