package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"
	"time"
)

// full fills every field of an event, so that none can get lost unnoticed.
func full(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeOf(time.Time{}) {
			v.Set(reflect.ValueOf(now.Add(time.Duration(*n))))
			return
		}
		for i := range v.NumField() {
			if v.Type() == reflect.TypeOf(Payload{}) && v.Type().Field(i).Name != "Size" {
				continue
			}
			full(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			full(v.Index(i), n)
		}
	case reflect.String:
		v.SetString(string(rune('a' + *n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		v.SetInt(int64(*n))
	}
}

func TestWhatMarshalWroteIsRead(t *testing.T) {
	var all []Event
	for _, typ := range types {
		n := 0
		v := reflect.New(typ)
		full(v.Elem(), &n)
		all = append(all, v.Interface().(Event))
	}
	all = append(all,
		&MessageIn{Payload: NewPayload(true, []byte{0, 0xff})},
		&MessageOut{Payload: NewPayload(false, []byte("h\u00e9\n"))},
	)
	for _, want := range all {
		line, err := Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Unmarshal(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %+v, not %+v", line, got, want)
		}
	}
}

// Every type that has a name is known to Unmarshal.
func TestUnmarshalKnowsEveryType(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "Type" {
			continue
		}
		n++
		lit := f.Body.List[0].(*ast.ReturnStmt).Results[0].(*ast.BasicLit).Value
		name := lit[1 : len(lit)-1]
		if types[name].Name() != f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name {
			t.Errorf("%s is missing from types", name)
		}
	}
	if n != len(types) {
		t.Errorf("%d types are known, and %d have names", len(types), n)
	}
}

func TestUnmarshalRefusesWhatIsNoEvent(t *testing.T) {
	if _, err := Unmarshal([]byte(`{"type":"room.painted","seq":1}`)); !errors.Is(err, ErrUnknownType) {
		t.Errorf("%v", err)
	}
	for _, line := range []string{"", "null", "[]", `{"seq":1}`, `{"type":"log","seq":"x"}`, `{"type":"message.in","binary":true,"hex":"xy"}`} {
		if e, err := Unmarshal([]byte(line)); err == nil {
			t.Errorf("%q became %+v", line, e)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for name := range types {
		f.Add([]byte(`{"type":"` + name + `","seq":1,"time":"2030-01-01T00:00:00Z","room":"chat/a"}`))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := Unmarshal(line)
		if err != nil {
			return
		}
		again, err := Marshal(e)
		if err != nil || !json.Valid(again) || bytes.ContainsRune(again, '\n') {
			t.Errorf("%s, %v", again, err)
		}
	})
}
