package script

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/goparty/party/emulator/inspect"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// request puts down a request where its turn began, with its answer.
func (w *writer) request(i int, e *inspect.Request) {
	begin, whole := w.requestBegins(i, e)
	args := ""
	if e.Method != http.MethodGet && (e.Method != http.MethodPost || e.Body.Size == 0) {
		args += " -X " + quote(e.Method)
	}
	if e.ContentType != "" {
		args += " -H " + quote("Content-Type: "+e.ContentType)
	}
	if e.Body.Size > 0 {
		if e.Body.Size > len(e.Body.Data) || e.Body.Binary {
			w.cannot(begin, "%s %s had a body of %d bytes, which a script cannot send", e.Method, e.URL, e.Body.Size)
			return
		}
		text := string(e.Body.Data)
		if strings.ContainsAny(text, "\n\r\x00") {
			w.files = append(w.files, "", "")
			file := fmt.Sprintf("body%d.txt", len(w.files)/2)
			w.put(begin, false, "exec printf '%b' "+quote(escape(text)), "cp stdout "+file)
			text = "@" + file
		}
		args += " -d " + quote(text)
	}
	at := quote(e.URL)
	if !whole {
		w.stream(i, begin, args, at, e)
		return
	}
	if e.Error != "" && e.Status == 0 {
		w.cannot(begin, "%s %s had no answer: %s", e.Method, e.URL, e.Error)
		return
	}
	lines := []string{"http" + args + " " + at, fmt.Sprintf("status %d", e.Status)}
	w.put(begin, false, append(lines, w.answer(e)...)...)
}

// longAnswer is how long an answer may be to stand in a line.
const longAnswer = 200

// answer expects an answer's body.
func (w *writer) answer(e *inspect.Request) []string {
	text := string(e.Answer.Data)
	switch {
	case e.Answer.Size == 0:
		return []string{"! stdout ."}
	case e.Answer.Binary || e.Status >= 500:
		return nil
	}
	whole := e.Answer.Size <= len(e.Answer.Data)
	if whole && (len(text) > longAnswer || strings.Contains(strings.TrimSuffix(text, "\n"), "\n")) && different.FindString(text) == "" && fitsFile(text) {
		if !strings.HasSuffix(text, "\n") {
			text += "\n" // as http does
		}
		file := fmt.Sprintf("answer%d.txt", len(w.files)/2+1)
		w.files = append(w.files, file, text)
		return []string{"cmp stdout " + file}
	}
	p, ok := w.r.names.pattern(strings.TrimSuffix(text, "\n"), whole)
	if !ok {
		p = `\A` + regexp.QuoteMeta(strings.TrimSuffix(text, "\n")) + `\z`
	}
	if whole { // http ends the body with a line end where it has none
		p = strings.TrimSuffix(p, `\z`) + `\n\z`
	}
	return []string{"stdout " + quote(p)}
}

// stream puts down a request whose answer went on behind its turn.
func (w *writer) stream(i, begin int, args, at string, e *inspect.Request) {
	name := w.r.names.free("stream")
	w.put(begin, false, "http -open "+name+args+" "+at, fmt.Sprintf("status %d", e.Status))
	if e.Answer.Binary || e.Answer.Size > len(e.Answer.Data) {
		w.r.warn("%s %s: only the start of the stream is known", e.Method, e.URL)
	}
	var lines []string
	for line := range strings.Lines(string(e.Answer.Data)) {
		if text := strings.TrimRight(line, "\r\n"); text != "" && strings.HasSuffix(line, "\n") {
			lines = append(lines, "recv "+w.wanted(name, inspect.Payload{Size: len(text), Data: []byte(text)}))
		}
	}
	if e.Error != "" {
		lines = append(lines, "drop "+name)
	}
	w.put(i, true, lines...)
}

// requestBegins is where a request stands, and whether its whole answer came
// with its turn.
func (w *writer) requestBegins(i int, e *inspect.Request) (begin int, whole bool) {
	if e.Room == "" { // of App.Handler, which has no turn: by its time
		from := inspect.Of(e).Time.Add(-e.Took)
		for begin = i; begin > 0 && inspect.Of(w.events[begin-1]).Time.After(from); begin-- {
		}
		return begin, true
	}
	t := w.turns[e.Room]
	n := t.request(i)
	if n < 0 {
		return i, true
	}
	s := t.all[n]
	s.kind = "request taken"
	t.all[n] = s
	for j := s.end + 1; j < i; j++ {
		switch other := w.events[j].(type) {
		case *inspect.Turn:
			if other.Room == e.Room {
				return s.begin, false
			}
		case *inspect.Request:
		default:
			if inspect.Of(other).Room == e.Room {
				return s.begin, false
			}
		}
	}
	return s.begin, !strings.Contains(e.Error, "went away")
}
