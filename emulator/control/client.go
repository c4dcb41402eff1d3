package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// Client is an emulator behind its control socket. Its methods may be called
// from any goroutine.
type Client struct {
	path string // as the caller named it
	http *http.Client
}

var _ inspect.Emulator = (*Client)(nil)

// ErrGone is wrapped by the error for an emulator that is no more.
var ErrGone = errors.New("the emulator has ended")

// Dial reaches the emulator that serves the socket at path. It fails where
// nobody does, wrapping [ErrNone].
func Dial(path string) (*Client, error) {
	real, err := resolve(path)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("%w: there is no %s; is it where `party dev` runs?", ErrNone, path)
	}
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", real)
	}
	conn, err := dial(context.Background())
	switch {
	case os.IsPermission(err):
		return nil, fmt.Errorf("%s belongs to somebody else: run this as the one who runs `party dev`", path)
	case err != nil:
		return nil, fmt.Errorf("%w: nobody serves %s, which a `party dev` that was killed may have left; run `party dev`", ErrNone, path)
	}
	_ = conn.Close()
	c := &Client{path: path}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxIdleConnsPerHost: 4,
	}}
	return c, nil
}

// Close gives up idle connections. Feeds end by themselves.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request asks for a route; out, where not nil, gets the answer.
func (c *Client) request(ctx context.Context, method, path string, q url.Values, body []byte, out any) error {
	resp, err := c.send(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return c.gone(err)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return c.gone(fmt.Errorf("reading the answer: %w", err))
	}
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return nil
}

// send returns an answer that is no error.
func (c *Client) send(ctx context.Context, method, path string, q url.Values, body []byte) (*http.Response, error) {
	at := "http://party/v" + strconv.Itoa(Version) + path
	if len(q) > 0 {
		at += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the emulator at %s does not answer: %w", c.path, context.Cause(ctx))
		}
		return nil, c.gone(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var f failed
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&f); err != nil || f.Error == "" {
		return nil, fmt.Errorf("%s answers %s, which is no emulator's answer", c.path, resp.Status)
	}
	return nil, &refusal{f}
}

// gone tells the end of the emulator from other errors.
func (c *Client) gone(err error) error {
	var op *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) {
		return fmt.Errorf("%w (%s)", ErrGone, c.path)
	}
	return err
}

// refusal is an error that the emulator gave.
type refusal struct{ failed }

func (r *refusal) Error() string { return r.failed.Error }

// Is lets [inspect.ErrNoRoom] be found on this side too.
func (r *refusal) Is(target error) bool { return target == inspect.ErrNoRoom && r.Kind == kindNoRoom }

func of(room string, more ...string) url.Values {
	q := url.Values{"room": {room}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			q.Set(more[i], more[i+1])
		}
	}
	return q
}

func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func flag(yes bool) string {
	if !yes {
		return ""
	}
	return "1"
}

// Snapshot implements [inspect.Viewer].
func (c *Client) Snapshot(ctx context.Context) (*inspect.Snapshot, error) {
	s := &inspect.Snapshot{}
	return s, c.request(ctx, "GET", "/snapshot", nil, nil, s)
}

// Room implements [inspect.Viewer].
func (c *Client) Room(ctx context.Context, room string) (*inspect.RoomDetail, error) {
	d := &inspect.RoomDetail{}
	if err := c.request(ctx, "GET", "/room", of(room), nil, d); err != nil {
		return nil, err
	}
	return d, nil
}

// Connections implements [inspect.Viewer].
func (c *Client) Connections(ctx context.Context) (all []inspect.Connection, err error) {
	return all, c.request(ctx, "GET", "/connections", nil, nil, &all)
}

// KV implements [inspect.Viewer].
func (c *Client) KV(ctx context.Context, room string, q inspect.KVQuery) (all []inspect.KV, err error) {
	return all, c.request(ctx, "GET", "/kv", of(room, "key", q.Key, "prefix", q.Prefix, "after", q.After, "limit", positive(q.Limit)), nil, &all)
}

// SQL implements [inspect.Viewer].
func (c *Client) SQL(ctx context.Context, room, query string, limit int) (*inspect.Rows, error) {
	return c.rows(ctx, "/sql", of(room, "limit", positive(limit)), query)
}

