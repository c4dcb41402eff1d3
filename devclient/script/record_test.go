package script

import (
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// tape makes the events of a recording.
type tape struct {
	events []inspect.Event
	now    time.Time
}

func newTape() *tape { return &tape{now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)} }

func (p *tape) header() inspect.Header {
	return inspect.Header{Seq: uint64(len(p.events) + 1), Time: p.now, Room: "chat/a", Generation: 1}
}

// add puts events down, with a header where they have none.
func (p *tape) add(all ...inspect.Event) *tape {
	for _, e := range all {
		h := p.header()
		forced := inspect.Of(e).Forced
		h.Forced = forced
		if r := inspect.Of(e).Room; r != "" {
			h.Room = strings.TrimPrefix(r, "none")
		}
		setHeader(e, h)
		p.events = append(p.events, e)
	}
	return p
}

func setHeader(e inspect.Event, h inspect.Header) {
	switch e := e.(type) {
	case *inspect.ConnectionOpened:
		e.Header = h
	case *inspect.ConnectionClosed:
		e.Header = h
	case *inspect.MessageIn:
		e.Header = h
	case *inspect.MessageOut:
		e.Header = h
	case *inspect.Turn:
		e.Header = h
	case *inspect.TurnLost:
		e.Header = h
	case *inspect.Request:
		e.Header = h
	case *inspect.RoomHibernated:
		e.Header = h
	case *inspect.RoomEvicted:
		e.Header = h
	case *inspect.RoomAborted:
		e.Header = h
	case *inspect.AlarmFired:
		e.Header = h
	case *inspect.ClockMoved:
		e.Header = h
	case *inspect.Crash:
		e.Header = h
	case *inspect.GenerationStarted:
		e.Header = h
	case *inspect.StorageWritten:
		e.Header = h
	default:
		panic("no header for " + e.Type())
	}
}

func (p *tape) wait(d time.Duration) *tape { p.now = p.now.Add(d); return p }

func (p *tape) joins(id string, said ...string) *tape {
	for _, s := range said {
		p.add(out(id, s))
	}
	return p.add(&inspect.Turn{Kind: "connect", Connection: id}, &inspect.ConnectionOpened{Connection: id, URI: "http://x/parties/chat/a?_pk=" + id + "&seat=1%202"})
}

func in(id, text string) *inspect.MessageIn {
	return &inspect.MessageIn{Connection: id, Payload: inspect.NewPayload(false, []byte(text))}
}

func out(id, text string) *inspect.MessageOut {
	return &inspect.MessageOut{Connection: id, Count: 1, Payload: inspect.NewPayload(false, []byte(text))}
}

func all(count int, text string, without ...string) *inspect.MessageOut {
	return &inspect.MessageOut{Count: count, Without: without, Payload: inspect.NewPayload(false, []byte(text))}
}

func turn(kind, id string) *inspect.Turn { return &inspect.Turn{Kind: kind, Connection: id} }

func forced() inspect.Header { return inspect.Header{Forced: true} }

