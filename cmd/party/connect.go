package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/goparty/party/devclient"
	"github.com/goparty/party/emulator/inspect"
)

func connectCommand() *cobra.Command {
	var d dialing
	var wait time.Duration
	cmd := d.command(cobra.Command{
		Use:   "connect ROOM|URL",
		Short: "Talk to a room: an interactive WebSocket client",
		Long: `Open a WebSocket to a room of the running emulator, or to any ws:// URL, send each
line that is typed, and show what comes, with its time and size.

Lines that begin with / are orders:
  /close [CODE [REASON]]   end with a close frame, 1000 by itself
  /drop                    end without one, as a network that fails does
  /binary HEX              send bytes
  /ping                    wait for the server's pong
  /help                    this list
and //text sends a line that begins with a slash. Ctrl-D closes.

Where the input is no terminal, its lines are sent, and when it ends, so does the
connection once nothing has come for as long as --wait says.`,
		Example: "  party connect chat/lobby --id ada\n  echo hello | party connect chat/lobby",
		Args:    arguments(1, 1), ValidArgsFunction: d.roomArgs(1),
	}, func(cmd *cobra.Command, args []string) error {
		c, dir, err := d.connect(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		t := &talk{c: c, room: args[0], json: d.json, style: styleOf(out), out: out, wait: wait, ends: make(chan error, 1)}
		if isTerminal(os.Stdin) && isTerminal(out) && !d.json {
			return t.interactive(cmd.Context(), dir)
		}
		return t.piped(cmd.Context(), cmd.InOrStdin())
	})
	d.flags(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 500*time.Millisecond, "how long to wait for more when the input has ended")
	return cmd
}

// talk is a person's, or a program's, conversation with a room.
type talk struct {
	c     *devclient.Client
	room  string
	json  bool
	style style
	wait  time.Duration
	ends  chan error // how it ended

	mu    sync.Mutex // of what follows
	out   io.Writer
	last  time.Time // when something came
	asked bool      // to end
}

// end notes that the end is asked for.
func (t *talk) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = true
}

// received prints what comes until the connection ends.
func (t *talk) received(ctx context.Context) {
	for {
		e, err := t.c.Next(ctx)
		if err != nil {
			t.ends <- err
			return
		}
		t.show(e)
		if e.Closed != nil {
			t.ends <- closedError(e.Closed)
			return
		}
	}
}

func (t *talk) show(e devclient.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
	if t.json {
		if e.Closed != nil && t.asked {
			return
		}
		_ = printJSON(t.out, messageJSON(e))
		return
	}
	at := t.style.dim(e.At.Format("15:04:05.000"))
	if e.Closed != nil && t.asked && !isTerminal(os.Stdin) {
		return // as was asked for
	}
	if e.Closed != nil {
		fmt.Fprintf(t.out, "%s  %s\n", at, t.style.red(clean(e.Closed.String())))
		return
	}
	size := t.style.dim(fmt.Sprintf("%8s", sizeText(int64(len(e.Data)))))
	text := clean(e.String())
	if e.Binary {
		text = "0x" + text
	}
	fmt.Fprintf(t.out, "%s %s  %s\n", at, size, t.style.green(text))
}

// closedError is what an end that nobody here asked for means.
func closedError(c *devclient.Closed) error {
	switch c.Code {
	case 1000, 1001, 1005:
		return nil
	case 1006:
		return errors.New("the connection was cut")
	}
	return errors.New("the server closed the connection: " + clean(c.String()))
}

func messageJSON(e devclient.Event) any {
	type message struct {
		Time   time.Time `json:"time"`
		Size   int       `json:"size"`
		Text   *string   `json:"text,omitempty"`
		Hex    *string   `json:"hex,omitempty"`
		Closed int       `json:"closed,omitempty"`
		Reason string    `json:"reason,omitempty"`
	}
	m := message{Time: e.At, Size: len(e.Data)}
	switch s := e.String(); {
	case e.Closed != nil:
		m.Closed, m.Reason = e.Closed.Code, e.Closed.Reason
	case e.Binary:
		m.Hex = &s
	default:
		m.Text = &s
	}
	return m
}

// note says something that is no message.
func (t *talk) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if t.json {
		fmt.Fprintln(os.Stderr, text)
		return
	}
	for line := range strings.Lines(text) {
		fmt.Fprintln(t.out, t.style.dim(strings.TrimRight(line, "\n")))
	}
}