func (c *Client) rows(ctx context.Context, path string, q url.Values, query string) (*inspect.Rows, error) {
	rows := &inspect.Rows{}
	if err := c.request(ctx, "POST", path, q, []byte(query), rows); err != nil {
		return nil, err
	}
	return rows, nil
}

// Hibernate implements [inspect.Actor].
func (c *Client) Hibernate(ctx context.Context, room string, force bool) error {
	return c.request(ctx, "POST", "/hibernate", of(room, "force", flag(force)), nil, nil)
}

// Evict implements [inspect.Actor].
func (c *Client) Evict(ctx context.Context, room string) error {
	return c.request(ctx, "POST", "/evict", of(room), nil, nil)
}

// Abort implements [inspect.Actor].
func (c *Client) Abort(ctx context.Context, room string) error {
	return c.request(ctx, "POST", "/abort", of(room), nil, nil)
}

// Reset implements [inspect.Actor].
func (c *Client) Reset(ctx context.Context, room string) error {
	return c.request(ctx, "POST", "/reset", of(room), nil, nil)
}

// Fire implements [inspect.Actor].
func (c *Client) Fire(ctx context.Context, room string) error {
	return c.request(ctx, "POST", "/fire", of(room), nil, nil)
}

// SetAlarm implements [inspect.Actor].
func (c *Client) SetAlarm(ctx context.Context, room string, at time.Time) error {
	if at.IsZero() {
		return c.request(ctx, "DELETE", "/alarm", of(room), nil, nil)
	}
	return c.request(ctx, "PUT", "/alarm", of(room, "at", at.Format(time.RFC3339Nano)), nil, nil)
}

// Exec implements [inspect.Actor].
func (c *Client) Exec(ctx context.Context, room, query string) (*inspect.Rows, error) {
	return c.rows(ctx, "/exec", of(room), query)
}

// Put implements [inspect.Actor].
func (c *Client) Put(ctx context.Context, room, key string, value []byte) error {
	q := of(room)
	q.Set("key", key)
	if value == nil {
		return c.request(ctx, "DELETE", "/kv", q, nil, nil)
	}
	return c.request(ctx, "PUT", "/kv", q, value, nil)
}

// Send implements [inspect.Actor].
func (c *Client) Send(ctx context.Context, room, id string, binary bool, data []byte) (int, error) {
	return c.count(ctx, "/send", of(room, "connection", id, "binary", flag(binary)), data)
}

// Cut implements [inspect.Actor].
func (c *Client) Cut(ctx context.Context, room, id string) (int, error) {
	return c.count(ctx, "/cut", of(room, "connection", id), nil)
}

// Delay implements [inspect.Actor].
func (c *Client) Delay(ctx context.Context, room, id string, d time.Duration) (int, error) {
	return c.count(ctx, "/delay", of(room, "connection", id, "by", d.String()), nil)
}

func (c *Client) count(ctx context.Context, path string, q url.Values, data []byte) (int, error) {
	var n Count
	err := c.request(ctx, "POST", path, q, data, &n)
	return n.Connections, err
}

// FailCommit implements [inspect.Actor].
func (c *Client) FailCommit(ctx context.Context, room string) error {
	return c.request(ctx, "POST", "/failcommit", of(room), nil, nil)
}

// Clock is the rooms' clock as it is now.
func (c *Client) Clock(ctx context.Context) (now Clock, err error) {
	return now, c.request(ctx, "GET", "/clock", nil, nil, &now)
}

// Advance implements [inspect.Actor].
func (c *Client) Advance(ctx context.Context, d time.Duration) (time.Time, error) {
	var now Clock
	err := c.request(ctx, "POST", "/clock", url.Values{"by": {d.String()}}, nil, &now)
	return now.Time, err
}

// Reload implements [inspect.Actor].
func (c *Client) Reload(ctx context.Context) error {
	return c.request(ctx, "POST", "/reload", nil, nil, nil)
}

// Crash implements [inspect.Actor].
func (c *Client) Crash(ctx context.Context) error {
	return c.request(ctx, "POST", "/crash", nil, nil, nil)
}

// Path is that of the socket, as the caller of Dial named it.
func (c *Client) Path() string { return c.path }
