package script

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// names are what connections are called: by their ids, or, where nobody chose
// those, client1, client2 and so on.
type names struct {
	clients map[string]string // by room and id
	used    map[string]bool
	ids     map[string]string // that nobody chose, with their names
}

func newNames() *names {
	return &names{clients: map[string]string{}, used: map[string]bool{}, ids: map[string]string{}}
}

var (
	goodName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,19}$`)
	uuid     = `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`
	madeUp   = regexp.MustCompile(`^(` + uuid + `|[A-Za-z0-9_-]{20,})$`)
)

// client is the name of the first connection with an id.
func (n *names) client(room, id string) string {
	key := room + "\x00" + id
	if name := n.clients[key]; name != "" {
		return name
	}
	base := id
	if madeUp.MatchString(id) {
		if base = n.ids[id]; base == "" {
			base = fmt.Sprintf("client%d", len(n.ids)+1)
			n.ids[id] = base
		}
	} else if !goodName.MatchString(id) {
		base = "client"
	}
	name := n.free(base)
	n.clients[key] = name
	return name
}

func (n *names) free(base string) string {
	name := base
	for i := 2; n.used[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	n.used[name] = true
	return name
}

// opening is the name of a connection with an id that so many had before.
func (n *names) opening(room, id string, before int) string {
	name := n.client(room, id)
	if before == 0 {
		return name
	}
	key := fmt.Sprintf("%s\x00%s\x00%d", room, id, before)
	if n.clients[key] == "" {
		n.clients[key] = n.free(name)
	}
	return n.clients[key]
}

// splitURI is the room of a connection's URI, or its path where it is none of
// /parties, and the query without the id.
func splitURI(uri string) (at string, query []string) {
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		_, at, _ = strings.Cut(rest, "/")
		uri = "/" + at
	}
	at, raw, _ := strings.Cut(uri, "?")
	if room, ok := strings.CutPrefix(at, "/parties/"); ok {
		at = room
	}
	for pair := range strings.SplitSeq(raw, "&") {
		k, v, _ := strings.Cut(pair, "=")
		key, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if key != "" && key != "_pk" && err1 == nil && err2 == nil {
			query = append(query, key+"="+value)
		}
	}
	return at, query
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quote makes one argument of a script of a text without line ends.
func quote(s string) string {
	if plainWord.MatchString(s) && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// escape writes a text for the %b of printf.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			b.WriteString(`\\`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\0%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// different finds what no two runs have in common: times and made-up ids.
var different = regexp.MustCompile(
	`(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)` +
		`|(?P<uuid>` + uuid + `)` +
		`|(?P<number>\b1[5-9]\d{8}(?:\d{3}|\d{6}|\d{9})?\b)`)

// fitsFile reports whether a text can be a file of a script as it is.
func fitsFile(text string) bool {
	return !strings.ContainsAny(text, "\r\x00") && !strings.Contains(text, "\n-- ") && !strings.HasPrefix(text, "-- ")
}

// pattern is a regular expression for a text that has something in it that is
// different in every run, or that cannot be written down as it is.
func (n *names) pattern(text string, whole bool) (string, bool) {
	found := slices.DeleteFunc(different.FindAllStringIndex(text, -1), func(f []int) bool {
		return n.ids[text[f[0]:f[1]]] != "" // the script gives this one
	})
	if len(found) == 0 && whole && !strings.ContainsAny(text, "\n\r\x00") {
		return "", false
	}
	var b strings.Builder
	b.WriteString(`\A`)
	last := 0
	part := func(s string) {
		q := regexp.QuoteMeta(s)
		for _, c := range []struct{ is, as string }{{"\n", `\n`}, {"\r", `\r`}, {"\x00", `\x00`}} {
			q = strings.ReplaceAll(q, c.is, c.as)
		}
		b.WriteString(q)
	}
	for _, f := range found {
		part(text[last:f[0]])
		switch m := text[f[0]:f[1]]; {
		case strings.Contains(m, ":"):
			b.WriteString(`[0-9TZ:. +-]+`)
		case strings.Contains(m, "-"):
			b.WriteString(`[0-9a-fA-F-]{36}`)
		default:
			b.WriteString(`\d+`)
		}
		last = f[1]
	}
	part(text[last:])
	if whole {
		b.WriteString(`\z`)
	}
	return b.String(), true
}

// step is to what time is rounded.
const step = 10 * time.Millisecond

// least is what is no pause: it takes computers as long to do something.
const least = 100 * time.Millisecond

// text puts the items together and lets the clock go with them.
func (w *writer) text() string {
	var b strings.Builder
	b.WriteString("# Recorded by party record.\n")
	start := "start"
	if w.r.dir != "" && w.r.dir != "." {
		start += " " + quote(w.r.dir)
	}
	for _, f := range w.r.flags {
		if plainWord.MatchString(f) {
			start += " " + f
		} else {
			start += " " + quote(f)
		}
	}
	b.WriteString(start + "\n\n")
	now := time.Duration(0)
	for _, it := range w.items {
		if !it.time.IsZero() {
			by := it.time.Sub(w.r.began) - now
			if by >= least || it.expect && by > 0 && len(it.lines) == 0 {
				if it.expect {
					by += step - 1
				}
				by = by.Truncate(step)
				now += by
				fmt.Fprintf(&b, "advance %s\n", by)
			}
		}
		for _, line := range it.lines {
			b.WriteString(line + "\n")
		}
	}
	quiet := ""
	for _, room := range sortedKeys(w.open) {
		for _, c := range w.open[room] {
			if !c.gone {
				quiet += "recv -none " + c.name + "\n"
			}
		}
	}
	if quiet != "" {
		b.WriteString("\n# Nothing else came.\n" + quiet)
	}
	for i := 0; i < len(w.files); i += 2 {
		if w.files[i] != "" {
			fmt.Fprintf(&b, "-- %s --\n%s", w.files[i], w.files[i+1])
		}
	}
	return b.String()
}
