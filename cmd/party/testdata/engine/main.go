// Engine is what the tests run on both runtimes: rooms that check themselves.
// GET /parties/probe/ROOM/CHECK answers "ok", or says what is wrong.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/goparty/party"
)

// Probe is a room that checks what it can do.
type Probe struct {
	party.Server

	seen    int // turns of this instance
	timers  []string
	started time.Time
}

func (p *Probe) OnStart(ctx context.Context) error {
	p.started = p.Now()
	p.AutoRespond("ping", "pong")
	if strings.HasPrefix(p.Name(), "broken") {
		return errors.New("it does not start")
	}
	_, err := p.Storage().SQL().ExecContext(ctx, "CREATE TABLE IF NOT EXISTS starts (at INTEGER)")
	return err
}

func (p *Probe) ConnectionTags(_ context.Context, _ *party.Connection, r *http.Request) ([]string, error) {
	return r.URL.Query()["tag"], nil
}

func (p *Probe) OnConnect(_ context.Context, conn *party.Connection, r *http.Request) error {
	if code := r.URL.Query().Get("leave"); code != "" {
		_ = conn.Send(party.Text("bye"))
		return conn.Close(4005, code)
	}
	return conn.SetState(map[string]string{"name": r.URL.Query().Get("name")})
}

// OnMessage does what the text says.
func (p *Probe) OnMessage(ctx context.Context, conn *party.Connection, msg party.Message) error {
	p.seen++
	word, rest, _ := strings.Cut(msg.String(), " ")
	switch word {
	case "who":
		var state struct{ Name string }
		if err := conn.State(&state); err != nil {
			return err
		}
		var all []string
		for c := range p.Connections("red") {
			all = append(all, c.ID)
		}
		return conn.Send(party.JSON(map[string]any{
			"seen": p.seen, "name": state.Name, "tags": conn.Tags, "uri": conn.URI, "red": all, "room": p.Name(),
		}))
	case "seen":
		return conn.Send(party.Text(fmt.Sprint(p.seen)))
	case "alarm":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		return p.Storage().SetAlarm(p.Now().Add(d))
	case "fill": // the state, to the last byte
		head, err := json.Marshal([]any{conn.ID, conn.URI, conn.Tags})
		if err != nil {
			return err
		}
		n := 16384 - len(head) - len(`{"name":""}`)
		if err := conn.SetState(map[string]string{"name": strings.Repeat("x", n+1)}); !errors.Is(err, party.ErrTooLarge) {
			return fmt.Errorf("a state that is too large: %w", err)
		}
		if err := conn.SetState(map[string]string{"name": strings.Repeat("x", n)}); err != nil {
			return err
		}
		return conn.Send(party.Text("full"))
	case "props":
		var s string
		if err := p.Props(&s); err != nil {
			return err
		}
		return conn.Send(party.Text(s))
	case "rename":
		return conn.SetState(map[string]string{"name": rest})
	case "put":
		return p.Storage().Put("text", rest)
	case "write-and-crash":
		if err := p.Storage().Put("text", "lost"); err != nil {
			return err
		}
		if err := conn.Send(party.Text("saved")); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "write-and-fail":
		if err := p.Storage().Put("text", "kept"); err != nil {
			return err
		}
		return errors.New("failed on purpose")
	case "write-and-abort":
		if err := p.Storage().Put("text", "lost"); err != nil {
			return err
		}
		_ = conn.Send(party.Text("saved"))
		p.Abort("on purpose")
	case "go-panic":
		go panic("in a goroutine")
	case "hang":
		select {}
	case "leak":
		for range 100 {
			go func() { select {} }()
			go func() {
				for {
					time.Sleep(50 * time.Millisecond)
				}
			}()
		}
		return conn.Send(party.Text("leaked"))
	case "alarm-fails":
		n, err := strconv.Atoi(rest)
		if err != nil {
			return err
		}
		return errors.Join(p.Storage().Put("alarm fails", n), conn.Send(msg))
	case "wait-in-transaction":
		return p.Storage().Transaction(func() error {
			if err := p.Storage().Put("text", "lost"); err != nil {
				return err
			}
			return p.Sleep(ctx, time.Hour)
		})
	case "get":
		var text string
		if _, err := p.Storage().Get("text", &text); err != nil {
			return err
		}
		return conn.Send(party.Text(text))
	case "after":
		p.AfterFunc(20*time.Millisecond, func(context.Context) {
			p.seen++
			_ = conn.Send(party.Text("after"))
		})
	case "background":
		p.WaitUntil(func(ctx context.Context) error {
			if err := p.Sleep(ctx, 20*time.Millisecond); err != nil {
				return err
			}
			return p.Do(ctx, func(context.Context) error { return conn.Send(party.Text("done")) })
		})
	default:
		return conn.Send(msg)
	}
	return nil
}

func (p *Probe) OnError(_ context.Context, conn *party.Connection, err error) {
	p.Broadcast(party.Text("error of " + conn.ID + ": " + err.Error()))
}

