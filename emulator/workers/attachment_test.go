//go:build !js

package workers

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/goparty/party/emulator/wire"
)

func TestAttachment(t *testing.T) {
	for _, c := range []wire.Connection{
		{},
		{ID: "a", URI: "http://localhost/parties/x/y?_pk=a", State: []byte(`{"name":"Ada"}`)},
		{ID: strings.Repeat("i", 300), URI: "ü\x00\n", State: bytes.Repeat([]byte("s"), 16000), Closing: true},
	} {
		got, err := parseAttachment(appendAttachment(nil, c))
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%+v %v", got, err)
		}
	}
}

func FuzzParseAttachment(f *testing.F) {
	f.Add(appendAttachment(nil, wire.Connection{ID: "a", URI: "b", State: []byte("{}")}))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseAttachment(b)
		if err != nil {
			return
		}
		if again, err := parseAttachment(appendAttachment(nil, c)); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}

func TestCycle(t *testing.T) {
	for _, test := range []struct {
		who      waiting
		room, to string
		want     string
	}{
		{nil, "a", "b", ""},
		{nil, "a", "a", "a a"},
		{waiting{{"a"}}, "b", "a", "b a b"},
		{waiting{{"x"}, {"a", "b"}}, "c", "a", "c a b c"},
		{waiting{{"x"}, {"a", "b"}}, "c", "b", "c b c"},
		{waiting{{"x"}, {"a", "b"}}, "c", "y", ""},
	} {
		if got := strings.Join(test.who.cycle(test.room, test.to), " "); got != test.want {
			t.Errorf("%v: %s waits for %s: %q", test.who, test.room, test.to, got)
		}
	}
	w := parseWaiting(waiting{{"a"}, {"b", "c"}}.through("d").String())
	if !reflect.DeepEqual(w, waiting{{"a", "d"}, {"b", "c", "d"}}) {
		t.Errorf("%v", w)
	}
	if w := parseWaiting("no JSON"); w != nil || w.String() != "" {
		t.Errorf("%v", w)
	}
	many := make(waiting, 1000)
	for i := range many {
		many[i] = []string{"x"}
	}
	if n := len(many.through("y")); n != maxPaths {
		t.Errorf("%d paths", n)
	}
}
