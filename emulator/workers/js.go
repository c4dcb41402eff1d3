//go:build js

package workers

import (
	"net/http"
	"strings"
	"syscall/js"
)

var uint8Array = js.Global().Get("Uint8Array")

func toJS(b []byte) js.Value {
	v := uint8Array.New(len(b))
	js.CopyBytesToJS(v, b)
	return v
}

// bytesOf copies a Uint8Array.
func bytesOf(v js.Value) []byte {
	b := make([]byte, v.Get("byteLength").Int())
	js.CopyBytesToGo(b, v)
	return b
}

// message is what a WebSocket sends for a message of the wire.
func message(binary bool, data []byte) any {
	if binary {
		return toJS(data)
	}
	return string(data)
}

// text is a string, or "" for null.
func text(v js.Value) string {
	if v.Type() != js.TypeString {
		return ""
	}
	return v.String()
}

// flat writes headers as lines: a name, then its value.
func flat(h http.Header) string {
	var b strings.Builder
	for k, values := range h {
		for _, v := range values {
			b.WriteString(line(k))
			b.WriteString(line(v))
		}
	}
	return b.String()
}

// line keeps a header from making two.
func line(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		s = strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
	}
	return s + "\n"
}

func unflat(s string) http.Header {
	h := http.Header{}
	for s != "" {
		var k, v string
		k, s, _ = strings.Cut(s, "\n")
		v, s, _ = strings.Cut(s, "\n")
		h.Add(k, v)
	}
	return h
}

// optional is a string for JavaScript, null where there is none.
func optional(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func anys[T any](all []T) []any {
	out := make([]any, len(all))
	for i, v := range all {
		out[i] = v
	}
	return out
}
