package script

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/goparty/party/devclient"
)

// witness notes what each client and request of a script saw, in the order in
// which they came. What differs from run to run is left out of the transcript,
// so that two runtimes can be compared.
type witness struct {
	mu    sync.Mutex
	parts []*part
}

// part is what one of them saw. All its methods may be called on nil.
type part struct {
	of    *witness
	title string
	lines []string
}

func (t *witness) add(format string, args ...any) *part {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &part{of: t, title: fmt.Sprintf(format, args...)}
	t.parts = append(t.parts, p)
	return p
}

func (p *part) add(line string) {
	if p == nil {
		return
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.lines = append(p.lines, line)
}

// heard notes what came to a client.
func (p *part) heard(e devclient.Event) { p.add("< " + e.Quoted()) }

// answered notes the answer to a request.
func (p *part) answered(status int, h http.Header, body []byte) {
	if p == nil {
		return
	}
	p.add(fmt.Sprintf("< %d %s", status, h.Get("Content-Type")))
	for line := range strings.Lines(string(body)) {
		p.add("  " + strings.TrimRight(line, "\r\n"))
	}
}

// String is the transcript as it is compared.
func (t *witness) String() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.title + "\n")
		for _, l := range p.lines {
			b.WriteString("  " + l + "\n")
		}
	}
	return steadied(b.String())
}

// unsteady is what is another in each run, and what stands for it.
var unsteady = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`(?s)\n +goroutine \d+ .*?(\n  <|\n\S|$)`), "(stack)$1"},
	{regexp.MustCompile(`(\\+n)+goroutine \d+ [^"]*`), "(stack)"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?`), "(time)"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d+)?\b`), "(time)"},
	{regexp.MustCompile(`\b[12]\d{12}\b`), "(time)"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "(id of a room)"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "(address)"},
}

var nanoID = regexp.MustCompile(`(^|[^A-Za-z0-9_-])([A-Za-z0-9_-]{21})($|[^A-Za-z0-9_-])`)

// steadied takes out of a transcript what varies. Ids that the server made up
// are numbered.
func steadied(text string) string {
	for _, v := range unsteady {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	ids := map[string]string{}
	return nanoID.ReplaceAllStringFunc(text, func(s string) string {
		m := nanoID.FindStringSubmatch(s)
		if isWord(m[2]) {
			return s
		}
		if ids[m[2]] == "" {
			ids[m[2]] = fmt.Sprintf("(id %d)", len(ids)+1)
		}
		return m[1] + ids[m[2]] + m[3]
	})
}

// isWord tells a word from an id that was made up. One such id in forty has no
// digit, but nearly half of its letters are capitals.
func isWord(s string) bool {
	capitals := 0
	for _, c := range s {
		switch {
		case '0' <= c && c <= '9':
			return false
		case 'A' <= c && c <= 'Z':
			capitals++
		}
	}
	return capitals < 6 || strings.ToUpper(s) == s
}
