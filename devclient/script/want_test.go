package script

import "testing"

func TestJSONIsTheSameWhateverItsFormIs(t *testing.T) {
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{`{"a": 1, "b": [1, 2]}`, `{"b":[1,2],"a":1}`, true},
		{`[1, 2]`, `[2, 1]`, false},
		{`1`, `1.0`, true},
		{`100`, `1e2`, true},
		{`-2.50`, `-2.5E0`, true},
		{`0`, `-0.00`, true},
		{`0.001`, `1e-3`, true},
		{`1`, `-1`, false},
		{`10`, `1`, false},
		{`1`, `"1"`, false},
		{`12345678901234567890`, `12345678901234567891`, false},
		{`{"a": [{"n": 1.0}]}`, `{"a": [{"n": 1}]}`, true},
		{`1e1000000000`, `1e1000000001`, false},
		{`1e99999999999999999999`, `1e99999999999999999999`, true},
		{`null`, `{}`, false},
		{`"é"`, `"\u00e9"`, true},
		{`1`, `1 2`, false},
		{`1`, `no`, false},
	} {
		w, err := newWant("-json", c.want)
		if err != nil {
			t.Fatal(err)
		}
		if w.accepts(false, []byte(c.got)) != c.same {
			t.Errorf("%s and %s: want same=%v", c.want, c.got, c.same)
		}
	}
}
