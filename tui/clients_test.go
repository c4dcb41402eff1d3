package tui

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/gorilla/websocket"

	"github.com/goparty/party/emulator/inspect"
)

// live runs a dashboard with real connections, whose goroutines synctest cannot
// wait for: it waits for what should be seen instead.
type live struct {
	t    *testing.T
	m    *model
	msgs chan tea.Msg
}

func (l *live) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go func() {
		switch msg := cmd().(type) {
		case nil:
		case tea.BatchMsg:
			for _, c := range msg {
				l.run(c)
			}
		default:
			select {
			case l.msgs <- msg:
			case <-l.m.ctx.Done():
			}
		}
	}()
}

func (l *live) send(msg tea.Msg) {
	_, cmd := l.m.Update(msg)
	l.run(cmd)
}

func (l *live) press(keys string) {
	for _, k := range strings.Fields(keys) {
		l.send(keyOf(k))
	}
}

func (l *live) text(s string) {
	for _, r := range s {
		l.send(tea.KeyPressMsg{Code: r, Text: string(r)})
	}
}

func (l *live) until(texts ...string) {
	l.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		screen := ansi.Strip(l.m.draw().String())
		all := true
		for _, s := range texts {
			all = all && strings.Contains(screen, s)
		}
		if all {
			return
		}
		select {
		case msg := <-l.msgs:
			l.send(msg)
		case <-limit:
			l.t.Fatalf("the screen never has %q:\n%s", texts, screen)
		}
	}
}

func TestClients(t *testing.T) {
	var up websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/closed") {
			http.Error(w, "not today", http.StatusForbidden)
			return
		}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		for {
			kind, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			if string(data) == "bye" {
				_ = ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "enough"))
				return
			}
			_ = ws.WriteMessage(kind, append([]byte("you said "), data...))
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{details: map[string]*inspect.RoomDetail{}}
	f.snap = inspect.Snapshot{Seq: 1, URL: server.URL, Classes: []inspect.ReadyClass{{Class: "echo", WebSocket: "ws" + strings.TrimPrefix(server.URL, "http") + "/parties/echo/ROOM"}}}
	l := &live{t: t, m: newModel(ctx, Options{Emulator: f}), msgs: make(chan tea.Msg, 100)}
	defer l.m.close()
	defer cancel()
	l.send(tea.WindowSizeMsg{Width: 100, Height: 30})
	l.run(l.m.Init())
	l.until("Ready. No room exists yet")

	l.press("n")
	l.until("connect to ❯ echo/lobby")
	l.text("ec")
	if line := l.m.input.field.Value(); line != "ec" {
		t.Errorf("typing over the room that is offered gives %q", line)
	}
	l.press("esc n right")
	l.text("2")
	if line := l.m.input.field.Value(); line != "echo/lobby2" {
		t.Errorf("typing behind the room that is offered, having moved in it, gives %q", line)
	}
	l.press("esc n backspace")
	if line := l.m.input.field.Value(); line != "echo/lobb" {
		t.Errorf("backspace in the room that is offered gives %q", line)
	}
	l.press("esc n")
	l.send(tea.PasteMsg{Content: "echo/pasted"})
	if line := l.m.input.field.Value(); line != "echo/pasted" {
		t.Errorf("pasting over the room that is offered gives %q", line)
	}
	l.press("esc n enter")
	l.until("connected as dash1-")
	l.text("hello")
	l.press("enter")
	l.until("you said hello")
	l.text("again")
	l.press("enter")
	l.until("you said again")
	l.press("up up")
	l.until("❯ hello")
	l.press("down down ctrl+n")
	l.until("connected as dash2-", "Clients 2")
	l.text("I am another")
	l.press("enter")
	l.until("you said I am another")
	l.press("tab")
	l.until("you said again")
	l.press("ctrl+x")
	l.text("00 ff x")
	l.press("enter")
	l.until("is no hex")
	l.text("00 ff")
	l.press("enter")
	l.until("796f75207361696420" + "00ff")
	l.press("ctrl+x")
	l.text("bye")
	l.press("enter")
	l.until(`closed 4001 "enough"`)
	l.text("too late")
	l.press("enter")
	l.until("Ctrl-N connects another")
	l.press("esc x")
	l.until("Clients 1")
	l.press("n ctrl+u")
	l.text("echo/closed")
	l.press("enter")
	l.until("the server answered 403 Forbidden instead of a connection: not today")
}
