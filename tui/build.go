package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

// phase is how far a change of the code has come.
type phase int

const (
	atRest phase = iota
	compiling
	starting
	swapped // new code serves; shown for a moment
	broken  // it does not compile, or does not start
	same    // a save that changed nothing; shown for a moment
	crashed // the process of the code that serves has ended; shown until it has run again for a moment
)

// buildPane is the last change of the code: building it, starting it, and what
// went wrong.
type buildPane struct {
	phase  phase
	since  time.Time // of the phase, machine time
	why    string    // what was saved
	built  time.Duration
	start  time.Duration
	swap   time.Duration
	total  time.Duration
	answer time.Duration // until the first answer by new code; 0: none yet
	number uint64        // of the new generation
	rooms  int           // that changed over
	left   int           // that have not yet
	lost   int           // turns, by a crash
	reason string        // of what went wrong
	output string
	errors []inspect.BuildError
	list   list
	mended bool // the files are again what runs
	again  bool // it runs again after a crash
	first  bool // it is only supposed: a server that does not run yet is being built
}

// swappedFor is how long a change that went well is shown.
const swappedFor = 10 * time.Second

func buildBindings() []binding {
	return []binding{
		{scope: inBuild, keys: []string{"y"}, name: "copy-place", short: "copy place", foot: 1,
			help: "copy file:line:column of the chosen error", run: func(m *model) tea.Cmd {
				p := &m.build
				if p.list.at < len(p.errors) {
					at := place(p.errors[p.list.at])
					return m.copy(at, at)
				}
				return m.copy(p.output, "what was said")
			}},
		{scope: inBuild, keys: []string{"esc", "backspace"}, name: "back", short: "back", foot: wayBack,
			help: "back", run: func(m *model) tea.Cmd { m.back(); return nil }},
	}
}

// take takes over an event.
func (p *buildPane) take(m *model, e inspect.Event) {
	to := func(ph phase) { p.phase, p.since = ph, m.now() }
	switch e := e.(type) {
	case *inspect.FilesChanged:
		p.why = e.Why
		if len(e.Files) > 0 {
			p.why = clean(e.Files[0])
			if e.Count > 1 {
				p.why += " and " + count(e.Count-1) + " more"
			}
		}
		if e.Same {
			*p = buildPane{why: p.why, mended: p.phase == broken}
			to(same)
		}
	case *inspect.BuildStarted:
		*p = buildPane{why: p.why, list: p.list}
		to(compiling)
	case *inspect.BuildDone:
		if p.phase != compiling { // it was built before
			*p = buildPane{why: p.why, list: p.list}
		}
		p.built = e.Took
		to(starting)
	case *inspect.BuildCanceled:
		to(atRest)
	case *inspect.BuildFailed:
		p.errors, p.output, p.built = e.Errors, keep(e.Output), e.Took
		p.reason = "the build failed"
		p.list.at = 0
		to(broken)
	case *inspect.ReloadFailed:
		p.reason, p.output = "the new code did not start", keep(e.Reason)
		p.errors = nil
		to(broken)
	case *inspect.GenerationStarted:
		if p.phase == crashed && !p.again {
			p.again, p.since = true, m.now()
			return
		}
		p.start = e.Took
	case *inspect.Crash:
		if !e.Restarts || p.running() || p.failed() {
			return
		}
		*p = buildPane{reason: fmt.Sprintf("generation %d crashed: %s", e.Generation, clean(firstLine(e.Reason))), lost: e.Turns, list: p.list}
		to(crashed)
	case *inspect.Swapped:
		p.number, p.swap, p.total, p.rooms, p.left = e.Generation, e.Took, e.Total, e.Changed, e.Waiting
		p.reason, p.errors, p.output = "", nil, ""
		to(swapped)
	case *inspect.FirstAnswer:
		p.answer = e.Total
	case *inspect.Retired:
		p.left = 0
	case *inspect.Ready:
		if p.phase == starting {
			p.number, p.total = 1, e.Took
			to(swapped)
		} else {
			to(atRest)
		}
	}
}

// catchUp is told what a change of the code has come to when events begin to be
// read; nil: none is under way.
func (p *buildPane) catchUp(m *model, code *inspect.Last) {
	switch {
	case code != nil && code.Event != nil:
		p.take(m, code.Event)
	case p.running() && !p.first || p.failed():
		p.phase, p.since = atRest, m.now()
	}
}

