package emulator

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/goparty/party/emulator/envfile"
	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/inspect"
)

// Standalone runs a program in this process as a server of its own, with the
// flags and the environment of the command line, until it is interrupted. It
// returns the process's exit status.
func Standalone(p guest.Program) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := standalone(ctx, stop, p, os.Args[1:], os.Stderr)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

var errUsage = errors.New("usage")

// options of a server that stands alone.
type options struct {
	port           int
	host           string
	state, envFile string
}

func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	port := 1999
	if s := os.Getenv("PARTY_PORT"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return o, fmt.Errorf("PARTY_PORT=%q is no port: use a number such as 1999", s)
		}
		port = n
	}
	fs := flag.NewFlagSet(os.Args[0], flag.ContinueOnError)
	fs.SetOutput(out)
	fs.IntVar(&o.port, "port", port, "port to listen on; 0 picks a free one (PARTY_PORT)")
	fs.StringVar(&o.host, "host", orElse(os.Getenv("PARTY_HOST"), "127.0.0.1"), "address to listen on (PARTY_HOST)")
	fs.StringVar(&o.state, "state", orElse(os.Getenv("PARTY_STATE"), ".party/state"), "directory of the rooms' state (PARTY_STATE)")
	fs.StringVar(&o.envFile, "env-file", os.Getenv("PARTY_ENV_FILE"), "file of KEY=VALUE lines that Server.Env reads (PARTY_ENV_FILE)")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, errUsage
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(out, "unexpected argument %q; run with -h for the flags\n", fs.Arg(0))
		return o, errUsage
	}
	return o, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// standalone runs p until ctx ends. release gives signals back their usual
// meaning, so that a second Ctrl-C ends the program at once.
func standalone(ctx context.Context, release func(), p guest.Program, args []string, out io.Writer) error {
	o, err := parseOptions(args, out)
	if err != nil {
		return err
	}
	env, err := envfile.Read(o.envFile)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(o.host, strconv.Itoa(o.port)))
	if err != nil {
		return fmt.Errorf("%w; give --port another port, or 0 for a free one", err)
	}
	e := New(Config{Env: env, State: o.state, Durable: true})
	logs := logEvents(e, slog.New(slog.NewTextHandler(out, nil)))
	if err := e.Run(ctx, InProcess(p)); err != nil {
		_ = ln.Close()
		return err
	}
	fmt.Fprintf(out, "listening on http://%s\n", ln.Addr())
	failed := make(chan error, 1)
	go func() { failed <- e.Serve(ln) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	release()
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if cerr := e.Close(closing); err == nil {
		err = cerr
	}
	logs()
	return err
}

// logEvents writes what the rooms log, and what goes wrong, until the returned
// function is called.
func logEvents(e *Emulator, log *slog.Logger) (stop func()) {
	sub := e.Events().SubscribeNotable(1 << 12)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			events, lost, err := sub.Next(context.Background())
			if err != nil {
				return
			}
			for _, ev := range events {
				logEvent(log, ev)
			}
			if lost > 0 {
				log.Warn("log lines were lost because they came too fast", "lines", lost)
			}
		}
	}()
	return func() { sub.Close(); <-done }
}

func logEvent(log *slog.Logger, ev inspect.Event) {
	room := inspect.Of(ev).Room
	if room != "" {
		log = log.With("room", room)
	}
	switch ev := ev.(type) {
	case *inspect.Log:
		var level slog.Level
		_ = level.UnmarshalText([]byte(ev.Level))
		log.Log(context.Background(), level, ev.Text)
	case *inspect.Exception:
		if ev.Stack != "" {
			log.Error(ev.Hook+": "+ev.Error, "stack", ev.Stack)
		} else {
			log.Error(ev.Hook + ": " + ev.Error)
		}
	case *inspect.RoomAborted:
		log.Warn("aborted: " + ev.Reason)
	case *inspect.RoomEvicted:
		log.Warn("evicted: " + ev.Reason)
	case *inspect.TurnLost:
		log.Warn("a turn was lost: "+ev.Reason, "turn", ev.Kind)
	}
}
