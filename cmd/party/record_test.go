package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/goparty/party/devclient/script"
	"github.com/goparty/party/emulator/inspect"
)

// behind is an emulator whose events come one at a time, and only to who waits.
type behind struct {
	inspect.Viewer
	events []inspect.Event
	then   error // nil: nothing comes behind the events
	gone   bool
}

func (b *behind) Snapshot(context.Context) (*inspect.Snapshot, error) {
	if b.gone {
		return nil, errors.New("gone")
	}
	return &inspect.Snapshot{Seq: uint64(len(b.events))}, nil
}

func (b *behind) Next(ctx context.Context) ([]inspect.Event, uint64, error) {
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	for i, e := range b.events {
		if e != nil {
			b.events[i] = nil
			return []inspect.Event{e}, 0, nil
		}
	}
	if b.then != nil {
		return nil, 0, b.then
	}
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

func (b *behind) Close() {}

// What happened before a recording was ended is in it, also where it had not
// come here by then.
func TestARecordingHoldsWhatWasOnItsWay(t *testing.T) {
	events := func() []inspect.Event {
		stream := inspect.NewStream(time.Now)
		sub := stream.Subscribe(10)
		defer sub.Close()
		stream.Publish(&inspect.RoomStarted{Header: inspect.Header{Room: "desk/lobby"}})
		stream.Publish(&inspect.RoomHibernated{Header: inspect.Header{Room: "desk/lobby"}})
		stream.Publish(&inspect.RoomAborted{Header: inspect.Header{Room: "desk/lobby", Forced: true}})
		all, _, _ := sub.Next(t.Context())
		return all
	}
	ended, end := context.WithCancel(t.Context())
	end()
	broken := errors.New("broken")
	for _, row := range []struct {
		name  string
		ctx   context.Context
		from  *behind
		holds int
		err   error
	}{
		{"ended", ended, &behind{}, 3, context.Canceled},
		{"ended, and the emulator with it", ended, &behind{gone: true}, 0, context.Canceled},
		{"the feed broke", t.Context(), &behind{then: broken}, 3, broken},
		{"ended, and then the feed broke", ended, &behind{then: broken}, 3, context.Canceled},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.from.events = events()
			rec := script.NewRecorder(script.RecordOptions{Snapshot: &inspect.Snapshot{}})
			if err := recordAll(row.ctx, row.from, row.from, rec); !errors.Is(err, row.err) {
				t.Errorf("recordAll: %v, want %v", err, row.err)
			}
			if rec.Len() != row.holds {
				t.Errorf("%d events recorded, want %d", rec.Len(), row.holds)
			}
		})
	}
}
