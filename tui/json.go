package tui

import (
	"encoding/hex"
	"strings"
)

// jsonKind is what a byte of JSON belongs to.
type jsonKind int

const (
	jsonSpace jsonKind = iota
	jsonMark           // braces, brackets, commas, colons
	jsonKey
	jsonString
	jsonOther // numbers, true, false, null
)

func (k jsonKind) role() role { return []role{plain, dim, inward, good, warn}[k] }

// token is a piece of JSON.
type token struct {
	kind jsonKind
	text string
}

// tokens takes JSON apart. It does not mind if the end is missing, as it is
// where only the start of a message was kept. ok: it looks like JSON.
func tokens(s string) (out []token, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" || !strings.ContainsRune(`{["`, rune(s[0])) && !strings.ContainsRune("-0123456789tfn", rune(s[0])) {
		return nil, false
	}
	for i := 0; i < len(s); {
		c := s[i]
		start := i
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
			continue
		case strings.IndexByte("{}[],:", c) >= 0:
			i++
			out = append(out, token{jsonMark, s[start:i]})
		case c == '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			i = min(i+1, len(s))
			out = append(out, token{jsonString, s[start:i]})
		case c >= '0' && c <= '9' || c == '-' || c >= 'a' && c <= 'z':
			for i < len(s) && strings.IndexByte(" \t\r\n{}[],:\"", s[i]) < 0 {
				i++
			}
			word := s[start:i]
			if c >= 'a' && c <= 'z' && !strings.HasPrefix("true", word) && !strings.HasPrefix("false", word) && !strings.HasPrefix("null", word) {
				return nil, false
			}
			out = append(out, token{jsonOther, word})
		default:
			return nil, false
		}
	}
	depth := 0
	for i := range out {
		switch out[i].text {
		case "{", "[":
			if out[i].kind == jsonMark {
				depth++
			}
		case "}", "]":
			if out[i].kind == jsonMark {
				depth--
			}
		case ":":
			if i > 0 && out[i-1].kind == jsonString {
				out[i-1].kind = jsonKey
			}
		}
		if depth < 0 {
			return nil, false
		}
		if depth == 0 && i < len(out)-1 {
			return nil, false // more than one value, as in "12:30" or "3 apples"
		}
	}
	return out, true
}

// layJSON lays JSON out, one field a line, in lines of w cells.
func layJSON(t *theme, s string, w int) ([]string, bool) {
	all, ok := tokens(s)
	if !ok {
		return nil, false
	}
	var out []string
	depth := 0
	l := t.line()
	feed := func() {
		out = append(out, l.end(w))
		l = t.line().add(plain, spaces(min(2*depth, w/2)))
	}
	write := func(r role, text string) {
		text = clean(text)
		for l.w+width(text) > w && w > 8 {
			head := clip(text, w-l.w, "")
			l.add(r, head)
			text = text[len(head):]
			out = append(out, l.end(w))
			l = t.line().add(plain, spaces(min(2*depth+2, w/2)))
		}
		l.add(r, text)
	}
	for i, k := range all {
		mark := k.kind == jsonMark
		next := ""
		if i+1 < len(all) && all[i+1].kind == jsonMark {
			next = all[i+1].text
		}
		switch {
		case mark && (k.text == "{" || k.text == "["):
			write(dim, k.text)
			if next != "}" && next != "]" {
				depth++
				feed()
			}
		case mark && (k.text == "}" || k.text == "]"):
			if i > 0 && (all[i-1].kind != jsonMark || all[i-1].text != "{" && all[i-1].text != "[") {
				depth--
				feed()
			}
			write(dim, k.text)
		case mark && k.text == ",":
			write(dim, ",")
			feed()
		case mark:
			write(dim, ": ")
		default:
			write(k.kind.role(), k.text)
		}
	}
	return append(out, l.end(w)), true
}

// lay lays out a text in lines of w cells: as JSON where it is some.
func lay(t *theme, s string, w int) []string {
	if w <= 0 {
		return nil
	}
	if out, ok := layJSON(t, s, w); ok {
		return out
	}
	var out []string
	for _, part := range wrapped(s, w) {
		out = append(out, t.line().add(plain, part).end(w))
	}
	return out
}

// layBytes lays out bytes as a dump.
func layBytes(t *theme, b []byte, w int) []string {
	var out []string
	each := 16
	if w < 76 {
		each = 8
	}
	for i := 0; i < len(b); i += each {
		part := b[i:min(i+each, len(b))]
		l := t.line().add(dim, pad(hex.EncodeToString([]byte{byte(i >> 8), byte(i)}), 4)).add(plain, "  ")
		for _, c := range part {
			l.add(plain, hex.EncodeToString([]byte{c})+" ")
		}
		l.to(6+3*each).add(plain, " ")
		text := make([]byte, len(part))
		for j, c := range part {
			if text[j] = '.'; c >= ' ' && c < 0x7f {
				text[j] = c
			}
		}
		out = append(out, l.add(dim, string(text)).end(w))
	}
	return out
}

// facts lays out labels with their values.
func layFacts(t *theme, w int, pairs ...string) []string {
	label := 0
	for i := 0; i < len(pairs); i += 2 {
		label = max(label, width(pairs[i]))
	}
	var out []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		for j, part := range wrapped(pairs[i+1], w-label-2) {
			l := t.line()
			if j == 0 {
				l.cell(dim, pairs[i], label, "")
			}
			out = append(out, l.to(label+2).add(plain, part).end(w))
		}
	}
	return out
}
