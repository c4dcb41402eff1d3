package inspect

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

func TestRowsKeepTheirTypesInJSON(t *testing.T) {
	want := Rows{
		Columns: []string{"a", "b", "c", "d", "e"},
		Rows: [][]any{
			{int64(math.MaxInt64), 1.0, "x\n\"y", []byte{0, 0xff}, nil},
			{int64(-1), 1e300, "", []byte{}, math.Inf(-1)},
			{int64(0), -0.5, "{\"blob\":\"eA==\"}", []byte("x"), math.Inf(1)},
		},
		More: true, Affected: 3,
	}
	b, err := json.Marshal(&want)
	if err != nil {
		t.Fatal(err)
	}
	var got Rows
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s became %+v", b, got)
	}
	if b, err := json.Marshal(Rows{}); err != nil || string(b) != `{"columns":[],"rows":[]}` {
		t.Errorf("%s, %v", b, err)
	}
	for _, text := range []string{`{"rows":[[{}]]}`, `{"rows":[[[]]]}`, `{"rows":[[99999999999999999999]]}`, `{"rows":[[{"blob":"?"}]]}`, `{"rows":[[true]]}`} {
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s is taken as %+v", text, got)
		}
	}
}
