package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/control"
	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
	"github.com/goparty/party/watch"
)

// devOptions are the flags of `party dev`.
type devOptions struct {
	dir            string
	port           int
	portGiven      bool
	host           string
	state          string
	ui             string
	ascii          bool
	socket         string
	envFile        string
	envGiven       bool
	hibernateAfter time.Duration
	evictAfter     time.Duration
	onReload       string
	loader         string
	debug, race    bool
}

const (
	defaultPort    = 1999
	defaultEnvFile = ".env"
	scratch        = ".party"
)

func devCommand() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Run the server in DIR",
		Long: `Run the server in DIR (default: here) with the emulator around it.

The program in DIR must be package main and call party.Main. Save a file, and the
running rooms take the new code while every connection stays open; code that does
not compile or start changes nothing. Rooms keep their connections while they
hibernate. On a terminal all this is seen and forced in a dashboard (--ui tui);
elsewhere what happens is printed. Ctrl-C ends everything; a second Ctrl-C does so
at once.`,
		Example: "  party dev ./chat\n  party dev --port 3000 --ui json ./chat",
		Args:    arguments(0, 1),
		RunE: run(func(cmd *cobra.Command, args []string) error {
			o.dir = "."
			if len(args) == 1 {
				o.dir = args[0]
			}
			o.portGiven = cmd.Flags().Changed("port")
			o.envGiven = cmd.Flags().Changed("env-file")
			return dev(cmd.Context(), o)
		}),
	}
	f := cmd.Flags()
	f.IntVar(&o.port, "port", defaultPort, "port to listen on; where it is not given, the next free one is taken")
	f.StringVar(&o.host, "host", "127.0.0.1", "address to listen on")
	f.StringVar(&o.state, "state", filepath.Join(scratch, "state"), "directory of the rooms' state")
	f.StringVar(&o.ui, "ui", "auto", "auto, tui (the dashboard), plain (lines to read) or json (one event a line)")
	f.BoolVar(&o.ascii, "ascii", false, "draw the dashboard without other signs than those of ASCII")
	f.StringVar(&o.socket, "socket", control.Name, "control socket, for the commands that look and act")
	f.StringVar(&o.envFile, "env-file", defaultEnvFile, "file of KEY=VALUE lines that Server.Env reads")
	f.DurationVar(&o.hibernateAfter, "hibernate-after", emulator.DefaultHibernateAfter, "how long a room stays in memory with nothing to do")
	f.DurationVar(&o.evictAfter, "evict-after", emulator.DefaultEvictAfter, "how long timers and background work keep a room without connections")
	f.StringVar(&o.onReload, "on-reload", keepOpen, "keep (connections stay open) or disconnect (they are cut, as a deploy does)")
	f.StringVar(&o.loader, "loader", processLoader, "process (the server runs in one of its own) or plugin (in this one, where Go allows it)")
	f.BoolVar(&o.debug, "debug", false, "build for a debugger, print how to attach one, and let nothing end because it was stopped")
	f.BoolVar(&o.race, "race", false, "build with the race detector")
	return cmd
}

// How the server is loaded.
const (
	processLoader = "process"
	pluginLoader  = "plugin"
)

// What a reload does to connections.
const (
	keepOpen   = "keep"
	disconnect = "disconnect"
)

func (o *devOptions) check() error {
	switch {
	case o.ui != "auto" && o.ui != "tui" && o.ui != "plain" && o.ui != "json":
		return usageError{fmt.Errorf("--ui %s: use auto, tui, plain or json", o.ui)}
	case o.ui == "tui" && !(isTerminal(os.Stdin) && isTerminal(os.Stdout)):
		return usageError{errors.New("--ui tui: this is not a terminal; use plain or json")}
	case o.port < 0 || o.port > 65535:
		return usageError{fmt.Errorf("--port %d: use 1 to 65535, or 0 for a free one", o.port)}
	case o.onReload != keepOpen && o.onReload != disconnect:
		return usageError{fmt.Errorf("--on-reload %s: use keep or disconnect", o.onReload)}
	case o.loader != processLoader && o.loader != pluginLoader:
		return usageError{fmt.Errorf("--loader %s: use process or plugin", o.loader)}
	case o.loader == pluginLoader && (o.debug || o.race):
		return usageError{errors.New("--debug and --race need a process of the server's own: leave --loader=plugin out")}
	case o.hibernateAfter <= 0 || o.evictAfter <= 0:
		return usageError{errors.New("--hibernate-after and --evict-after must be more than 0, such as 10s")}
	}
	return nil
}

