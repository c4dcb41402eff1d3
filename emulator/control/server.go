package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// Version is that of the routes, as in /v1.
const Version = 1

// maxBody is the largest body of a request: a message of the largest size.
const maxBody = 32 << 20

// Server serves an emulator on a control socket.
type Server struct {
	e    inspect.Emulator
	http *http.Server
	past *history
	done chan struct{}
}

// Serve serves e on ln, which it owns from now on, until Close.
func Serve(ln net.Listener, e inspect.Emulator) (*Server, error) {
	s := &Server{e: e, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	_, feed, err := e.Follow(ctx, historyQueue)
	if err != nil {
		cancel()
		return nil, errors.Join(err, ln.Close())
	}
	s.past = newHistory(feed)
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	go func() {
		defer close(s.done)
		defer cancel()
		_ = s.http.Serve(ln)
		_ = ln.Close()
	}()
	return s, nil
}

// Close ends what is asked just now, and removes the socket.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	s.past.close()
	return err
}

// Count is how many connections something was done to.
type Count struct {
	Connections int `json:"connections"`
}

// Clock is the rooms' clock.
type Clock struct {
	Time   time.Time     `json:"time"`
	Offset time.Duration `json:"offset_ns"` // how far it is ahead of the wall's
	Manual bool          `json:"manual"`    // it stands still until advanced
}

// failed is the body of an answer that is an error.
type failed struct {
	Error string `json:"error"`
	Kind  string `json:"kind"`
}

// The kinds of errors, with their statuses.
const (
	kindNoRoom  = "no_room"
	kindUsage   = "usage"
	kindRefused = "refused"
)

var statuses = map[string]int{
	kindNoRoom: http.StatusNotFound, kindUsage: http.StatusBadRequest, kindRefused: http.StatusConflict,
}

// usage is an error of the request.
type usage struct{ error }

func usagef(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

func kindOf(err error) string {
	var u usage
	switch {
	case errors.As(err, &u):
		return kindUsage
	case errors.Is(err, inspect.ErrNoRoom):
		return kindNoRoom
	}
	return kindRefused
}

// answer is what a route does: nil is 204.
type answer func(s *Server, r *http.Request, q parameters) (any, error)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) {
			q, err := rt.parse(r)
			if err != nil {
				fail(w, err)
				return
			}
			if rt.stream != nil {
				rt.stream(s, w, r, q)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			v, err := rt.answer(s, r, q)
			if err != nil {
				fail(w, err)
				return
			}
			if v == nil {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			reply(w, http.StatusOK, v)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allowed := methods(r.URL.Path); len(allowed) > 0 {
			fail(w, usagef("%s is for %s", r.URL.Path, allowed))
			return
		}
		fail(w, usagef("there is no %s; GET /v%d lists what there is", r.URL.Path, Version))
	})
	return mux
}

func methods(path string) string {
	all := ""
	for _, rt := range routes {
		if rt.path == path {
			if all != "" {
				all += " or "
			}
			all += rt.method
		}
	}
	return all
}

func fail(w http.ResponseWriter, err error) {
	kind := kindOf(err)
	reply(w, statuses[kind], failed{err.Error(), kind})
}

func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// parameters are those of a request's query.
type parameters map[string]string

func (q parameters) flag(name string) bool {
	yes, _ := strconv.ParseBool(q[name])
	return yes
}

// number is a limit that may be left out.
func (q parameters) number(name string) (int, error) {
	if q[name] == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(q[name])
	if err != nil || n < 0 {
		return 0, usagef("%s=%s is no number", name, q[name])
	}
	return n, nil
}

func (q parameters) duration(name string) (time.Duration, error) {
	d, err := time.ParseDuration(q[name])
	if err != nil || d < 0 {
		return 0, usagef("%s=%s is no duration: write one like 1m30s", name, q[name])
	}
	return d, nil
}

func body(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, usagef("the body is larger than %d bytes", large.Limit)
	}
	return b, err
}
