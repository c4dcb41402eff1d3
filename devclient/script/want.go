package script

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// want is what a message should be.
type want struct {
	mode string // "", -re, -json or -binary
	text string
	re   *regexp.Regexp
	json any
	data []byte
}

func newWant(mode, text string) (w want, err error) {
	w = want{mode: mode, text: text}
	switch mode {
	case "-re":
		if w.re, err = regexp.Compile("(?m)" + text); err != nil {
			return w, fmt.Errorf("%q is no regular expression: %w", text, err)
		}
	case "-json":
		if w.json, err = decode([]byte(text)); err != nil {
			return w, fmt.Errorf("%q is not JSON: %w", text, err)
		}
	case "-binary":
		if w.data, err = hex.DecodeString(strings.ReplaceAll(text, " ", "")); err != nil {
			return w, fmt.Errorf("%q is not hex: write two digits a byte, such as 00ff", text)
		}
	}
	return w, nil
}

// decode reads JSON so that numbers keep all their digits.
func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = fmt.Errorf("there is more behind it")
	}
	return plain(v), err
}

// plain writes equal numbers in one way, so that 1, 1.0 and 1e0 are the same, as
// they are to a JSON parser. No digit is lost.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		return plainNumber(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}

func plainNumber(n json.Number) json.Number {
	text, minus := strings.CutPrefix(strings.ToLower(string(n)), "-")
	text, exponent, _ := strings.Cut(text, "e")
	whole, fraction, _ := strings.Cut(text, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0"
	}
	e := 0
	if exponent != "" {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil {
			return n // too large to count
		}
	}
	short := strings.TrimRight(digits, "0")
	e += len(digits) - len(short) - len(fraction)
	if minus {
		short = "-" + short
	}
	return json.Number(fmt.Sprintf("%se%d", short, e))
}

func (w want) accepts(binary bool, data []byte) bool {
	switch w.mode {
	case "-binary":
		return binary && bytes.Equal(data, w.data)
	case "-re":
		return !binary && w.re.Match(data)
	case "-json":
		v, err := decode(data)
		return !binary && err == nil && reflect.DeepEqual(v, w.json)
	}
	return !binary && string(data) == w.text
}

func (w want) String() string {
	switch w.mode {
	case "-re":
		return "text that matches " + w.text
	case "-json":
		return "JSON " + w.text
	case "-binary":
		return "bytes " + hex.EncodeToString(w.data)
	}
	return fmt.Sprintf("%q", w.text)
}
