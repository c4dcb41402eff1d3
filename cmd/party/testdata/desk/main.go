// Desk is what the tests of the commands run: rooms that store what clients
// tell them, set alarms, and hang.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/goparty/party"
)

// Desk is one room.
type Desk struct{ party.Server }

// OnStart hangs in rooms whose names begin with stuck.
func (d *Desk) OnStart(ctx context.Context) error {
	if strings.HasPrefix(d.Name(), "stuck") {
		<-ctx.Done()
	}
	return nil
}

// OnConnect gives a client a state and a tag.
func (d *Desk) OnConnect(_ context.Context, conn *party.Connection, r *http.Request) error {
	return conn.SetState(map[string]string{"seat": r.URL.Query().Get("seat")})
}

// ConnectionTags are the seats.
func (d *Desk) ConnectionTags(_ context.Context, _ *party.Connection, r *http.Request) ([]string, error) {
	return r.URL.Query()["seat"], nil
}

// OnMessage does what the first word says, and tells everybody else the rest.
func (d *Desk) OnMessage(ctx context.Context, conn *party.Connection, msg party.Message) error {
	if !msg.IsText() {
		return conn.Send(msg)
	}
	word, rest, _ := strings.Cut(msg.String(), " ")
	switch word {
	case "put":
		key, value, _ := strings.Cut(rest, " ")
		if err := d.Storage().Put(key, json.RawMessage(value)); err != nil {
			return err
		}
		return conn.Send(party.Text("stored " + key))
	case "sql":
		if _, err := d.Storage().SQL().ExecContext(ctx, rest); err != nil {
			return err
		}
		return conn.Send(party.Text("done"))
	case "alarm":
		in, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		if err := d.Storage().SetAlarm(d.Now().Add(in)); err != nil {
			return err
		}
		return conn.Send(party.Text("alarm set"))
	case "log":
		d.Log().Info(rest)
		return conn.Send(party.Text("logged"))
	case "hang":
		if err := conn.Send(party.Text("hanging")); err != nil {
			return err
		}
		select {}
	case "fail":
		return fmt.Errorf("told to fail: %s", rest)
	}
	d.Broadcast(party.Text(conn.ID + ": " + msg.String()))
	return nil
}

// OnAlarm tells everybody.
func (d *Desk) OnAlarm(context.Context, party.AlarmInfo) error {
	d.Broadcast(party.Text("ring"))
	return nil
}

// OnRequest answers with the room's name.
func (d *Desk) OnRequest(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, d.Name()) }

// App has a class that hibernates and one that does not.
var App = party.App{Servers: party.Servers{
	"desk":      party.ClassOf[Desk](party.Options{Hibernate: true}),
	"AwakeDesk": party.ClassOf[Desk](),
}}

func main() { party.Main(App) }
