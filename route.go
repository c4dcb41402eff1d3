package party

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// RouteOptions say how [RouteRequest] finds rooms and what it does on the way.
// The zero value is the routing of an App without a Handler, but for retries:
// that makes none.
type RouteOptions struct {
	// Prefix of room URLs, of one or several segments. "": parties.
	Prefix string
	// LocationHint says where a room that is new should live, such as "weur".
	// On Cloudflare's engine it is heeded; here all rooms are in one place.
	LocationHint string
	// Jurisdiction: the same name in another jurisdiction is another room.
	Jurisdiction string
	// Props are given to the room as JSON; see [Server.Props]. They are encoded
	// behind the before-hooks, so a pointer may be filled by one.
	Props any
	// CORS answers preflights and adds headers to every answer of a matched
	// route but WebSocket upgrades. Nil: none.
	CORS *CORS
	// Retry where the connection to the room was lost. Nil: the defaults of
	// [RetryOptions].
	Retry *RetryOptions
	// OnBeforeConnect runs before a WebSocket reaches its room, and
	// OnBeforeRequest before any other request does. What they change in r
	// (headers, URL) is what the room sees. Returning false means that the
	// hook has answered, and the room is not reached.
	OnBeforeConnect, OnBeforeRequest func(w http.ResponseWriter, r *http.Request, lobby Lobby) bool
}

// CORS says which headers answers carry. Its zero value is permissive: every
// origin, GET, POST, HEAD and OPTIONS, all headers, for a day.
type CORS struct {
	Header http.Header // not nil: these instead
}

func (c *CORS) apply(h http.Header) {
	if c.Header != nil {
		for k, v := range c.Header {
			h[http.CanonicalHeaderKey(k)] = v
		}
		return
	}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST, HEAD, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "*")
	h.Set("Access-Control-Max-Age", "86400")
}

// Lobby is the room that a before-hook stands in front of.
type Lobby struct {
	Party string // as in the URL: "my-server"
	Class string // the binding: "MyServer"
	Name  string // as in the URL
}

// RouteRequest sends a request that App.Handler got to the room that its URL
// names, /{prefix}/{party}/{room}, WebSockets included, and reports whether it
// did: false means that the URL is no room's, and nothing was written.
//
// It knows the request by r's context, so middleware may wrap w. The room sees
// r's method, URL, header and body as they are now, not its context's values:
// use Props for those.
func RouteRequest(w http.ResponseWriter, r *http.Request, opts RouteOptions) bool {
	prefix := opts.Prefix
	if strings.Trim(prefix, "/") == "" {
		prefix = "parties"
	}
	party, name, ok := wire.SplitPath(prefix, r.URL.EscapedPath())
	if !ok {
		return false
	}
	ctx := r.Context()
	binding, err := bindingFor(ctx, party)
	if err != nil {
		logLine(ctx, slog.LevelError, err.Error())
		if opts.CORS != nil {
			opts.CORS.apply(w.Header())
		}
		http.Error(w, "Invalid request", http.StatusBadRequest)
		return true
	}
	upgrade := isUpgrade(r)
	if opts.CORS != nil && !upgrade {
		w = &corsWriter{ResponseWriter: w, cors: opts.CORS}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return true
		}
	}
	lobby := Lobby{Party: party, Class: binding, Name: name}
	before := opts.OnBeforeRequest
	if upgrade {
		before = opts.OnBeforeConnect
	}
	if before != nil && !before(w, r, lobby) {
		return true
	}
	to := wire.Address{Binding: binding, Name: name, Jurisdiction: opts.Jurisdiction}
	if err := forward(w, r, to, lobby, opts, upgrade); err != nil {
		logLine(ctx, slog.LevelError, fmt.Sprintf("%s %s to %s: %v", r.Method, r.URL.Path, to, err))
		http.Error(w, err.Error(), statusOf(err))
	}
	return true
}

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// bindingFor finds the class that answers at party.
func bindingFor(ctx context.Context, party string) (string, error) {
	all := guest.Bindings(ctx)
	for _, b := range all {
		if wire.Kebab(b) == party {
			return b, nil
		}
	}
	return "", wire.UnknownParty(party, all)
}

