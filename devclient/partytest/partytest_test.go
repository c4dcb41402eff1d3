package partytest_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goparty/party"
	"github.com/goparty/party/devclient"
	"github.com/goparty/party/devclient/partytest"
	"github.com/goparty/party/emulator/inspect"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// Tally counts its messages, says so, and reminds of it after an hour.
type Tally struct {
	party.Server
	woken time.Time
}

func (t *Tally) OnStart(context.Context) error {
	t.woken = t.Now()
	return nil
}

func (t *Tally) OnConnect(_ context.Context, c *party.Connection, r *http.Request) error {
	if r.URL.Query().Get("token") == "bad" {
		return errors.New("who are you?")
	}
	return nil
}

func (t *Tally) OnMessage(_ context.Context, c *party.Connection, m party.Message) error {
	n := 0
	if _, err := t.Storage().Get("n", &n); err != nil {
		return err
	}
	n++
	t.Broadcast(party.Text(strconv.Itoa(n)))
	if err := t.Storage().SetAlarm(t.Now().Add(time.Hour)); err != nil {
		return err
	}
	return t.Storage().Put("n", n)
}

func (t *Tally) OnAlarm(_ context.Context, a party.AlarmInfo) error {
	t.Broadcast(party.Text("an hour has passed at " + t.Now().UTC().Format(time.TimeOnly)))
	return nil
}

func (t *Tally) OnRequest(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte(t.woken.UTC().Format(time.TimeOnly)))
}

var app = party.App{Servers: party.Servers{"tally": party.ClassOf[Tally](party.Options{Hibernate: true})}}

func TestScripts(t *testing.T) { partytest.Run(t, app, "testdata") }

func TestFromGo(t *testing.T) {
	s := partytest.Start(t, app)
	ann := s.Connect("tally/a", devclient.Options{ID: "ann"})
	ann.Send("x")
	ann.Want("1")
	if d := s.Room("tally/a"); d.State != inspect.Running || d.Connections != 1 || d.Alarm == nil {
		t.Fatalf("%+v", d)
	}

	s.Advance(10 * time.Second)
	if d := s.Room("tally/a"); d.State != inspect.Hibernated {
		t.Fatalf("after its span: %+v", d)
	}
	ann.WantNone()
	s.Advance(time.Hour - 10*time.Second)
	ann.Want("an hour has passed at 01:00:00")

	s.Restart()
	if code, _ := ann.WantClosed(); code != 1006 {
		t.Fatalf("closed %d", code)
	}
	bob := s.Connect("tally/a")
	bob.Send("x")
	if got := bob.Receive().String(); got != "2" {
		t.Fatalf("after a restart: %s", got)
	}
	if status, body := s.Get("tally/a"); status != http.StatusOK || body != "01:00:00" {
		t.Fatalf("%d %s", status, body)
	}
	s.Fire("tally/a")
	bob.Want("an hour has passed at 01:00:00")

	s.Hibernate("tally/a")
}

func TestForced(t *testing.T) {
	s := partytest.Start(t, app)
	ann := s.Connect("tally/a")
	s.Abort("tally/a")
	if code, _ := ann.WantClosed(); code != 1006 {
		t.Fatalf("closed %d", code)
	}
	bob := s.Connect("tally/a")
	bob.Close(4000, "done")
	if code, reason := bob.WantClosed(); code != 4000 {
		t.Fatalf("closed %d %q", code, reason)
	}
	if d := s.Room("tally/a"); d.Connections != 0 {
		t.Fatalf("%+v", d)
	}
	eve := s.Connect("tally/a", devclient.Options{Query: map[string][]string{"token": {"bad"}}})
	if got := eve.Receive().String(); got != `{"error":"who are you?"}` {
		t.Fatalf("%s", got)
	}
	if code, _ := eve.WantClosed(); code != 1011 {
		t.Fatalf("closed %d", code)
	}
}
