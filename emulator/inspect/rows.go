package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The values of [Rows] in JSON: integers and floats are numbers, which a point
// or an exponent tells apart; bytes are {"blob": base64}, infinities
// {"float": "+Inf"}; text and null are themselves.
type cell struct {
	Blob  *string `json:"blob,omitempty"`
	Float *string `json:"float,omitempty"`
}

type rowsJSON struct {
	Columns  []string            `json:"columns"`
	Rows     [][]json.RawMessage `json:"rows"`
	More     bool                `json:"more,omitempty"`
	Affected int64               `json:"affected,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (r Rows) MarshalJSON() ([]byte, error) {
	out := rowsJSON{Columns: r.Columns, Rows: make([][]json.RawMessage, len(r.Rows)), More: r.More, Affected: r.Affected}
	if out.Columns == nil {
		out.Columns = []string{}
	}
	for i, row := range r.Rows {
		out.Rows[i] = make([]json.RawMessage, len(row))
		for j, v := range row {
			b, err := MarshalValue(v)
			if err != nil {
				return nil, err
			}
			out.Rows[i][j] = b
		}
	}
	return json.Marshal(out)
}

// MarshalValue writes one value of [Rows] as JSON.
func MarshalValue(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		s := base64.StdEncoding.EncodeToString(v)
		return json.Marshal(cell{Blob: &s})
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return json.Marshal(cell{Float: &s})
		}
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return []byte(s), nil
	case string:
		return json.Marshal(strings.ToValidUTF8(v, "\uFFFD"))
	case int64, nil:
		return json.Marshal(v)
	}
	return nil, fmt.Errorf("a value of type %T is none of SQLite", v)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *Rows) UnmarshalJSON(b []byte) error {
	var in rowsJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*r = Rows{Columns: in.Columns, More: in.More, Affected: in.Affected}
	for _, row := range in.Rows {
		values := make([]any, len(row))
		for i, raw := range row {
			v, err := unmarshalValue(raw)
			if err != nil {
				return err
			}
			values[i] = v
		}
		r.Rows = append(r.Rows, values)
	}
	return nil
}

func unmarshalValue(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil, string:
		return v, nil
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return v.Float64()
		}
		return v.Int64()
	}
	var c cell
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	switch {
	case c.Blob != nil:
		return base64.StdEncoding.DecodeString(*c.Blob)
	case c.Float != nil:
		return strconv.ParseFloat(*c.Float, 64)
	}
	return nil, fmt.Errorf("%s is no value", raw)
}
