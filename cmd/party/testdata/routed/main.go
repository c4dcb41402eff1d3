// Routed is a server with a handler of its own, for the tests of `party dev`:
// rooms stand below /api/v1 and get props.
package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/goparty/party"
)

// Room says with what props it was started.
type Room struct {
	party.Server

	started string
}

// OnStart reads the props.
func (r *Room) OnStart(context.Context) error { return r.Props(&r.started) }

// OnConnect tells them.
func (r *Room) OnConnect(_ context.Context, conn *party.Connection, _ *http.Request) error {
	return conn.Send(party.JSON(map[string]string{"type": "hello", "id": conn.ID, "started": r.started}))
}

// OnRequest streams one event and stays open.
func (r *Room) OnRequest(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	r.Stream(w, func(ctx context.Context, w http.ResponseWriter) error {
		if _, err := fmt.Fprintf(w, "data: %s\n\n", r.started); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}

// App routes with a prefix.
var App = party.App{
	Servers: party.Servers{"Room": party.ClassOf[Room](party.Options{Hibernate: true})},
	Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !party.RouteRequest(w, r, party.RouteOptions{Prefix: "api/v1", Props: "props", CORS: &party.CORS{}}) {
			http.Error(w, "nothing here", http.StatusTeapot)
		}
	}),
}

func main() { party.Main(App) }
