//go:build !partyplugin && !js

package party

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/goparty/party/emulator/wire"
)

// What needs a request or its answer.
func init() {
	maps.Copy(verbs, map[string]verb{
		"request": func(_ *Lab, _ context.Context, c *cmd, _ string) error {
			c.say(fmt.Sprintf("%s %s host=%s length=%d", c.r.Method, c.r.URL.RequestURI(), c.r.Host, c.r.ContentLength))
			return nil
		},
		"headers": func(_ *Lab, _ context.Context, c *cmd, arg string) error { // headers PREFIX
			var lines []string
			for k, v := range c.r.Header {
				if strings.HasPrefix(k, arg) {
					lines = append(lines, fmt.Sprintf("%s=%s", k, strings.Join(v, "|")))
				}
			}
			sort.Strings(lines)
			c.say(strings.Join(lines, " "))
			return nil
		},
		"header": func(_ *Lab, _ context.Context, c *cmd, arg string) error { // header NAME VALUE; VERB follows with both
			name, value := two(arg)
			c.w.Header().Add(name, value)
			return nil
		},
		"header-large": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			var n int
			if _, err := fmt.Sscan(arg, &n); err != nil {
				return err
			}
			c.w.Header().Set("X-Large", string(repeat(n)))
			return nil
		},
		"props-large": func(_ *Lab, ctx context.Context, c *cmd, name string) error {
			_, err := ServerByName(ctx, "Lab", name, StubOptions{Props: string(repeat(42 << 20))})
			return c.report(err)
		},
		"status": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			var code int
			if _, err := fmt.Sscan(arg, &code); err != nil {
				return err
			}
			c.w.WriteHeader(code)
			return nil
		},
		"body": func(_ *Lab, _ context.Context, c *cmd, _ string) error { // its length and sum
			h := sha256.New()
			n, err := io.Copy(h, c.r.Body)
			if err != nil {
				return err
			}
			c.say(fmt.Sprintf("%d %x", n, h.Sum(nil)))
			return nil
		},
		"mirror": func(_ *Lab, _ context.Context, c *cmd, _ string) error { // each part as it comes
			return mirror(c.w, c.r.Body)
		},
		"write": func(_ *Lab, _ context.Context, c *cmd, arg string) error { // so many bytes
			var n int
			if _, err := fmt.Sscan(arg, &n); err != nil {
				return err
			}
			if _, err := c.w.Write(repeat(n)); err != nil {
				c.say("") // nothing more goes either
			}
			return nil
		},
		"flush": func(_ *Lab, _ context.Context, c *cmd, arg string) error {
			c.say(arg)
			c.w.(http.Flusher).Flush()
			return nil
		},
		"stream": func(l *Lab, _ context.Context, c *cmd, arg string) error { // stream VERB, flushing what it says
			l.Stream(c.w, func(ctx context.Context, w http.ResponseWriter) error {
				return l.run(ctx, &cmd{w: w, r: c.r, say: func(s string) {
					_, _ = io.WriteString(w, s+"\n")
					_ = http.NewResponseController(w).Flush()
				}}, arg)
			})
			return nil
		},
		"stream-wrapped": func(l *Lab, _ context.Context, c *cmd, arg string) error {
			l.Stream(shouting{c.w}, func(_ context.Context, w http.ResponseWriter) error {
				_, err := io.WriteString(w, arg)
				return err
			})
			return nil
		},
		"stream-elsewhere": func(l *Lab, _ context.Context, _ *cmd, _ string) error {
			l.Stream(httptest.NewRecorder(), func(context.Context, http.ResponseWriter) error { return nil })
			return nil
		},
		"fetch": func(_ *Lab, ctx context.Context, c *cmd, arg string) error { // fetch NAME VERB
			name, verb := two(arg)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://room/?do="+url.QueryEscape(verb), nil)
			if err != nil {
				return err
			}
			resp, err := (&Stub{wire.Address{Binding: "Lab", Name: name}}).Fetch(r)
			if err != nil {
				return c.report(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				return c.report(err)
			}
			c.say(fmt.Sprintf("%d %s", resp.StatusCode, bytes.TrimSpace(b)))
			return nil
		},
		"fetch-upgrade": func(_ *Lab, ctx context.Context, c *cmd, arg string) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://room/", nil)
			if err != nil {
				return err
			}
			r.Header.Set("Upgrade", "websocket")
			_, err = (&Stub{wire.Address{Binding: "Lab", Name: arg}}).Fetch(r)
			return c.report(err)
		},
		"fetch-and-close": func(_ *Lab, ctx context.Context, c *cmd, arg string) error { // reads one line of the answer
			name, verb := two(arg)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://room/?do="+url.QueryEscape(verb), nil)
			if err != nil {
				return err
			}
			resp, err := (&Stub{wire.Address{Binding: "Lab", Name: name}}).Fetch(r)
			if err != nil {
				return err
			}
			line, err := bufio.NewReader(resp.Body).ReadString('\n')
			if err != nil {
				return err
			}
			c.say(fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(line)))
			return resp.Body.Close()
		},
		"fetch-later": func(l *Lab, ctx context.Context, c *cmd, arg string) error { // says the status, and the body when it is whole
			name, verb := two(arg)
			r, err := http.NewRequestWithContext(l.Context(), http.MethodGet, "http://room/?do="+url.QueryEscape(verb), nil)
			if err != nil {
				return err
			}
			resp, err := (&Stub{wire.Address{Binding: "Lab", Name: name}}).Fetch(r.WithContext(inTurn{l.Context(), ctx}))
			if err != nil {
				return err
			}
			c.say(fmt.Sprint(resp.StatusCode))
			l.WaitUntil(func(context.Context) error {
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				l.Broadcast(Text(string(b)))
				return err
			})
			return nil
		},
		"ask-later": func(l *Lab, ctx context.Context, c *cmd, arg string) error { // on a goroutine, with the turn's context
			name, verb := two(arg)
			begun := make(chan struct{})
			go func() {
				close(begun)
				result, err := Call[string](inTurn{l.Context(), ctx}, &Stub{wire.Address{Binding: "Lab", Name: name}}, "Run", verb)
				if err != nil {
					result = outcome(err)
				}
				l.Broadcast(Text(result))
			}()
			<-begun
			return nil
		},
		"relay": func(_ *Lab, ctx context.Context, c *cmd, arg string) error { // relay NAME VERB: the body goes there, the answer comes back
			name, verb := two(arg)
			r, err := http.NewRequestWithContext(ctx, c.r.Method, "http://room/?do="+url.QueryEscape(verb), c.r.Body)
			if err != nil {
				return err
			}
			resp, err := (&Stub{wire.Address{Binding: "Lab", Name: name}}).Fetch(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			return mirror(c.w, resp.Body)
		},
	})
}

