package wire

import (
	"bytes"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"testing"
)

// fill sets every field of v to something that is not its zero value.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), r)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, r)
		fill(val, r)
		v.SetMapIndex(key, val)
	case reflect.String:
		v.SetString(strings.Repeat("é", 1+r.IntN(3)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64() - 1<<62)
	case reflect.Uint8:
		v.SetUint(1 + r.Uint64N(6))
	case reflect.Uint64:
		v.SetUint(r.Uint64())
	case reflect.Interface:
		if v.NumMethod() == 0 { // an SQL value
			v.Set(reflect.ValueOf([]any{int64(-5), 2.5, "text", []byte{1, 2}}[r.IntN(4)]))
			return
		}
		d := &Deliver{}
		fill(reflect.ValueOf(d).Elem(), r)
		v.Set(reflect.ValueOf(d))
	default:
		panic(v.Kind())
	}
}

func examples() []Message {
	r := rand.New(rand.NewPCG(1, 2))
	var all []Message
	for _, f := range kinds {
		if f == nil {
			continue
		}
		m := f()
		fill(reflect.ValueOf(m).Elem(), r)
		if h, ok := m.(*Hello); ok {
			h.Version = Version
		}
		all = append(all, f(), m)
		if t, ok := all[len(all)-2].(*Turn); ok {
			t.Event = &Wake{}
		}
		if h, ok := all[len(all)-2].(*Hello); ok {
			h.Version = Version
		}
	}
	return all
}

// A message that has no Of would silently reach nobody.
func TestWhatAnInstanceSaysIsAnOperation(t *testing.T) {
	for _, m := range examples() {
		if m.kind() < (&Hello{}).kind() {
			continue // an event
		}
		if _, cancel := m.(*Cancel); cancel {
			continue // may be of a call, which may be of no instance
		}
		field := reflect.ValueOf(m).Elem().FieldByName("Instance")
		op, ok := m.(Operation)
		switch {
		case ok != field.IsValid():
			t.Errorf("%T: has an Instance: %v; is an Operation: %v", m, field.IsValid(), ok)
		case ok && op.Of() != field.Uint():
			t.Errorf("%T: Of is %d, not %d", m, op.Of(), field.Uint())
		}
	}
}

func TestEveryMessageSurvivesTheWire(t *testing.T) {
	for _, m := range examples() {
		got, err := Decode(Append(nil, m)[4:])
		if err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if !bytes.Equal(Append(nil, got), Append(nil, m)) {
			t.Errorf("%T: sent %+v, got %+v", m, m, got)
		}
	}
}

func TestEveryFieldIsCoded(t *testing.T) {
	for _, m := range examples() {
		got, err := Decode(Append(nil, m)[4:])
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.ValueOf(got).Elem()
		if reflect.ValueOf(m).Elem().IsZero() || v.NumField() == 0 {
			continue
		}
		if h, ok := m.(*Hello); ok && h.Module == "" {
			continue
		}
		if turn, ok := m.(*Turn); ok && turn.Turn == 0 {
			continue
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%T: sent %+v, got %+v", m, m, got)
		}
	}
}

