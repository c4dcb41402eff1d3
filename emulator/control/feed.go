package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/goparty/party/emulator/inspect"
)

// feed reads a stream of events. What is not read waits in the socket, and then
// with the emulator, which counts what is too much.
type feed struct {
	c     *Client
	lines chan line
	end   context.CancelFunc
	done  chan struct{} // the reader has ended
	err   error         // why; behind done
}

type line struct {
	event inspect.Event
	lost  uint64
}

// ahead is how many lines are read before somebody wants them.
const ahead = 256

// Follow implements [inspect.Viewer]. The feed lives until its Close.
func (c *Client) Follow(ctx context.Context, limit int) (*inspect.Snapshot, inspect.Feed, error) {
	return c.FollowWhole(ctx, limit, 0)
}

// FollowWhole is Follow with events that show so many bytes of each message. 0:
// inspect.PayloadKept.
func (c *Client) FollowWhole(ctx context.Context, limit, payload int) (*inspect.Snapshot, inspect.Feed, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	resp, err := c.send(life, "GET", "/events", url.Values{"snapshot": {"1"}, "limit": {strconv.Itoa(max(limit, 1))}, "payload": {strconv.Itoa(payload)}}, nil)
	if err != nil {
		end()
		return nil, nil, errors.Join(ctx.Err(), err)
	}
	r := bufio.NewReaderSize(resp.Body, 64<<10)
	var head struct {
		Snapshot *inspect.Snapshot
	}
	text, err := readLine(r)
	if err == nil {
		err = json.Unmarshal(text, &head)
	}
	if err == nil && head.Snapshot == nil {
		err = errors.New("the stream does not begin with a snapshot")
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		end()
		_ = resp.Body.Close()
		return nil, nil, c.gone(err)
	}
	return head.Snapshot, c.newFeed(life, end, r, resp.Body, false), nil
}

// newFeed starts reading. finite is whether the stream ends by itself.
func (c *Client) newFeed(ctx context.Context, end context.CancelFunc, r *bufio.Reader, body io.Closer, finite bool) *feed {
	f := &feed{c: c, lines: make(chan line, ahead), end: end, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		defer body.Close()
		if f.err = f.read(ctx, r); f.err == io.EOF && !finite {
			f.err = fmt.Errorf("%w (%s)", ErrGone, c.path)
		}
	}()
	return f
}

// readLine reads a line of any length.
func readLine(r *bufio.Reader) ([]byte, error) {
	text, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return text, err
	}
	text = append([]byte(nil), text...)
	rest, err := r.ReadBytes('\n')
	return append(text, rest...), err
}

func (f *feed) read(ctx context.Context, r *bufio.Reader) error {
	for {
		text, err := readLine(r)
		if err != nil {
			if ctx.Err() != nil {
				return context.Canceled
			}
			return io.EOF
		}
		l, ok := parseLine(text)
		if !ok {
			continue // of a newer version
		}
		select {
		case f.lines <- l:
		case <-ctx.Done():
			return context.Canceled
		}
	}
}

func parseLine(text []byte) (line, bool) {
	e, err := inspect.Unmarshal(text)
	if err == nil {
		return line{event: e}, true
	}
	var lost struct {
		Type   string
		Events uint64
	}
	if json.Unmarshal(text, &lost) == nil && lost.Type == typeLost {
		return line{lost: lost.Events}, true
	}
	return line{}, false
}

// Next implements [inspect.Feed].
func (f *feed) Next(ctx context.Context) (events []inspect.Event, lost uint64, err error) {
	select {
	case l := <-f.lines:
		events, lost = f.gather(l)
		return events, lost, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-f.done:
	}
	select { // what came before the end
	case l := <-f.lines:
		events, lost = f.gather(l)
		return events, lost, nil
	default:
		return nil, 0, f.err
	}
}

// gather takes what is there besides l. Where some were lost it ends, so that
// they are behind the others.
func (f *feed) gather(l line) (events []inspect.Event, lost uint64) {
	for {
		if l.lost > 0 {
			return events, l.lost
		}
		events = append(events, l.event)
		select {
		case l = <-f.lines:
		default:
			return events, 0
		}
	}
}

// Close implements [inspect.Feed].
func (f *feed) Close() {
	f.end()
	<-f.done
}

// EventOptions choose the events of [Client.Events].
type EventOptions struct {
	Past   int  // so many that happened already, first
	Logs   bool // only what the server wrote and logged
	Follow bool // and then what happens
	Limit  int  // of unread events with the emulator; 0: a large one
}

// Events returns past events and those to come, in one feed. Without Follow it
// ends, with [io.EOF] from Next, behind those that are past.
func (c *Client) Events(ctx context.Context, o EventOptions) (inspect.Feed, error) {
	q := url.Values{"past": {strconv.Itoa(o.Past)}, "follow": {strconv.FormatBool(o.Follow)}, "logs": {strconv.FormatBool(o.Logs)}}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	resp, err := c.send(life, "GET", "/events", q, nil)
	if !stop() && err == nil {
		err = ctx.Err()
		_ = resp.Body.Close()
	}
	if err != nil {
		end()
		return nil, err
	}
	return c.newFeed(life, end, bufio.NewReaderSize(resp.Body, 64<<10), resp.Body, !o.Follow), nil
}