// dev runs the server until it is told to stop.
func dev(ctx context.Context, o devOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	began := time.Now()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.loader == pluginLoader {
		if err := watch.Plugins(); err != nil {
			return fmt.Errorf("--loader=plugin cannot be used here: %w", err)
		}
	}
	e := emulator.New(emulator.Config{
		HibernateAfter: o.hibernateAfter, EvictAfter: o.evictAfter, Debug: true, State: o.state, Patient: o.debug,
	})
	session, err := watch.NewSession(watch.Config{
		Dir: o.dir, Scratch: scratch, Kind: watch.Kind{Debug: o.debug, Race: o.race},
		EnvFile: o.envFile, EnvOptional: !o.envGiven, Disconnect: o.onReload == disconnect,
		Plugin: o.loader == pluginLoader, Emulator: e,
	})
	if err != nil {
		return err
	}
	defer session.Close()
	if err := makeScratch(); err != nil {
		return err
	}
	if err := e.Open(); err != nil { // before anything is built
		return o.inUse(err)
	}
	defer func() { _ = e.Close(ctx) }() // where nothing below has
	ln, note, err := o.listen()
	if err != nil {
		return err
	}
	defer ln.Close()
	begin := first{session: session, events: e.Events(), dir: o.dir, asked: make(chan struct{}, 1)}
	srv := served{Emulator: e, reload: begin.reload, source: realPath(o.dir), flags: o.behaviour()}
	ui := o.show(srv, stop)
	end := func() {
		stop() // a second Ctrl-C ends the program at once
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = e.Close(closing)
		ui.stop()
	}
	if note != "" {
		ui.say(note)
	}
	stopControl, note, err := serveControl(o.socket, srv)
	if err != nil {
		end()
		return err
	}
	defer stopControl()
	if note != "" {
		ui.say(note)
	}
	if err := begin.start(ctx, ui); err != nil {
		interrupted := ctx.Err() != nil
		end()
		if interrupted {
			return nil
		}
		var compiler *watch.BuildError
		if errors.As(err, &compiler) {
			return fmt.Errorf("%s does not compile; mend this and start again:\n%w", spoken(o.dir), err)
		}
		return fmt.Errorf("%s does not start: %w", spoken(o.dir), err)
	}
	failed := make(chan error, 1)
	go func() { failed <- e.Serve(ln) }()
	e.Events().Publish(o.ready(e, ln.Addr(), time.Since(began)))
	watching, unwatch := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); session.Watch(watching) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	unwatch()
	<-watched
	end()
	return errors.Join(err, endOf(ui))
}

// inUse is the refusal to run on state that cannot be used.
func (o *devOptions) inUse(err error) error {
	err = fmt.Errorf("%s does not start: %w", spoken(o.dir), err)
	if _, none := control.Dial(o.socket); none != nil {
		return err
	}
	return fmt.Errorf("%w; `party attach` shows what runs here, and one beside it needs a --state and a --socket of its own", err)
}

// spoken is a directory as a sentence names it.
func spoken(dir string) string {
	if filepath.Clean(dir) == "." {
		return nameOf(dir)
	}
	return dir
}

// makeScratch makes the directory for what the tool keeps, out of git's sight.
func makeScratch() error {
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return fmt.Errorf("making the directory for state: %w", err)
	}
	ignore := filepath.Join(scratch, ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return nil
	}
	return os.WriteFile(ignore, []byte("*\n"), 0o644)
}

// portsTried is how many ports from the default one on are tried.
const portsTried = 50

// listen opens the gateway's port. note says what the person did not ask for.
func (o *devOptions) listen() (ln net.Listener, note string, err error) {
	tries := 1
	if !o.portGiven {
		tries = portsTried
	}
	for i := range tries {
		port := o.port + i
		ln, err = net.Listen("tcp", net.JoinHostPort(o.host, strconv.Itoa(port)))
		if err == nil {
			if i > 0 {
				note = fmt.Sprintf("port %d is taken, so this is port %d", o.port, port)
			}
			if ip := net.ParseIP(o.host); ip != nil && !ip.IsLoopback() || ip == nil && o.host != "localhost" {
				if note != "" {
					note += "\n"
				}
				note += "listening on " + o.host + ": other machines can reach this server"
			}
			return ln, note, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, "", fmt.Errorf("port %d is taken; give another one with --port, or none to take the next free one", o.port)
	}
	return nil, "", err
}

// ready is what a person needs first.
func (o *devOptions) ready(e *emulator.Emulator, addr net.Addr, took time.Duration) *inspect.Ready {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	at := net.JoinHostPort(host, port)
	r := &inspect.Ready{URL: "http://" + at, State: o.state, Took: took}
	for _, c := range e.Classes() {
		r.Classes = append(r.Classes, inspect.ReadyClass{
			Class: c.Binding, Hibernate: c.Hibernate,
			WebSocket: fmt.Sprintf("ws://%s/parties/%s/ROOM", at, wire.Kebab(c.Binding)),
		})
	}
	if len(r.Classes) > 0 {
		r.Try = fmt.Sprintf("npx wscat -c ws://%s/parties/%s/lobby", at, wire.Kebab(r.Classes[0].Class))
	}
	return r
}