func TestHelloOfAnotherVersionStillTellsItsVersion(t *testing.T) {
	body := Append(nil, &Hello{Version: Version})[4:]
	body[1]++ // the version, one byte as long as it is small
	m, err := Decode(append(body, "a layout we do not know"...))
	if err != nil {
		t.Fatal(err)
	}
	if h := m.(*Hello); h.Version != Version+1 {
		t.Errorf("version %d", h.Version)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range examples() {
		f.Add(Append(nil, m)[4:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Decode(body)
		if err != nil {
			return
		}
		again, err := Decode(Append(nil, m)[4:])
		if err != nil {
			t.Fatalf("%T does not survive its own encoding: %v", m, err)
		}
		if h, ok := m.(*Hello); ok && h.Version != Version {
			return
		}
		// Maps have no order and NaN is not equal to itself: either will do.
		if !reflect.DeepEqual(m, again) && !bytes.Equal(Append(nil, m), Append(nil, again)) {
			t.Fatalf("%+v became %+v", m, again)
		}
	})
}

func TestConnCarriesMessagesInOrder(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	to, from := NewConn(a), NewConn(b)
	large := bytes.Repeat([]byte("x"), 200<<10) // more than the reader's buffer
	go func() {
		for i := range 100 {
			to.Send(&Sleep{ID: uint64(i)})
			if i%10 == 0 {
				to.Send(&Send{Data: large})
			}
			to.Flush()
		}
		<-to.out.Empty()
		_ = a.Close()
	}()
	next, larges, pauses := uint64(0), 0, 0
	err := from.Serve(func(m Message) bool {
		switch m := m.(type) {
		case *Sleep:
			if m.ID != next {
				t.Errorf("got %d, want %d", m.ID, next)
			}
			next++
		case *Send:
			if !bytes.Equal(m.Data, large) {
				t.Error("large message changed on its way")
			}
			larges++
		}
		return true
	}, func() bool { pauses++; return true })
	if next != 100 || larges != 10 || pauses == 0 {
		t.Errorf("%d messages, %d large, %d pauses, then %v", next, larges, pauses, err)
	}
}

func TestServeRefusesFramesThatAreTooLong(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	go func() { _, _ = a.Write([]byte{0xff, 0xff, 0xff, 0x7f, 1}) }()
	err := NewConn(b).Serve(func(Message) bool { return true }, func() bool { return true })
	if err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("got %v", err)
	}
}

func TestKebab(t *testing.T) {
	for in, want := range map[string]string{
		"chat": "chat", "MyServer": "my-server", "MY_SERVER": "my-server", "CHAT": "chat",
		"my_server": "my-server", "server_": "server", "EchoHib": "echo-hib", "A": "a",
	} {
		if got := Kebab(in); got != want {
			t.Errorf("Kebab(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSplitPath(t *testing.T) {
	for _, c := range []struct{ prefix, path, party, name string }{
		{"parties", "/parties/chat/lobby", "chat", "lobby"},
		{"parties", "/parties/chat/lobby/deep/er", "chat", "lobby"},
		{"parties", "//parties///chat//lobby/", "chat", "lobby"},
		{"parties", "/parties/chat/a%20b%2Fc", "chat", "a%20b%2Fc"},
		{"a/b", "/a/b/chat/x", "chat", "x"},
		{"/a/b/", "/a/b/chat/x", "chat", "x"},
		{"parties", "/parties/chat", "", ""},
		{"parties", "/parties/chat/", "", ""},
		{"parties", "/other/chat/x", "", ""},
		{"parties", "/", "", ""},
		{"parties", "/partiesx/chat/x", "", ""},
	} {
		party, name, ok := SplitPath(c.prefix, c.path)
		if !ok {
			party, name = "", ""
		}
		if party != c.party || name != c.name {
			t.Errorf("SplitPath(%q, %q) = %q, %q", c.prefix, c.path, party, name)
		}
	}
}

// The vectors were measured on workerd.
func TestDeriveID(t *testing.T) {
	for _, c := range []struct{ key, name, id string }{
		{"probe-Probe", "foo", "bba291fa544eaf1d7908e900c3460cb3af19282d1be193332535f91ca7e3c220"},
		{"probe-Probe", "", "03f89b8f2e5033f4240f862ecf7cb7f59cbca753dbe3d968b25314c7f470b8e7"},
		{"wd-Probe", "a", "060818c230a576b8461a9f268a848a6e4a354869cdae85f6052b1dfb7e1a2dbf"},
	} {
		if got := deriveID(c.key, c.name); got != c.id {
			t.Errorf("deriveID(%q, %q) = %s", c.key, c.name, got)
		}
	}
}
