package script

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
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
	return v, err
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