func (p *Probe) OnClose(_ context.Context, conn *party.Connection, code int, reason string, clean bool) error {
	p.Broadcast(party.Text(fmt.Sprintf("closed %s %d %s %v", conn.ID, code, reason, clean)))
	return nil
}

// OnAlarm fails as often as the room is told to.
func (p *Probe) OnAlarm(_ context.Context, a party.AlarmInfo) error {
	if _, set, err := p.Storage().Alarm(); err != nil || set {
		return fmt.Errorf("an alarm while the alarm runs: %v, %w", set, err)
	}
	var fails int
	if _, err := p.Storage().Get("alarm fails", &fails); err != nil {
		return err
	}
	p.Broadcast(party.Text(fmt.Sprintf("alarm %s %d %v seen %d", p.Name(), a.RetryCount, a.IsRetry, p.seen)))
	if a.RetryCount < fails {
		return errors.New("failed on purpose")
	}
	return nil
}

func (p *Probe) OnRequest(w http.ResponseWriter, r *http.Request) {
	p.seen++
	name := path.Base(r.URL.Path)
	if serve := pages[name]; serve != nil {
		serve(p, w, r)
		return
	}
	check := checks[name]
	if check == nil {
		http.Error(w, "no check "+name, http.StatusNotFound)
		return
	}
	if err := check(p, r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	fmt.Fprint(w, "ok")
}

// pages answer requests in ways of their own.
var pages = map[string]func(p *Probe, w http.ResponseWriter, r *http.Request){
	"checks": func(_ *Probe, w http.ResponseWriter, _ *http.Request) {
		for name := range checks {
			fmt.Fprintln(w, name)
		}
	},
	"stream": func(p *Probe, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		p.Stream(w, func(ctx context.Context, w http.ResponseWriter) error {
			defer fmt.Println("the stream ended")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
					return err
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
				if err := p.Sleep(ctx, 20*time.Millisecond); err != nil {
					return err
				}
			}
		})
	},
	"large": func(_ *Probe, w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				fmt.Println("large:", err)
				return
			}
		}
	},
	"count": func(_ *Probe, w http.ResponseWriter, r *http.Request) {
		n, buf := 0, make([]byte, 64<<10)
		for {
			m, err := r.Body.Read(buf)
			if n += m; err != nil {
				fmt.Fprintln(w, n, err)
				return
			}
		}
	},
	"panic":  func(*Probe, http.ResponseWriter, *http.Request) { panic("on purpose") },
	"status": func(_ *Probe, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	"props": func(p *Probe, w http.ResponseWriter, _ *http.Request) {
		var s string
		if err := p.Props(&s); err != nil {
			s = err.Error()
		}
		fmt.Fprint(w, s)
	},
	"name": func(p *Probe, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, p.Name()) },
	"kept": func(p *Probe, w http.ResponseWriter, _ *http.Request) { // by the check values
		if found, err := p.Storage().Get("thing", new(any)); err != nil || !found {
			http.Error(w, fmt.Sprint(found, err), http.StatusNotFound)
		}
	},
	"env": func(p *Probe, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, p.Env("GREETING")) },
	"outside": func(p *Probe, w http.ResponseWriter, r *http.Request) {
		q, err := http.NewRequestWithContext(r.Context(), "GET", p.Env("WEB"), nil)
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(q); err == nil {
				defer resp.Body.Close()
				_, err = io.Copy(w, resp.Body)
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	},
	"seen": func(p *Probe, w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, p.seen)
	},
}

// Plain is a class that does not hibernate.
type Plain struct{ Probe }

// handler is in front of the rooms.
func handler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		fmt.Fprintln(w, "front page")
		return
	case "/panic":
		panic("in the handler")
	case "/exit":
		os.Exit(4)
	case "/echo":
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, r.URL.RawQuery)
		return
	case "/both":
		q := r.URL.Query()
		stub, err := party.ServerByName(r.Context(), "probe", q.Get("room"))
		if err == nil {
			var s string
			if s, err = party.Call[string](r.Context(), stub, "Both", q.Get("other")); err == nil {
				fmt.Fprint(w, s)
				return
			}
		}
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	case "/people":
		stub, err := party.ServerByName(r.Context(), "probe", "people")
		if err == nil {
			var n int
			if n, err = party.Call[int](r.Context(), stub, "Add", 20, 22); err == nil {
				fmt.Fprint(w, n)
				return
			}
		}
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	opts := party.RouteOptions{Props: "from the handler", CORS: &party.CORS{}}
	opts.OnBeforeRequest = func(w http.ResponseWriter, r *http.Request, to party.Lobby) bool {
		if r.URL.Query().Has("forbidden") {
			http.Error(w, "not you", http.StatusForbidden)
			return false
		}
		return true
	}
	opts.OnBeforeConnect = opts.OnBeforeRequest
	if !party.RouteRequest(w, r, opts) {
		http.NotFound(w, r)
	}
}

// App is the program.
var App = party.App{
	Servers: party.Servers{
		"probe": party.ClassOf[Probe](party.Options{Hibernate: true}),
		"Plain": party.ClassOf[Plain](),
	},
	Handler: http.HandlerFunc(handler),
}

func main() { party.Main(App) }
