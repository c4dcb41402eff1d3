package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func newStream() *Stream { return NewStream(func() time.Time { return now }) }

// line publishes a log line that tells its number.
func line(s *Stream, n int) { s.Publish(&Log{Text: fmt.Sprint(n)}) }

// next returns what is unread, as the texts of log lines.
func next(t *testing.T, sub *Subscription) (texts []string, lost uint64) {
	t.Helper()
	events, lost, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		texts = append(texts, e.(*Log).Text)
	}
	return texts, lost
}

func TestEverySubscriberGetsTheSameEventsInOrder(t *testing.T) {
	s := newStream()
	line(s, 1) // before anybody reads
	var subs []*Subscription
	for range 3 {
		subs = append(subs, s.Subscribe(1000))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100 {
				line(s, i)
			}
		})
	}
	wg.Wait()
	first, lost, err := subs[0].Next(t.Context())
	if err != nil || lost != 0 || len(first) != 400 {
		t.Fatalf("%d events, %d lost, %v", len(first), lost, err)
	}
	for i, e := range first {
		if h := Of(e); h.Seq != uint64(i+2) || !h.Time.Equal(now) {
			t.Fatalf("event %d: %+v", i, h)
		}
	}
	for _, sub := range subs[1:] {
		if got, _, err := sub.Next(t.Context()); err != nil || !reflect.DeepEqual(got, first) {
			t.Errorf("another subscriber got %d events, %v", len(got), err)
		}
	}
}

func TestASubscriberThatFallsBehindIsToldHowManyEventsItLost(t *testing.T) {
	s := newStream()
	slow, fast := s.Subscribe(3), s.Subscribe(100)
	for i := range 10 {
		line(s, i)
	}
	if texts, lost := next(t, slow); fmt.Sprint(texts) != "[0 1 2]" || lost != 7 {
		t.Errorf("%v and %d lost", texts, lost)
	}
	line(s, 10)
	if texts, lost := next(t, slow); fmt.Sprint(texts) != "[10]" || lost != 0 {
		t.Errorf("%v and %d lost", texts, lost)
	}
	if texts, lost := next(t, fast); len(texts) != 11 || lost != 0 {
		t.Errorf("%v and %d lost", texts, lost)
	}
}

func TestWantedSaysWhetherAnEventWouldReachAnybody(t *testing.T) {
	s := newStream()
	want := func(what string, want bool) {
		t.Helper()
		if got := s.Wanted(); got != want {
			t.Errorf("%s: wanted %t", what, got)
		}
	}
	want("nobody reads", false)
	s.Missed()
	notable := s.SubscribeNotable(10)
	want("somebody reads, but not everything", false)
	s.Missed()
	a, b := s.Subscribe(2), s.Subscribe(1)
	want("both have room", true)
	line(s, 1)
	want("one has", true)
	line(s, 2)
	want("none has", false)
	s.Missed()
	s.Missed()
	if texts, lost := next(t, b); fmt.Sprint(texts) != "[1]" || lost != 3 {
		t.Errorf("%v and %d lost", texts, lost)
	}
	want("one has again", true)
	b.Close()
	want("and went", false)
	a.Close()
	want("both went", false)
	if texts, lost := next(t, a); fmt.Sprint(texts) != "[1 2]" || lost != 2 {
		t.Errorf("%v and %d lost", texts, lost)
	}
	if texts, lost := next(t, notable); len(texts) != 2 || lost != 0 {
		t.Errorf("%v and %d lost", texts, lost)
	}
	c := s.Subscribe(1)
	want("a new one", true)
	c.Close()
	c.Close()
	want("which went", false)
}

func TestAFloodOfMessagesLeavesRoomForTheRest(t *testing.T) {
	s := newStream()
	sub := s.Subscribe(8)
	for range 20 {
		if s.Wanted() {
			s.Publish(&MessageIn{})
		} else {
			s.Missed()
		}
	}
	s.Publish(&RoomStarted{})
	line(s, 1)
	line(s, 2)
	s.Publish(&MessageOut{})
	events, lost, err := sub.Next(t.Context())
	if err != nil || len(events) != 8 || lost != 16 {
		t.Fatalf("%d events, %d lost, %v", len(events), lost, err)
	}
	if _, ok := events[6].(*RoomStarted); !ok {
		t.Errorf("behind the messages came %T", events[6])
	}
	if !s.Wanted() {
		t.Error("there is room again, and nothing is wanted")
	}
	sub.Close()
	if s.Wanted() {
		t.Error("nobody reads, and something is wanted")
	}
}

func TestANotableSubscriptionLeavesOutWhatComesWithEveryMessage(t *testing.T) {
	s := newStream()
	sub := s.SubscribeNotable(100)
	for _, e := range []Event{&MessageIn{}, &MessageOut{}, &Turn{}, &Request{}, &ConnectionOpened{}, &ConnectionClosed{}, &RoomStarted{}, &RoomHibernated{}} {
		s.Publish(e)
	}
	notable := []Event{&Log{}, &Exception{}, &RoomEvicted{}, &RoomAborted{}, &TurnLost{}, &ConnectionRefused{}, &GenerationStarted{}, &GenerationFailed{}, &Crash{}, &ClockMoved{}}
	for _, e := range notable {
		s.Publish(e)
	}
	if got, _, err := sub.Next(t.Context()); err != nil || !reflect.DeepEqual(got, notable) {
		t.Errorf("%d events, want %d, %v", len(got), len(notable), err)
	}
}

func TestNextWaitsForAnEventTheEndOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		sub := s.Subscribe(10)
		type result struct {
			n   int
			err error
		}
		got := make(chan result)
		read := func(ctx context.Context) {
			go func() {
				events, _, err := sub.Next(ctx)
				got <- result{len(events), err}
			}()
			synctest.Wait()
			select {
			case r := <-got:
				t.Errorf("Next did not wait: %+v", r)
			default:
			}
		}
		read(t.Context())
		line(s, 1)
		if r := <-got; r.n != 1 || r.err != nil {
			t.Errorf("%+v", r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		read(ctx)
		cancel()
		if r := <-got; !errors.Is(r.err, context.Canceled) {
			t.Errorf("%+v", r)
		}
		read(t.Context())
		sub.Close()
		if r := <-got; r.err == nil {
			t.Errorf("%+v", r)
		}
		line(s, 2)
		if _, _, err := sub.Next(t.Context()); err == nil {
			t.Error("an event after Close")
		}
	})
}

func TestAnEventIsOneLineOfJSONThatBeginsWithItsType(t *testing.T) {
	h := Header{Seq: 7, Time: now, Room: "chat/a\nb", Generation: 1}
	for want, e := range map[string]Event{
		`{"type":"log","seq":7,"time":"2030-01-01T00:00:00Z","room":"chat/a\nb","generation":1,"level":"INFO","text":"two\nlines"}`: &Log{Header: h, Level: "INFO", Text: "two\nlines"},
		`{"type":"message.in","seq":7,"time":"2030-01-01T00:00:00Z","room":"chat/a\nb","generation":1,"connection":"c","size":3,"text":"a\ufffdb"}`: &MessageIn{
			Header: h, Connection: "c", Payload: NewPayload(false, []byte("a\xffb")),
		},
		`{"type":"message.out","seq":7,"time":"2030-01-01T00:00:00Z","room":"chat/a\nb","generation":1,"count":2,"binary":true,"size":2,"hex":"00ff"}`: &MessageOut{
			Header: h, Count: 2, Payload: NewPayload(true, []byte{0, 0xff}),
		},
		`{"type":"clock.moved","seq":7,"time":"2030-01-01T00:00:00Z","room":"chat/a\nb","generation":1,"by_ns":1000000000}`: &ClockMoved{Header: h, By: time.Second},
	} {
		got, err := Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(got, '\n') {
			t.Errorf("%s has several lines", got)
		}
		if s := strings.ReplaceAll(string(got), "\ufffd", `\ufffd`); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
		var v map[string]any
		if err := json.Unmarshal(got, &v); err != nil || v["type"] != e.Type() {
			t.Errorf("%s: %v", got, err)
		}
	}
}

func TestAPayloadShowsTheStartOfAMessage(t *testing.T) {
	data := bytes.Repeat([]byte("é"), PayloadKept)
	p := NewPayload(false, data)
	if p.Size != 2*PayloadKept || len(p.Data) != PayloadKept {
		t.Errorf("%d bytes of %d", len(p.Data), p.Size)
	}
	data[0] = 'x'
	if p.Data[0] == 'x' {
		t.Error("it is not a copy")
	}
	e := &MessageIn{Payload: p}
	for range 2 { // other subscribers have the same event: it must not change
		if _, err := Marshal(e); err != nil || e.Text != "" {
			t.Errorf("%q, %v", e.Text, err)
		}
	}
}

func TestTheStreamKnowsWhatBecameOfTheCode(t *testing.T) {
	s := newStream()
	for _, row := range []struct {
		event Event
		code  bool // it is what Code is then
	}{
		{&Log{Text: "nothing to do with it"}, false},
		{&FilesChanged{Count: 1}, false},
		{&BuildStarted{}, true},
		{&BuildDone{}, true},
		{&Ready{}, false},
		{&BuildStarted{}, true},
		{&BuildCanceled{}, false},
		{&BuildFailed{Output: "undefined: foo"}, true},
		{&FilesChanged{Count: 1, Same: true}, false},
		{&BuildDone{}, true},
		{&ReloadFailed{Reason: "exit status 2"}, true},
		{&Swapped{}, false},
	} {
		s.Publish(row.event)
		want := row.event
		if !row.code {
			want = nil
		}
		if got := s.Code(); got != want {
			t.Errorf("behind %s Code is %v, want %v", row.event.Type(), got, want)
		}
	}
	failed := &BuildFailed{Output: "undefined: foo"}
	s.Publish(failed)
	s.Publish(&FilesChanged{Count: 1})
	s.Publish(&Crash{})
	if got := s.Code(); got != failed {
		t.Errorf("Code is %v, want what failed", got)
	}
}

func TestASnapshotKeepsTheCodesEvent(t *testing.T) {
	failed := &BuildFailed{Header: Header{Seq: 3, Time: now}, Errors: []BuildError{{File: "main.go", Line: 3, Text: "undefined: foo"}}}
	text, err := json.Marshal(Snapshot{Seq: 3, Code: &Last{failed}})
	if err != nil {
		t.Fatal(err)
	}
	var got Snapshot
	if err := json.Unmarshal(text, &got); err != nil || got.Code == nil || !reflect.DeepEqual(got.Code.Event, failed) {
		t.Errorf("%s became %+v, %v", text, got.Code, err)
	}
	for text, fails := range map[string]bool{`{}`: false, `{"code":{"type":"build.painted","seq":1}}`: false, `{"code":{"type":"build.failed","seq":"x"}}`: true} {
		var got Snapshot
		if err := json.Unmarshal([]byte(text), &got); (err != nil) != fails {
			t.Errorf("%s: %v", text, err)
		} else if got.Code != nil && got.Code.Event != nil {
			t.Errorf("%s became %+v", text, got.Code.Event)
		}
	}
}