// suppose is told of a snapshot. A tool builds when it starts, which nobody can
// have heard of.
func (p *buildPane) suppose(m *model, g inspect.Generation) {
	switch {
	case g.Number == 0 && !g.Running && p.phase == atRest && !m.o.Attached && p.since.IsZero():
		p.phase, p.since, p.first = compiling, m.began, true
	case p.first && g.Running && p.phase == compiling:
		p.phase, p.first = atRest, false
	}
}

func (p *buildPane) running() bool { return p.phase == compiling || p.phase == starting }
func (p *buildPane) failed() bool  { return p.phase == broken }

// progress is the terminal's own bar.
func (p *buildPane) progress() *tea.ProgressBar {
	switch {
	case p.running():
		return tea.NewProgressBar(tea.ProgressBarIndeterminate, 0)
	case p.failed():
		return tea.NewProgressBar(tea.ProgressBarError, 100)
	}
	return nil
}

// short is for the terminal's title.
func (p *buildPane) short() string {
	switch {
	case p.running():
		return "building"
	case p.failed() && len(p.errors) > 0:
		return plural(len(p.errors), "error")
	case p.failed():
		return "build failed"
	}
	return ""
}

// serving says what goes on meanwhile.
func serving(m *model) string {
	if m.snap == nil || !m.snap.Generation.Running {
		return "no code serves"
	}
	still := ""
	if m.build.running() || m.build.failed() {
		still = "still "
	}
	return fmt.Sprintf("generation %d %sserves", m.snap.Generation.Number, still)
}

func place(e inspect.BuildError) string {
	s := fmt.Sprintf("%s:%d", e.File, e.Line)
	if e.Column > 0 {
		s += fmt.Sprintf(":%d", e.Column)
	}
	return s
}

// errorsShown is how many errors stand below the line of a build that failed.
const errorsShown = 3

// drawLine draws the line of a build above the page.
func (p *buildPane) drawLine(m *model, a *area) {
	t := m.th
	now := m.now()
	if m.page == pageBuild {
		return
	}
	for_ := now.Sub(p.since)
	l := t.line().add(plain, " ")
	click := func(m *model) tea.Cmd { m.visit(pageBuild); return nil }
	switch {
	case p.running():
		l.add(accent, t.animate(now.UnixMilli())+" ")
		l.facts(p.steps(m, for_), a.w-l.w-1, "  ")
		a.put(l.end(a.w))
		a.on(0, a.w, click)
	case p.failed():
		what := p.reason
		if n := len(p.errors); n > 0 {
			what += ": " + plural(n, "error")
		}
		l.add(bad, t.no+" "+what)
		l.add(plain, "  ")
		l.facts([]fact{{value{role: plain, text: serving(m)}, 0}, {value{role: accent, text: "B", more: []value{{role: dim, text: " shows all"}}}, 1}}, a.w-l.w-1, "  ")
		a.put(l.end(a.w))
		a.on(0, a.w, click)
		if a.h < 14 {
			return
		}
		for i, e := range p.errors {
			if i == errorsShown {
				break
			}
			at := place(e)
			a.put(t.line().add(plain, spaces(margin)).add(accent, clip(clean(at), a.w/2, t.dots)).add(plain, "  ").
				add(plain, clip(clean(firstLine(e.Text)), a.w-margin-width(at)-3, t.dots)).end(a.w))
			a.on(0, a.w, click)
		}
		if len(p.errors) == 0 && p.output != "" {
			a.put(t.line().add(plain, spaces(margin)).add(plain, clip(clean(firstLine(p.output)), a.w-margin-1, t.dots)).end(a.w))
		}
	case p.phase == crashed && (!p.again || for_ < swappedFor):
		l.add(bad, t.no+" ")
		facts := []fact{{value{role: bad, text: p.reason}, 0}}
		if p.lost > 0 {
			facts = append(facts, fact{value{role: plain, text: plural(p.lost, "turn") + " lost"}, 3})
		}
		if p.again {
			facts = append(facts, fact{value{role: good, text: "it runs again"}, 1})
		}
		facts = append(facts, fact{value{role: accent, text: "L", more: []value{{role: dim, text: " shows more"}}}, 2})
		l.facts(facts, a.w-l.w-1, "  ")
		a.put(l.end(a.w))
		a.on(0, a.w, func(m *model) tea.Cmd { m.visit(pageLog); return nil })
	case p.phase == swapped && for_ < swappedFor:
		l.add(good, t.yes+" ")
		l.facts(p.steps(m, for_), a.w-l.w-1, "  ")
		a.put(l.end(a.w))
		a.on(0, a.w, click)
	case p.phase == same && for_ < swappedFor/3:
		if p.mended {
			l.add(good, t.yes+" mended: ").add(plain, "the files are again what runs")
		} else {
			l.add(dim, t.dot+" saved; nothing has changed")
		}
		a.put(l.end(a.w))
	}
}

