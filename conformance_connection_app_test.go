//go:build !partyplugin && !js

package party

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// What a room does with its connections.
func init() {
	maps.Copy(verbs, map[string]verb{
		"ready": func(_ *Lab, _ context.Context, c *cmd, _ string) error {
			c.say(fmt.Sprint(int(c.conn.ReadyState())))
			return nil
		},
		"me": func(_ *Lab, _ context.Context, c *cmd, _ string) error {
			c.say(fmt.Sprintf("id=%s uri=%s server=%s tags=%v", c.conn.ID, c.conn.URI, c.conn.Server, c.conn.Tags))
			return nil
		},
		"set": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			return c.report(c.conn.SetState(json.RawMessage(arg)))
		},
		"set-large": func(_ *Lab, _ context.Context, c *cmd, arg string) error { // so that id, uri, tags and state have arg bytes
			n, err := strconv.Atoi(arg)
			if err != nil {
				return err
			}
			head, err := json.Marshal([]any{c.conn.ID, c.conn.URI, c.conn.Tags})
			if err != nil {
				return err
			}
			return c.report(c.conn.SetState(strings.Repeat("s", n-len(head)-2)))
		},
		"state": func(_ *Lab, _ context.Context, c *cmd, _ string) error {
			v := json.RawMessage("untouched")
			if err := c.conn.State(&v); err != nil {
				return err
			}
			c.say(string(v))
			return nil
		},
		"close": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			number, reason := two(arg)
			code, err := strconv.Atoi(number)
			if err != nil {
				return err
			}
			if err := c.conn.Close(code, reason); err != nil {
				return c.report(err)
			}
			return nil
		},
		"close-then-send": func(l *Lab, _ context.Context, c *cmd, _ string) error {
			first := c.conn.Close(4001, "bye")
			second := c.conn.Close(4002, "again")
			l.note("sent: %v, %v, %s, ready=%d", first, second, outcome(c.conn.Send(Text("late"))), c.conn.ReadyState())
			return nil
		},
		"broadcast": func(l *Lab, _ context.Context, _ *cmd, arg string) error { l.Broadcast(Text(arg)); return nil },
		"send-early": func(l *Lab, _ context.Context, c *cmd, _ string) error {
			l.note("early %s", outcome(c.conn.Send(Text("early"))))
			return nil
		},
		"send-large": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			n, err := strconv.Atoi(arg)
			if err != nil {
				return err
			}
			return c.report(c.conn.Send(Binary(repeat(n))))
		},
		"say-raw": func(l *Lab, _ context.Context, c *cmd, _ string) error { // what is no UTF-8
			c.say("a\xffb")
			l.Broadcast(Text("to all \xff"))
			return nil
		},
		"others": func(l *Lab, _ context.Context, c *cmd, arg string) error {
			l.Broadcast(Text(arg), c.conn.ID)
			return nil
		},
		"list": func(l *Lab, _ context.Context, c *cmd, arg string) error {
			var ids []string
			for conn := range l.Connections(strings.Fields(arg)...) {
				ids = append(ids, conn.ID)
			}
			c.say(fmt.Sprint(ids))
			return nil
		},
		"count-connections": func(l *Lab, _ context.Context, c *cmd, _ string) error {
			n := 0
			for range l.Connections() {
				n++
			}
			c.say(strconv.Itoa(n))
			return nil
		},
		"find": func(l *Lab, _ context.Context, c *cmd, arg string) error {
			conn, ok := l.Connection(arg)
			if !ok {
				c.say("nobody")
				return nil
			}
			c.say(conn.URI)
			return nil
		},
		"same": func(l *Lab, _ context.Context, c *cmd, _ string) error { // the same pointer for the same socket
			conn, ok := l.Connection(c.conn.ID)
			c.say(fmt.Sprint(ok && conn == c.conn))
			return nil
		},
		"flood": func(l *Lab, _ context.Context, _ *cmd, arg string) error { // flood MESSAGES SIZE
			many, size := two(arg)
			n, err := strconv.Atoi(many)
			if err != nil {
				return err
			}
			bytes, err := strconv.Atoi(size)
			if err != nil {
				return err
			}
			m := Binary(repeat(bytes))
			for range n {
				l.Broadcast(m)
			}
			return nil
		},
		"count": func(_ *Lab, _ context.Context, c *cmd, arg string) error { // answers 0, 1, ... n-1
			n, err := strconv.Atoi(arg)
			if err != nil {
				return err
			}
			for i := range n {
				c.say(strconv.Itoa(i))
			}
			return nil
		},
		"auto": func(l *Lab, _ context.Context, _ *cmd, arg string) error {
			request, response := two(arg)
			l.AutoRespond(request, response)
			return nil
		},
	})
}
