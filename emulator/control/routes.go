package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// route is one thing that can be asked.
type route struct {
	method, path string
	needs, takes []string // parameters; what is not named is refused
	answer       answer
	stream       func(s *Server, w http.ResponseWriter, r *http.Request, q parameters)
}

// parse reads the query.
func (rt *route) parse(r *http.Request) (parameters, error) {
	q := parameters{}
	for name, values := range r.URL.Query() {
		if !slices.Contains(rt.needs, name) && !slices.Contains(rt.takes, name) {
			return nil, usagef("%s has no parameter %q; it takes %q", rt.path, name, slices.Concat(rt.needs, rt.takes))
		}
		q[name] = values[0]
	}
	for _, name := range rt.needs {
		if _, ok := q[name]; !ok {
			return nil, usagef("%s needs the parameter %q", rt.path, name)
		}
	}
	return q, nil
}

var (
	ofRoom       = []string{"room"}
	ofConnection = []string{"connection"}
)

// act makes the answer of an action that has nothing to tell.
func act(f func(s *Server, r *http.Request, q parameters) error) answer {
	return func(s *Server, r *http.Request, q parameters) (any, error) { return nil, f(s, r, q) }
}

// counted makes the answer of an action on connections.
func counted(n int, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return Count{n}, nil
}

var routes []route

func init() {
	routes = []route{
		{method: "GET", path: "/v1", answer: describe},
		{method: "GET", path: "/v1/snapshot", answer: func(s *Server, r *http.Request, _ parameters) (any, error) {
			return s.e.Snapshot(r.Context())
		}},
		{method: "GET", path: "/v1/rooms", answer: func(s *Server, r *http.Request, _ parameters) (any, error) {
			snap, err := s.e.Snapshot(r.Context())
			if err != nil {
				return nil, err
			}
			return list(snap.Rooms), nil
		}},
		{method: "GET", path: "/v1/room", needs: ofRoom, answer: func(s *Server, r *http.Request, q parameters) (any, error) {
			return s.e.Room(r.Context(), q["room"])
		}},
		{method: "GET", path: "/v1/connections", takes: ofRoom, answer: connections},
		{method: "GET", path: "/v1/events", takes: []string{"limit", "snapshot", "past", "logs", "follow", "payload"}, stream: events},
		{method: "GET", path: "/v1/kv", needs: ofRoom, takes: []string{"key", "prefix", "after", "limit"}, answer: keys},
		{method: "PUT", path: "/v1/kv", needs: []string{"room", "key"}, answer: act(func(s *Server, r *http.Request, q parameters) error {
			value, err := body(r)
			if err != nil {
				return err
			}
			return s.e.Put(r.Context(), q["room"], q["key"], append([]byte{}, value...))
		})},
		{method: "DELETE", path: "/v1/kv", needs: []string{"room", "key"}, answer: act(func(s *Server, r *http.Request, q parameters) error {
			return s.e.Put(r.Context(), q["room"], q["key"], nil)
		})},
		{method: "POST", path: "/v1/sql", needs: ofRoom, takes: []string{"limit"}, answer: query},
		{method: "POST", path: "/v1/exec", needs: ofRoom, answer: func(s *Server, r *http.Request, q parameters) (any, error) {
			text, err := body(r)
			if err != nil {
				return nil, err
			}
			return s.e.Exec(r.Context(), q["room"], string(text))
		}},
		{method: "POST", path: "/v1/hibernate", needs: ofRoom, takes: []string{"force"}, answer: act(func(s *Server, r *http.Request, q parameters) error {
			return s.e.Hibernate(r.Context(), q["room"], q.flag("force"))
		})},
		{method: "POST", path: "/v1/evict", needs: ofRoom, answer: act(func(s *Server, r *http.Request, q parameters) error {
			return s.e.Evict(r.Context(), q["room"])
		})},
		{method: "POST", path: "/v1/abort", needs: ofRoom, answer: act(func(s *Server, r *http.Request, q parameters) error {
			return s.e.Abort(r.Context(), q["room"])
		})},
		{method: "POST", path: "/v1/reset", needs: ofRoom, answer: act(func(s *Server, r *http.Request, q parameters) error {
			return s.e.Reset(r.Context(), q["room"])
		})},
		{method: "POST", path: "/v1/fire", needs: ofRoom, answer: act(func(s *Server, r *http.Request, q parameters) error {
			return s.e.Fire(r.Context(), q["room"])
		})},
		{method: "PUT", path: "/v1/alarm", needs: []string{"room", "at"}, answer: act(func(s *Server, r *http.Request, q parameters) error {
			at, err := time.Parse(time.RFC3339Nano, q["at"])
			if err != nil || at.IsZero() {
				return usagef("at=%s is no time: write one like 2030-01-02T15:04:05Z", q["at"])
			}
			return s.e.SetAlarm(r.Context(), q["room"], at)
		})},
		{method: "DELETE", path: "/v1/alarm", needs: ofRoom, answer: act(func(s *Server, r *http.Request, q parameters) error {
			return s.e.SetAlarm(r.Context(), q["room"], time.Time{})
		})},
		{method: "POST", path: "/v1/send", needs: ofRoom, takes: []string{"connection", "binary"}, answer: func(s *Server, r *http.Request, q parameters) (any, error) {
			data, err := body(r)
			if err != nil {
				return nil, err
			}
			return counted(s.e.Send(r.Context(), q["room"], q["connection"], q.flag("binary"), data))
		}},
		{method: "POST", path: "/v1/cut", needs: ofRoom, takes: ofConnection, answer: func(s *Server, r *http.Request, q parameters) (any, error) {
			return counted(s.e.Cut(r.Context(), q["room"], q["connection"]))
		}},
		{method: "POST", path: "/v1/delay", needs: []string{"room", "by"}, takes: ofConnection, answer: func(s *Server, r *http.Request, q parameters) (any, error) {
			d, err := q.duration("by")
			if err != nil {
				return nil, err
			}
			return counted(s.e.Delay(r.Context(), q["room"], q["connection"], d))
		}},
		{method: "POST", path: "/v1/failcommit", needs: ofRoom, answer: act(func(s *Server, r *http.Request, q parameters) error {
			return s.e.FailCommit(r.Context(), q["room"])
		})},
		{method: "GET", path: "/v1/clock", answer: clock},
		{method: "POST", path: "/v1/clock", needs: []string{"by"}, answer: func(s *Server, r *http.Request, q parameters) (any, error) {
			d, err := q.duration("by")
			if err != nil {
				return nil, err
			}
			if _, err := s.e.Advance(r.Context(), d); err != nil {
				return nil, err
			}
			return clock(s, r, q)
		}},
		{method: "POST", path: "/v1/reload", answer: act(func(s *Server, r *http.Request, _ parameters) error { return s.e.Reload(r.Context()) })},
		{method: "POST", path: "/v1/crash", answer: act(func(s *Server, r *http.Request, _ parameters) error { return s.e.Crash(r.Context()) })},
	}
}