// steps are the phases with their times.
func (p *buildPane) steps(m *model, for_ time.Duration) []fact {
	t := m.th
	var out []fact
	add := func(drop int, r role, s string, more ...value) { out = append(out, fact{value{r, s, more}, drop}) }
	step := func(drop int, name string, took time.Duration) {
		if took == 0 {
			return
		}
		add(drop, dim, name+" ", value{role: plain, text: span(took)})
	}
	going := func(name string) {
		add(0, plain, name+" ", value{role: dim, text: fmt.Sprintf("%.1f s", for_.Seconds())})
	}
	switch p.phase {
	case compiling:
		going("building")
	case starting:
		step(1, "built", p.built)
		going("starting")
	case swapped:
		add(0, plain, "generation "+count(p.number)+" serves")
		step(2, "built", p.built)
		step(3, "started", p.start)
		step(5, "swapped", p.swap)
		step(1, "in all", p.total)
		step(4, "first answer", p.answer)
		if p.rooms > 0 {
			add(6, dim, plural(p.rooms, "room")+" changed over")
		}
		if p.left > 0 {
			add(1, warn, plural(p.left, "room")+" still to change over")
		}
	}
	if p.why != "" {
		add(7, dim, t.dot+" "+p.why)
	}
	return out
}

// draw draws the page of the build.
func (p *buildPane) draw(m *model, a *area) {
	t := m.th
	a.put(t.title("build", serving(m), a.w))
	now := m.now()
	l := t.line().add(plain, spaces(margin))
	switch p.phase {
	case atRest, same, crashed:
		l.add(dim, "nothing is being built; save a file, or R builds again")
	case broken:
		l.add(bad, t.no+" "+p.reason)
		if p.built > 0 {
			l.add(dim, "  after "+span(p.built))
		}
	default:
		sign, r := t.animate(now.UnixMilli()), accent
		if p.phase == swapped {
			sign, r = t.yes, good
		}
		l.add(r, sign+" ")
		l.facts(p.steps(m, now.Sub(p.since)), a.w-l.w-1, "  ")
	}
	a.put(l.end(a.w))
	a.blank()
	if p.phase != broken {
		return
	}
	if len(p.errors) == 0 {
		p.list.n = 0
		for _, s := range wrapped(p.output, a.w-margin-1) {
			a.put(t.line().add(plain, spaces(margin)).add(plain, s).end(a.w))
		}
		return
	}
	place_ := 8
	for _, e := range p.errors {
		place_ = max(place_, width(clean(place(e))))
	}
	place_ = min(place_, a.w/2)
	// The list scrolls by errors; long words take lines below their own.
	p.list.fit(len(p.errors), max(a.left()-4, 1))
	for i := p.list.top; i < len(p.errors) && a.left() > 0; i++ {
		e := p.errors[i]
		for j, s := range wrapped(e.Text, a.w-margin-place_-3) {
			l := t.begin(i == p.list.at, true)
			at := ""
			if j == 0 {
				at = clean(place(e))
			} else if i == p.list.at {
				l = t.row(true, true).add(plain, spaces(margin))
			}
			l.cell(accent, at, place_, t.dots).add(plain, "  ").add(plain, s)
			a.put(l.end(a.w))
			a.on(0, a.w, func(m *model) tea.Cmd { p.list.at = i; return nil })
		}
	}
	if rest := strings.TrimSpace(p.output); rest != "" && a.left() > 2 {
		a.blank()
		a.put(t.title("all that was said", "", a.w))
		for _, s := range wrapped(rest, a.w-margin-1) {
			a.put(t.line().add(plain, spaces(margin)).add(dim, s).end(a.w))
		}
	}
}
