package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/tui"
)

func TestLinesFollowADashboardThatHadABug(t *testing.T) {
	events := inspect.NewStream(time.Now)
	var out bytes.Buffer
	d := &dashboard{run: func(context.Context, tui.Options) error { return tui.ErrPanic }, events: events, out: &out}
	d.start(&recorder{}, tui.Options{}, func() { t.Error("the server ends with its dashboard") })
	<-d.ended
	d.say("a note")
	events.Publish(&inspect.RoomStarted{Header: inspect.Header{Room: "chat/lobby"}, Cause: "message"})
	d.stop()
	for _, want := range []string{"the server goes on", "a note\n", "chat/lobby"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the lines lack %q:\n%s", want, &out)
		}
	}
	if !errors.Is(endOf(d), tui.ErrPanic) {
		t.Errorf("it ends with %v", endOf(d))
	}
}

func TestWhoLeavesTheDashboardEndsTheServer(t *testing.T) {
	left := false
	d := &dashboard{run: func(context.Context, tui.Options) error { return nil }, events: inspect.NewStream(time.Now), out: &bytes.Buffer{}}
	d.start(&recorder{}, tui.Options{}, func() { left = true })
	d.stop()
	if !left || endOf(d) != nil {
		t.Errorf("left %v, %v", left, endOf(d))
	}
}