// line does what a typed line says.
func (t *talk) line(ctx context.Context, text string) error {
	order, ok := strings.CutPrefix(text, "/")
	if !ok || strings.HasPrefix(order, "/") {
		if ok {
			text = order
		}
		if !utf8.ValidString(text) {
			return errors.New("this is no text: send bytes with /binary HEX")
		}
		return t.c.Send(devclient.Text(text))
	}
	word, rest, _ := strings.Cut(order, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "close", "quit", "exit":
		code, reason, err := closing(rest)
		if err != nil {
			return err
		}
		t.end()
		return t.c.Close(code, reason)
	case "drop":
		t.end()
		t.c.Drop()
		return nil
	case "binary":
		b, err := unhex(rest)
		if err != nil {
			return err
		}
		return t.c.Send(devclient.Binary(b))
	case "ping":
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, answerLimit)
		defer cancel()
		if err := t.c.Ping(ctx); err != nil {
			return err
		}
		t.note("pong after %s", inspect.Span(time.Since(began)))
		return nil
	case "help":
		t.note("/close [CODE [REASON]]  /drop  /binary HEX  /ping  //text for a line with a slash; Ctrl-D closes")
		return nil
	}
	return fmt.Errorf("there is no /%s; /help lists what there is, and //%s sends the line", word, order)
}

// closing reads a code and a reason.
func closing(s string) (int, string, error) {
	if s == "" {
		return 1000, "", nil
	}
	number, reason, _ := strings.Cut(s, " ")
	code, err := strconv.Atoi(number)
	if err != nil || code != 1000 && (code < 3000 || code > 4999) {
		return 0, "", fmt.Errorf("%s is no code that a client may close with: use 1000, or 3000 to 4999", number)
	}
	if len(reason) > 123 {
		return 0, "", fmt.Errorf("the reason has %d bytes, and 123 are allowed", len(reason))
	}
	return code, reason, nil
}

func unhex(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(strings.ReplaceAll(s, " ", ""), "0x"))
	if err != nil {
		return nil, fmt.Errorf("%q is not in hex: write two digits a byte, such as 00ff", s)
	}
	return b, nil
}

// interactive talks with a person at a terminal.
func (t *talk) interactive(ctx context.Context, dir string) error {
	in := int(os.Stdin.Fd())
	before, err := term.MakeRaw(in)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprint(os.Stdout, "\r\x1b[K") // the prompt
		_ = term.Restore(in, before)
	}()
	screen := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}, "> ")
	if dir != "" {
		screen.History = openHistory(dir)
	}
	size := func() {
		if w, h, err := term.GetSize(in); err == nil {
			_ = screen.SetSize(w, h)
		}
	}
	size()
	t.out = screen
	t.note("connected to %s; /help lists what can be done besides sending lines", clean(t.room))
	go t.received(ctx)
	typed := make(chan string)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			size()
			text, err := screen.ReadLine()
			if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
				return
			}
			typed <- text
		}
	}()
	for {
		select {
		case text := <-typed:
			if text == "" {
				continue
			}
			if err := t.line(ctx, text); err != nil {
				t.note("%s", err)
			}
		case <-over:
			over = nil
			t.end()
			if t.c.Close(1000, "") != nil {
				return nil
			}
			time.AfterFunc(time.Second, t.c.Drop)
		case err := <-t.ends:
			return t.outcome(err)
		}
	}
}

// outcome is the error of the end.
func (t *talk) outcome(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked {
		return nil
	}
	return err
}

// piped sends the lines of a pipe.
func (t *talk) piped(ctx context.Context, in io.Reader) error {
	ctx, stop := untilInterrupt(ctx)
	defer stop()
	go t.received(ctx)
	lines := make(chan string)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		r := bufio.NewReader(in)
		for {
			text, err := r.ReadString('\n')
			if text = strings.TrimSuffix(text, "\n"); text != "" {
				lines <- text
			}
			if err != nil {
				if err != io.EOF {
					failed <- err
				}
				return
			}
		}
	}()
	return t.until(ctx, lines, failed)
}

// once sends one message.
func (t *talk) once(ctx context.Context, m devclient.Message) error {
	ctx, stop := untilInterrupt(ctx)
	defer stop()
	go t.received(ctx)
	if err := t.c.Send(m); err != nil {
		return err
	}
	lines := make(chan string)
	close(lines)
	return t.until(ctx, lines, nil)
}

// until sends lines until there are no more, then waits for quiet, and closes.
func (t *talk) until(ctx context.Context, lines <-chan string, failed <-chan error) error {
	var wrong error
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	for {
		select {
		case text, ok := <-lines:
			if !ok {
				lines = nil
				quiet.Reset(t.wait)
				continue
			}
			if err := t.line(ctx, text); err != nil && wrong == nil && ctx.Err() == nil {
				wrong = err
			}
		case <-quiet.C:
			t.mu.Lock()
			left := t.wait - time.Since(t.last)
			t.mu.Unlock()
			if left > 0 {
				quiet.Reset(left)
				continue
			}
			t.end()
			if t.c.Close(1000, "") != nil {
				return wrong
			}
			time.AfterFunc(time.Second, t.c.Drop)
		case err := <-failed:
			wrong = err
		case <-ctx.Done():
			t.c.Drop()
			return wrong
		case err := <-t.ends:
			if ctx.Err() != nil { // an interrupt is no failure
				t.c.Drop()
				return wrong
			}
			return errors.Join(wrong, t.outcome(err))
		}
	}
}
