//go:build !partyplugin && !js

package party

import (
	"context"
	"errors"
	"maps"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// What goes wrong in hooks, on request.
func init() {
	maps.Copy(verbs, map[string]verb{
		"fail": func(_ *Lab, _ context.Context, _ *cmd, arg string) error { return errors.New(arg) },
		"fail-large": func(_ *Lab, _ context.Context, _ *cmd, arg string) error {
			n, err := strconv.Atoi(arg)
			if err != nil {
				return err
			}
			return errors.New(string(repeat(n)))
		},
		"log-large": func(l *Lab, _ context.Context, _ *cmd, arg string) error {
			n, err := strconv.Atoi(arg)
			if err != nil {
				return err
			}
			l.Log().Info(string(repeat(n)))
			return nil
		},
		"panic":  func(_ *Lab, _ context.Context, _ *cmd, arg string) error { panic(arg) },
		"throw":  func(_ *Lab, _ context.Context, _ *cmd, arg string) error { panic(errors.New(arg)) },
		"goexit": func(*Lab, context.Context, *cmd, string) error { runtime.Goexit(); return nil },
		"abort": func(l *Lab, _ context.Context, _ *cmd, arg string) error {
			l.Abort(arg)
			return errors.New("Abort returned")
		},
		"recover": func(l *Lab, ctx context.Context, c *cmd, arg string) error {
			defer func() {
				if v := recover(); v != nil {
					l.note("recovered %v", v)
				}
			}()
			return l.run(ctx, c, arg)
		},
		"fenced": func(l *Lab, _ context.Context, c *cmd, gate string) error { // once the gate is open, tells what still works
			ctx := context.WithoutCancel(l.Context())
			stub := &Stub{wire.Address{Binding: "Lab", Name: "other"}}
			go func() {
				<-world.gate(gate)
				var told []string
				for what, f := range map[string]func() error{
					"Send":         func() error { return c.conn.Send(Text("late")) },
					"Close":        func() error { return c.conn.Close(4000, "late") },
					"SetState":     func() error { return c.conn.SetState("late") },
					"Do":           func() error { return l.Do(ctx, func(context.Context) error { return nil }) },
					"Sleep":        func() error { return l.Sleep(ctx, time.Hour) },
					"Call":         func() error { _, err := Call[string](ctx, stub, "Run", "echo x"); return err },
					"ServerByName": func() error { _, err := ServerByName(ctx, "Lab", "other"); return err },
				} {
					told = append(told, what+": "+outcome(f()))
				}
				l.Broadcast(Text("late"))
				l.AutoRespond("late", "late")
				l.AfterFunc(0, func(context.Context) {}).Stop()
				l.WaitUntil(func(context.Context) error { return nil })
				l.Log().Error("late")
				world.mu.Lock()
				world.told = strings.Join(told, "\n")
				world.mu.Unlock()
				world.open("told " + gate)
			}()
			return nil
		},
		"told": func(_ *Lab, _ context.Context, c *cmd, gate string) error {
			<-world.gate("told " + gate)
			world.mu.Lock()
			defer world.mu.Unlock()
			c.say(world.told)
			return nil
		},
		"exit": func(_ *Lab, _ context.Context, _ *cmd, arg string) error {
			code, err := strconv.Atoi(arg)
			if err != nil {
				return err
			}
			os.Exit(code)
			return nil
		},
		"crash": func(_ *Lab, _ context.Context, _ *cmd, arg string) error { go func() { panic(arg) }(); select {} },
	})
}