// inTurn is a context that lasts longer than the turn whose values it has.
type inTurn struct {
	context.Context
	turn context.Context
}

func (c inTurn) Value(key any) any { return c.turn.Value(key) }

func mirror(w http.ResponseWriter, src io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			w.(http.Flusher).Flush()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// shouting is what middleware does to a writer.
type shouting struct{ http.ResponseWriter }

func (s shouting) Write(b []byte) (int, error) { return s.ResponseWriter.Write(bytes.ToUpper(b)) }

func (s shouting) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// routedApp has a Handler in front of its rooms. What it does stands in the
// URL's path and query.
func routedApp() App {
	app := labApp()
	mux := http.NewServeMux()
	app.Handler = mux
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var opts RouteOptions
		if v := r.URL.Query().Get("jurisdiction"); v != "" {
			opts.Jurisdiction = v
		}
		if v := r.URL.Query().Get("props"); v != "" {
			opts.Props = map[string]string{"from": v}
		}
		if !RouteRequest(w, r, opts) {
			http.Error(w, "no room", http.StatusNotFound)
		}
	})
	mux.HandleFunc("/deep/down/", func(w http.ResponseWriter, r *http.Request) {
		if !RouteRequest(w, r, RouteOptions{Prefix: "/deep/down/", CORS: &CORS{}}) {
			http.Error(w, "no room", http.StatusNotFound)
		}
	})
	mux.HandleFunc("/cors/", func(w http.ResponseWriter, r *http.Request) {
		if !RouteRequest(w, r, RouteOptions{
			Prefix: "cors", CORS: &CORS{Header: http.Header{"access-control-allow-origin": {"https://party.example"}}},
			OnBeforeRequest: before, OnBeforeConnect: before,
		}) {
			http.Error(w, "no room", http.StatusNotFound)
		}
	})
	mux.HandleFunc("/wrapped/", func(w http.ResponseWriter, r *http.Request) {
		RouteRequest(shouting{w}, r, RouteOptions{Prefix: "wrapped"})
	})
	mux.HandleFunc("/stub/", func(w http.ResponseWriter, r *http.Request) { // /stub/NAME
		name := strings.TrimPrefix(r.URL.Path, "/stub/")
		s, err := ServerByName(r.Context(), "Lab", name, StubOptions{Props: map[string]string{"from": "stub"}})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		sum, err := Call[int](r.Context(), s, "Add", 2, 3)
		fmt.Fprintf(w, "%s: %d %v", s.Name(), sum, err)
	})
	for prefix, attempts := range map[string]int{"once": 1, "twice": 2} {
		mux.HandleFunc("/"+prefix+"/", func(w http.ResponseWriter, r *http.Request) {
			RouteRequest(w, r, RouteOptions{Prefix: prefix, Retry: &RetryOptions{
				MaxAttempts: attempts, BaseDelay: time.Millisecond,
				OnRetry: func(e RetryEvent) {
					logLine(r.Context(), slog.LevelInfo, fmt.Sprintf("retry %d of %d: %s %s", e.Attempt, e.MaxAttempts, e.Class, e.Name))
					panic("is ignored")
				},
			}})
		})
	}
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("the handler's own") })
	mux.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Handler", "yes")
		_ = mirror(w, r.Body)
	})
	return app
}

// before answers, lets through or changes what it is told to by the query.
func before(w http.ResponseWriter, r *http.Request, lobby Lobby) bool {
	q := r.URL.Query()
	if q.Has("refuse") {
		http.Error(w, fmt.Sprintf("refused %s %s %s", lobby.Party, lobby.Class, lobby.Name), http.StatusForbidden)
		return false
	}
	if v := q.Get("user"); v != "" {
		r.Header.Set("X-User", v)
		q.Del("user")
		q.Set("connect", "me")
		r.URL.RawQuery = q.Encode()
	}
	return true
}