// list makes JSON of no elements [] and not null.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

func describe(*Server, *http.Request, parameters) (any, error) {
	type described struct {
		Method     string   `json:"method"`
		Path       string   `json:"path"`
		Parameters []string `json:"parameters,omitempty"`
		Optional   []string `json:"optional,omitempty"`
	}
	var all []described
	for _, rt := range routes {
		all = append(all, described{rt.method, rt.path, rt.needs, rt.takes})
	}
	return map[string]any{"version": Version, "routes": all}, nil
}

func connections(s *Server, r *http.Request, q parameters) (any, error) {
	if room, ok := q["room"]; ok {
		d, err := s.e.Room(r.Context(), room)
		if err != nil {
			return nil, err
		}
		return list(d.Conns), nil
	}
	all, err := s.e.Connections(r.Context())
	return list(all), err
}

func keys(s *Server, r *http.Request, q parameters) (any, error) {
	limit, err := q.number("limit")
	if err != nil {
		return nil, err
	}
	all, err := s.e.KV(r.Context(), q["room"], inspect.KVQuery{Key: q["key"], Prefix: q["prefix"], After: q["after"], Limit: limit})
	return list(all), err
}

func query(s *Server, r *http.Request, q parameters) (any, error) {
	limit, err := q.number("limit")
	if err != nil {
		return nil, err
	}
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	return s.e.SQL(r.Context(), q["room"], string(text), limit)
}

func clock(s *Server, r *http.Request, _ parameters) (any, error) {
	snap, err := s.e.Snapshot(r.Context())
	if err != nil {
		return nil, err
	}
	return Clock{snap.Time, snap.Offset, snap.Manual}, nil
}

// The types of lines that are no events.
const (
	typeSnapshot = "snapshot"
	typeLost     = "lost"
)

// defaultLimit is how many events are kept for a caller that names no number.
const defaultLimit = 1 << 14

// events streams what happens. A caller that reads slowly loses events.
func events(s *Server, w http.ResponseWriter, r *http.Request, q parameters) {
	limit, err := q.number("limit")
	past, err2 := q.number("past")
	payload, err3 := q.number("payload")
	if err = errors.Join(err, err2, err3); err != nil {
		fail(w, err)
		return
	}
	if limit == 0 {
		limit = defaultLimit
	}
	if k, ok := s.e.(keeper); ok && payload > 0 {
		defer k.KeepPayloads(min(payload, maxBody))()
	}
	snap, feed, err := s.e.Follow(r.Context(), min(limit, 1<<20))
	if err != nil {
		fail(w, err)
		return
	}
	defer feed.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	out := lines{Writer: bufio.NewWriterSize(w, 64<<10), logs: q.flag("logs")}
	if q.flag("snapshot") {
		b, err := json.Marshal(map[string]any{"type": typeSnapshot, "snapshot": snap})
		if err != nil {
			return
		}
		_, _ = out.Write(append(b, '\n'))
	} else {
		out.after = snap.Seq // what came while the snapshot was taken
	}
	if past > 0 {
		for _, e := range s.past.past(r.Context(), past, out.logs, snap.Seq) {
			out.event(e)
		}
	}
	follow := q["follow"] == "" || q.flag("follow")
	for {
		if out.Flush() != nil || http.NewResponseController(w).Flush() != nil || !follow {
			return
		}
		all, lost, err := feed.Next(r.Context())
		if err != nil {
			return
		}
		for _, e := range all {
			if inspect.Of(e).Seq > out.after {
				out.event(e)
			}
		}
		if lost > 0 {
			fmt.Fprintf(out, "{\"type\":%q,\"events\":%d}\n", typeLost, lost)
		}
	}
}

// keeper is an emulator whose events can show more of each message.
type keeper interface {
	KeepPayloads(n int) (end func())
}

// lines writes events as lines.
type lines struct {
	*bufio.Writer
	logs  bool   // only those of the log
	after uint64 // of the stream, only those with greater numbers
}

func (l *lines) event(e inspect.Event) {
	if l.logs && !IsLog(e) {
		return
	}
	if line, err := inspect.Marshal(e); err == nil {
		_, _ = l.Write(append(line, '\n'))
	}
}