func TestARecordingIsAScript(t *testing.T) {
	const guid = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
	for name, row := range map[string]struct {
		tape     *tape
		want     string
		warnings string
	}{
		"messages": {newTape().joins("ada", "hello ada").add(in("ada", "it's $1"), out("ada", "two  words"), turn("message", "ada")), `
connect ada chat/a -id ada -query 'seat=1 2'
recv ada 'hello ada'
send ada 'it''s $1'
recv ada 'two  words'

# Nothing else came.
recv -none ada
`, ""},
		"bytes": {newTape().joins("ada").add(&inspect.MessageIn{Connection: "ada", Payload: inspect.NewPayload(true, []byte{0, 255})},
			&inspect.MessageOut{Connection: "ada", Count: 1, Payload: inspect.NewPayload(true, nil)}, turn("message", "ada")), `
connect ada chat/a -id ada -query 'seat=1 2'
send -binary ada 00ff
recv -binary ada ''

# Nothing else came.
recv -none ada
`, ""},
		"several lines": {newTape().joins("ada").add(in("ada", "a\nb\n"), turn("message", "ada"), in("ada", "-- x --\n\\n\nc"), out("ada", "x\r\ny"), turn("message", "ada")), `
connect ada chat/a -id ada -query 'seat=1 2'
send -file ada message1.txt
exec printf '%b' '-- x --\0012\\n\0012c'
cp stdout message2.txt
send -file ada message2.txt
recv -re ada '\Ax\r\ny\z'

# Nothing else came.
recv -none ada
-- message1.txt --
a
b
`, ""},
		"a broadcast reaches those who were there": {newTape().joins("ada").add(all(1, "bob comes", "bob")).joins("bob").
			add(in("ada", "x"), all(2, "y"), turn("message", "ada")).
			add(in("bob", "x"), all(1, "z", "bob"), turn("message", "bob")), `
connect ada chat/a -id ada -query 'seat=1 2'
connect bob chat/a -id bob -query 'seat=1 2'
recv ada 'bob comes'
send ada x
recv ada y
recv bob y
send bob x
recv ada z

# Nothing else came.
recv -none ada
recv -none bob
`, ""},
		"a close comes before what the others hear of it": {newTape().joins("ada").joins("bob").
			add(all(1, "ada leaves"), turn("close", "ada"), &inspect.ConnectionClosed{Connection: "ada", Code: 4001, Reason: "so long", Clean: true}).
			add(turn("close", "bob"), &inspect.ConnectionClosed{Connection: "bob", Code: 1006}), `
connect ada chat/a -id ada -query 'seat=1 2'
connect bob chat/a -id bob -query 'seat=1 2'
close ada 4001 'so long'
recv bob 'ada leaves'
closed ada 4001 'so long'
drop bob
`, ""},
		"a close overtakes no message": {newTape().joins("ada").joins("bob").
			// bob's message came while ada's turn ran, and behind it ada closed.
			add(in("ada", "1"), in("bob", "2"), all(2, "one"), turn("message", "ada"), all(2, "two"), turn("message", "bob")).
			add(all(1, "ada leaves"), turn("close", "ada"), &inspect.ConnectionClosed{Connection: "ada", Code: 1005, Clean: true}), `
connect ada chat/a -id ada -query 'seat=1 2'
connect bob chat/a -id bob -query 'seat=1 2'
send ada 1
recv ada one
recv bob one
send bob 2
recv ada two
recv bob two
close ada
recv bob 'ada leaves'
closed ada

# Nothing else came.
recv -none bob
`, ""},
		"a message that never had its turn": {newTape().joins("ada").add(in("ada", "1"), in("ada", "2"), all(1, "one"), turn("message", "ada")), `
connect ada chat/a -id ada -query 'seat=1 2'
send ada 1
recv ada one
send ada 2

# Nothing else came.
recv -none ada
`, ""},
		"the server closes": {newTape().joins("ada").add(turn("close", "ada"), &inspect.ConnectionClosed{Connection: "ada", Code: 4000, Reason: "no", Clean: true, Server: true}), `
connect ada chat/a -id ada -query 'seat=1 2'
closed ada 4000 no
`, ""},
		"one id twice": {newTape().joins("ada").joins("ada").add(turn("close", "ada"), &inspect.ConnectionClosed{Connection: "ada", Code: 1006}, in("ada", "x"), turn("message", "ada")), `
connect ada chat/a -id ada -query 'seat=1 2'
connect ada_2 chat/a -id ada -query 'seat=1 2'
drop ada
send ada_2 x

# Nothing else came.
recv -none ada_2
`, ""},
		"ids that nobody chose": {newTape().joins(guid, "you are "+guid, "and this is 00000000-8b86-4d01-b42d-00cf4fc964ff").joins("a/b"), `
connect client1 chat/a -id ` + guid + ` -query 'seat=1 2'
recv client1 'you are ` + guid + `'
recv -re client1 '\Aand this is [0-9a-fA-F-]{36}\z'
connect client chat/a -id a/b -query 'seat=1 2'

# Nothing else came.
recv -none client1
recv -none client
`, ""},
		"times": {newTape().joins("ada", `{"at":1777863721000}`, "it is 2026-05-04T03:02:01.5Z (sharp)"), `
connect ada chat/a -id ada -query 'seat=1 2'
recv -re ada '\A\{"at":\d+\}\z'
recv -re ada '\Ait is [0-9TZ:. +-]+ \(sharp\)\z'

# Nothing else came.
recv -none ada
`, ""},
		"the clock goes along": {newTape().joins("ada").wait(1234*time.Millisecond).add(in("ada", "x"), turn("message", "ada")).
			wait(50*time.Millisecond).add(out("ada", "slow")).
			wait(10*time.Second).add(&inspect.RoomHibernated{Connections: 1}).
			wait(time.Second).add(&inspect.AlarmFired{}).wait(time.Millisecond).add(all(1, "ring"), turn("alarm", "")), `
connect ada chat/a -id ada -query 'seat=1 2'
advance 1.23s
send ada x
recv ada slow
advance 10.06s
room chat/a state=hibernated connections=1
advance 1s
recv ada ring

# Nothing else came.
recv -none ada
`, ""},
		"forced": {newTape().joins("ada").add(&inspect.RoomHibernated{Header: forced(), Connections: 1}, &inspect.RoomEvicted{Header: forced()}).
			add(in("ada", "hang"), &inspect.TurnLost{Kind: "message", Connection: "ada"}, &inspect.RoomEvicted{Header: forced()}).
			add(&inspect.AlarmFired{Header: forced()}, all(1, "ring"), turn("alarm", "")).
			add(&inspect.ConnectionClosed{Header: forced(), Connection: "ada", Code: 1006}, &inspect.RoomAborted{Header: forced()}), `
connect ada chat/a -id ada -query 'seat=1 2'
hibernate -force chat/a
room chat/a state=hibernated connections=1
idle
evict chat/a
send ada hang
evict chat/a
fire chat/a
recv ada ring
idle
abort chat/a
closed ada 1006
`, ""},
		"clients go while a room that is aborted starts": {newTape().joins("ada").joins("bob").joins("eve").add(&inspect.RoomEvicted{Header: forced()}).
			add(&inspect.ConnectionClosed{Header: forced(), Connection: "bob", Code: 1006, Reason: "WebSocket disconnected without sending Close frame."},
				&inspect.ConnectionClosed{Header: forced(), Connection: "eve", Code: 4000, Reason: "bye", Clean: true},
				&inspect.ConnectionClosed{Header: forced(), Connection: "ada", Code: 1006}, &inspect.RoomAborted{Header: forced()}), `
connect ada chat/a -id ada -query 'seat=1 2'
connect bob chat/a -id bob -query 'seat=1 2'
connect eve chat/a -id eve -query 'seat=1 2'
idle
evict chat/a
drop bob
close eve 4000 bye
closed eve 4000 bye
idle
abort chat/a
closed ada 1006
`, ""},
		"crash and reload": {newTape().joins("ada").add(&inspect.ConnectionClosed{Connection: "ada", Code: 1006}, &inspect.Crash{Header: inspect.Header{Forced: true, Room: "none"}}, &inspect.GenerationStarted{}).
			add(func() inspect.Event { return &inspect.GenerationStarted{} }()), `
connect ada chat/a -id ada -query 'seat=1 2'
crash
closed ada 1006
`, ""},
		"requests": {newTape().joins("ada").add(all(1, "n"), turn("request", ""), &inspect.Request{Method: "POST", URL: "/parties/chat/a?x=1", Status: 201,
			ContentType: "text/plain", Body: inspect.NewPayload(false, []byte("a b")), Answer: inspect.NewPayload(false, []byte("made\n"))}).
			add(turn("request", ""), &inspect.Request{Method: "DELETE", URL: "/parties/chat/a", Status: 204}), `
connect ada chat/a -id ada -query 'seat=1 2'
http -H 'Content-Type: text/plain' -d 'a b' '/parties/chat/a?x=1'
status 201
stdout '\Amade\n\z'
recv ada n
http -X DELETE /parties/chat/a
status 204
! stdout .

# Nothing else came.
recv -none ada
`, ""},
		"a stream": {newTape().joins("ada").add(turn("request", "")).add(in("ada", "go"), all(1, "went"), turn("message", "ada")).
			add(&inspect.Request{Method: "GET", URL: "/parties/chat/a?events", Status: 200, Error: "the client went away", Answer: inspect.NewPayload(false, []byte("data: 1\n\ndata: 2\n\n"))}), `
connect ada chat/a -id ada -query 'seat=1 2'
http -open stream '/parties/chat/a?events'
status 200
send ada go
recv ada went
recv stream 'data: 1'
recv stream 'data: 2'
drop stream

# Nothing else came.
recv -none ada
`, ""},
		"what cannot be done again": {newTape().joins("ada").add(
			&inspect.MessageIn{Connection: "ada", Payload: inspect.Payload{Size: 5000, Data: []byte("start")}},
			&inspect.MessageOut{Connection: "ada", Count: 1, Payload: inspect.Payload{Size: 5000, Data: []byte("st.rt")}}, turn("message", "ada"),
			&inspect.StorageWritten{Header: forced(), Key: "k"}), `
connect ada chat/a -id ada -query 'seat=1 2'
# not replayed: ada sent a message of 5000 bytes, of which only 5 are known
recv -re ada '\Ast\.rt'
# not replayed: the storage of chat/a was written to from outside

# Nothing else came.
recv -none ada
`, "ada sent a message of 5000 bytes, of which only 5 are known; the storage of chat/a was written to from outside"},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRecorder(RecordOptions{Snapshot: &inspect.Snapshot{Time: newTape().now, Generation: inspect.Generation{Number: 1}}, Dir: "server", Flags: []string{"--evict-after", "5s"}})
			r.Add(row.tape.events, 0)
			text, warnings := r.Script()
			want := "# Recorded by party record.\nstart server --evict-after 5s\n" + row.want
			if string(text) != want {
				t.Errorf("got\n%s\nwant\n%s", text, want)
			}
			if got := strings.Join(warnings, "; "); got != row.warnings {
				t.Errorf("warnings %q", got)
			}
		})
	}
}

func TestARecordingThatBeginsLateSaysSo(t *testing.T) {
	s := &inspect.Snapshot{Time: newTape().now, Seq: 2, Rooms: []inspect.Room{{Room: "chat/a", State: inspect.Running}, {Room: "chat/b", State: inspect.Cold}}}
	r := NewRecorder(RecordOptions{Snapshot: s, Connections: []inspect.Connection{{Room: "chat/a", ID: "ada", URI: "http://x/parties/chat/a?_pk=ada"}}})
	p := newTape().joins("old") // in the snapshot already
	p.add(in("ada", "x"), all(1, "y"), turn("message", "ada"))
	r.Add(p.events, 7)
	text, warnings := r.Script()
	want := "# Recorded by party record.\nstart\n\nconnect ada chat/a -id ada\nsend ada x\nrecv ada y\n\n# Nothing else came.\nrecv -none ada\n"
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	said := strings.Join(warnings, "\n")
	for _, word := range []string{"1 rooms were there", "7 events came too fast", "ada was connected when the recording began"} {
		if !strings.Contains(said, word) {
			t.Errorf("no %q in %q", word, said)
		}
	}
}