// forward is the way to the room, with retries. What it returns was not
// answered.
func forward(w http.ResponseWriter, r *http.Request, to wire.Address, lobby Lobby, opts RouteOptions, upgrade bool) error {
	props, err := encodeProps(opts.Props)
	if err != nil {
		return err
	}
	ctx := r.Context()
	r = r.Clone(ctx)
	for _, h := range []string{"x-partykit-props", "x-partykit-jurisdiction"} {
		r.Header.Del(h) // only we may say these
	}
	r.Header.Set("x-partykit-namespace", lobby.Party)
	if opts.Jurisdiction != "" {
		r.Header.Set("x-partykit-jurisdiction", opts.Jurisdiction)
	}
	if props != nil {
		r.Header.Set("x-partykit-props", base64.StdEncoding.EncodeToString(props))
	}
	if upgrade {
		return retry(ctx, opts.Retry, to, func() error { return guest.Upgrade(ctx, to, opts.LocationHint, r, props) })
	}
	body := newReplayBody(r.Body)
	var resp *http.Response
	err = retry(ctx, opts.Retry, to, func() error {
		if body != nil {
			if body.lost.Load() {
				return errReplay
			}
			r.Body = &replay{body: body}
		}
		resp, err = guest.Fetch(ctx, to, opts.LocationHint, r, props)
		return err
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	copyResponse(w, resp)
	return nil
}

// maxProps bounds props, which travel with every request.
const maxProps = 1 << 20

func encodeProps(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("props: %w", err)
	}
	if len(b) > maxProps {
		return nil, fmt.Errorf("%w: props of %d bytes; at most %d are allowed: keep large things in storage", ErrTooLarge, len(b), maxProps)
	}
	return b, nil
}

// copyResponse passes an answer on, each part as it comes.
func copyResponse(w http.ResponseWriter, resp *http.Response) {
	h := w.Header()
	for k, v := range resp.Header {
		h[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	whole := resp.ContentLength >= 0
	rc := http.NewResponseController(w)
	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
			if !whole {
				_ = rc.Flush()
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the client must not take it for a whole answer
		}
	}
}

// replayBody keeps what was read of a request's body, so that a retry can send
// it again, up to a bound. The attempt before may still be reading when the
// next begins; what it reads is the next one's too.
type replayBody struct {
	lost atomic.Bool // more was read than kept

	mu   sync.Mutex
	src  io.ReadCloser
	kept []byte
	read int   // bytes, kept or not
	err  error // how the source ended
}

const replayLimit = 1 << 20

var errReplay = errors.New("the request's body is too large to send it again")

func newReplayBody(src io.ReadCloser) *replayBody {
	if src == nil || src == http.NoBody {
		return nil
	}
	return &replayBody{src: src}
}

// replay is the body of one attempt.
type replay struct {
	body *replayBody
	at   int
}

func (r *replay) Read(p []byte) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case r.at < b.read && b.lost.Load():
		return 0, errReplay
	case r.at < b.read:
		n := copy(p, b.kept[r.at:])
		r.at += n
		return n, nil
	case b.err != nil:
		return 0, b.err
	}
	n, err := b.src.Read(p)
	r.at, b.read, b.err = r.at+n, b.read+n, err
	if len(b.kept)+n > replayLimit {
		b.lost.Store(true)
		b.kept = nil
	}
	if !b.lost.Load() {
		b.kept = append(b.kept, p[:n]...)
	}
	return n, err
}

// Close leaves the source open: a retry may go on reading it, and the server
// closes it after the request.
func (r *replay) Close() error { return nil }

// corsWriter adds the CORS headers when the head is written, so that neither a
// hook nor the room can lose them.
type corsWriter struct {
	http.ResponseWriter
	cors *CORS
	done bool
}

func (w *corsWriter) WriteHeader(status int) {
	if !w.done {
		w.done = true
		w.cors.apply(w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *corsWriter) Write(b []byte) (int, error) {
	if !w.done {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func (w *corsWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap lets http.ResponseController find the rest.
func (w *corsWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
