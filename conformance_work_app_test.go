//go:build !partyplugin && !js

package party

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// What a room does beside its turns, and with other rooms.
func init() {
	maps.Copy(verbs, map[string]verb{
		// Background work. It says what it has to say to everybody.
		"background": func(l *Lab, _ context.Context, _ *cmd, arg string) error {
			l.WaitUntil(func(ctx context.Context) error {
				return l.run(ctx, &cmd{say: func(s string) { l.Broadcast(Text(s)) }}, arg)
			})
			return nil
		},
		"do": func(l *Lab, ctx context.Context, c *cmd, arg string) error {
			return c.report(l.Do(ctx, func(ctx context.Context) error { return l.run(ctx, c, arg) }))
		},
		"do-cancelled": func(l *Lab, _ context.Context, c *cmd, gate string) error { // Do whose context ends behind the gate
			l.WaitUntil(func(ctx context.Context) error {
				l.Broadcast(Text("waiting"))
				<-world.gate(gate)
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				err := l.Do(ctx, func(context.Context) error { l.note("it ran"); return nil })
				world.open("cancelled do")
				l.Broadcast(Text(outcome(err)))
				return nil
			})
			return nil
		},
		"sleep-cancelled": func(l *Lab, ctx context.Context, c *cmd, _ string) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return c.report(l.Sleep(ctx, time.Hour))
		},
		"after": func(l *Lab, _ context.Context, _ *cmd, arg string) error { // after SPAN VERB
			span, verb := two(arg)
			d, err := time.ParseDuration(span)
			if err != nil {
				return err
			}
			l.timer = l.AfterFunc(d, func(ctx context.Context) {
				if err := l.run(ctx, &cmd{say: func(s string) { l.Broadcast(Text(s)) }}, verb); err != nil {
					panic(err)
				}
			})
			return nil
		},
		"tick": func(l *Lab, ctx context.Context, _ *cmd, arg string) error { // sets itself again
			d, err := time.ParseDuration(arg)
			if err != nil {
				return err
			}
			l.AfterFunc(d, func(ctx context.Context) { _ = l.run(ctx, nil, "tick "+arg) })
			return nil
		},
		"stop": func(l *Lab, _ context.Context, c *cmd, _ string) error {
			c.say(fmt.Sprint(l.timer.Stop()))
			return nil
		},
		"sleep": func(l *Lab, ctx context.Context, c *cmd, arg string) error {
			d, err := time.ParseDuration(arg)
			if err != nil {
				return err
			}
			c.say("sleeping")
			return c.report(l.Sleep(ctx, d))
		},

		// Other rooms.
		"stub": func(_ *Lab, ctx context.Context, c *cmd, arg string) error { // stub BINDING NAME
			binding, name := two(arg)
			_, err := ServerByName(ctx, binding, name)
			return c.report(err)
		},
		"stub-props": func(_ *Lab, ctx context.Context, c *cmd, arg string) error {
			name, from := two(arg)
			_, err := ServerByName(ctx, "Lab", name, StubOptions{Props: map[string]string{"from": from}})
			return c.report(err)
		},
		"impatiently": func(l *Lab, ctx context.Context, c *cmd, arg string) error { // with a context that ends
			ctx, cancel := context.WithCancel(ctx)
			l.AfterFunc(0, func(context.Context) {}) // so that something else wants a turn too
			go cancel()
			return l.run(ctx, c, arg)
		},
		"call": func(_ *Lab, ctx context.Context, c *cmd, arg string) error { // call NAME METHOD [ARGS]
			name, rest := two(arg)
			method, list := two(rest)
			var args []any
			if list != "" {
				if err := json.Unmarshal([]byte(list), &args); err != nil {
					return err
				}
			}
			result, err := Call[json.RawMessage](ctx, &Stub{wire.Address{Binding: "Lab", Name: name}}, method, args...)
			if err != nil {
				return c.report(err)
			}
			c.say(string(result))
			return nil
		},
		"ask": func(_ *Lab, ctx context.Context, c *cmd, arg string) error { // ask NAME VERB: Call of Run
			name, verb := two(arg)
			result, err := Call[string](ctx, &Stub{wire.Address{Binding: "Lab", Name: name}}, "Run", verb)
			if err != nil {
				return c.report(err)
			}
			c.say(result)
			return nil
		},
	})
}
