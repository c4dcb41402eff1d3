// Server is what the tests of `party dev` run: rooms that do what clients tell
// them, also what no example server would do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/goparty/party"
)

// Room obeys its clients.
type Room struct {
	party.Server

	count int // of messages, by this instance
}

// OnConnect tells the client how it is known.
func (r *Room) OnConnect(_ context.Context, conn *party.Connection, req *http.Request) error {
	if why := req.URL.Query().Get("refuse"); why != "" {
		return errors.New(why)
	}
	return conn.Send(party.JSON(map[string]any{
		"type": "hello", "class": r.Class(), "room": conn.Server, "id": conn.ID, "uri": conn.URI, "tags": conn.Tags,
		"query": req.URL.Query(),
	}))
}

// OnMessage does what the first word says, and sends everything else back.
func (r *Room) OnMessage(_ context.Context, conn *party.Connection, msg party.Message) error {
	r.count++
	if !msg.IsText() {
		return conn.Send(msg)
	}
	word, rest, _ := strings.Cut(msg.String(), " ")
	switch word {
	case "close":
		code, reason, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(code)
		if err != nil {
			return err
		}
		return conn.Close(n, reason)
	case "abort":
		r.Abort(rest)
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "panic":
		panic(rest)
	case "fail":
		return errors.New(rest)
	case "hang":
		if err := conn.Send(party.Text("hanging")); err != nil {
			return err
		}
		select {}
	case "count":
		return conn.Send(party.Text(strconv.Itoa(r.count)))
	case "tell":
		r.Broadcast(party.Text(rest))
	default:
		return conn.Send(msg)
	}
	return nil
}

// OnClose tells the others.
func (r *Room) OnClose(_ context.Context, conn *party.Connection, code int, reason string, clean bool) error {
	r.Broadcast(party.JSON(map[string]any{"type": "closed", "id": conn.ID, "code": code, "reason": reason, "clean": clean}))
	return nil
}

// OnRequest answers with what it got, unless the query says what to do.
func (r *Room) OnRequest(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	switch {
	case q.Has("env"):
		_, _ = fmt.Fprint(w, r.Env(q.Get("env")))
	case q.Has("exit"):
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case q.Has("spawn"):
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprint(w, cmd.Process.Pid)
	case q.Has("stream"):
		w.Header().Set("Content-Type", "text/event-stream")
		r.Stream(w, func(ctx context.Context, w http.ResponseWriter) error {
			if _, err := fmt.Fprintf(w, "data: %s\n\n", q.Get("stream")); err != nil {
				return err
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})
	case q.Has("print"):
		fmt.Println("to stdout: " + q.Get("print"))
		fmt.Fprintln(os.Stderr, "to stderr: "+q.Get("print"))
		r.Log().Warn("logged", "what", q.Get("print"))
	default:
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Room", r.Name())
		_ = json.NewEncoder(w).Encode(map[string]any{
			"class": r.Class(), "room": r.Name(), "method": req.Method, "path": req.URL.Path, "query": q, "body": string(body),
			"header": req.Header.Get("X-Test"),
		})
	}
}

// App has a class that hibernates and one that does not.
var App = party.App{Servers: party.Servers{
	"test":     party.ClassOf[Room](party.Options{Hibernate: true, Subprotocols: []string{"party.v2", "party.v1"}}),
	"MyServer": party.ClassOf[Room](),
}}

func main() { party.Main(App) }
