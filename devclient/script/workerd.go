package script

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/process"
	"github.com/goparty/party/watch/bundle"
)

// What scripts run on.
const (
	OnEmulator = "emulator"
	OnWorkerd  = "workerd"
)

// FindWorkerd finds Cloudflare's engine as [Options] On: "workerd" does, in one
// of dirs or above it.
func FindWorkerd(dirs ...string) (string, error) { return bundle.FindEngine(dirs...) }

// emulatorOnly are the commands that Cloudflare's engine has nothing for.
var emulatorOnly = []string{
	"reload", "crash", "hibernate", "evict", "fire", "advance", "room", "rooms", "events",
}

// unable says why a script cannot run on workerd: "" where it can. What stands
// behind the condition [emulator] is not asked of workerd.
func unable(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	n := 0
	for line := range strings.Lines(string(txtar.Parse(data).Comment)) {
		n++
		words := strings.Fields(line)
		for len(words) > 0 && (strings.HasPrefix(words[0], "[") || words[0] == "!" || words[0] == "?") {
			if words[0] == "[emulator]" || words[0] == "[!workerd]" {
				words = nil
				break
			}
			words = words[1:]
		}
		if len(words) == 0 {
			continue
		}
		if slices.Contains(emulatorOnly, words[0]) {
			return fmt.Sprintf("line %d: %s can be done by the emulator only", n, words[0]), nil
		}
		if words[0] != "start" {
			continue
		}
		for _, w := range words[1:] {
			if name, _, _ := strings.Cut(w, "="); name == "--hibernate-after" || name == "--evict-after" || name == "--on-reload" {
				return fmt.Sprintf("line %d: %s can be set for the emulator only", n, name), nil
			}
		}
	}
	return "", nil
}

// engine is Cloudflare's engine as the server of a script.
type engine struct {
	*bundle.Engine
	token string // with which we prove that we are the test

	mu    sync.Mutex
	lines []string // that the server wrote and logged, as logs prints them
}

// bundled is what was made of one program for workerd, once.
type bundled struct {
	once    sync.Once
	dir     string
	classes []string
	err     error
}

// bundle builds the code for workerd, or takes what was built of the same
// before.
func (p *packageSource) bundle(ctx context.Context) (*bundled, error) {
	key := p.dir
	if p.watched != "" {
		sum, err := contentOf(p.watched)
		if err != nil {
			return nil, err
		}
		key = p.module + "\x00" + sum
	}
	p.of.mu.Lock()
	b := p.of.bundles[key]
	if b == nil {
		b = &bundled{}
		p.of.bundles[key] = b
	}
	p.of.mu.Unlock()
	b.once.Do(func() { b.err = p.makeBundle(ctx, b) })
	return b, compiled(b.err)
}

func (p *packageSource) makeBundle(ctx context.Context, b *bundled) error {
	path, err := p.build(ctx)
	if err != nil {
		return err
	}
	guest, err := process.Start(ctx, process.Command{Path: path, Dir: p.run})
	if err != nil {
		return err
	}
	hello := guest.Hello()
	guest.Close()
	if b.dir, err = os.MkdirTemp(p.of.scratch, "bundle-"); err != nil {
		return err
	}
	o := bundle.Options{Name: "script", Out: b.dir, Handler: hello.Handler}
	for _, c := range hello.Classes {
		o.Classes = append(o.Classes, c.Binding)
		o.Methods = append(o.Methods, c.Methods...)
	}
	b.classes = o.Classes
	select {
	case p.of.slots <- struct{}{}:
		defer func() { <-p.of.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = bundle.Write(ctx, p.builder, o)
	return err
}

// runEngine starts the server on workerd.
func (s *session) runEngine(sp spec) error {
	src, ok := sp.source.(*packageSource)
	if !ok {
		return misuse{errors.New("the server is given by the Go test that runs this script, so it cannot run on workerd")}
	}
	b, err := src.bundle(s.runner.ctx)
	if err != nil {
		return err
	}
	env, err := sp.environment(s.work, s.runner.dir)
	if err != nil {
		return misuse{err}
	}
	vars := map[string]string{}
	for k, v := range env {
		vars[k] = v
	}
	e := &engine{token: rand.Text()}
	vars["PARTY_TEST"] = e.token
	e.Engine, err = bundle.StartEngine(s.runner.ctx, bundle.EngineOptions{
		Path: s.runner.engine, Bundle: b.dir, Classes: b.classes, Vars: vars, Line: e.line,
		State: filepath.Join(s.work, ".party", "workerd"),
	})
	if err != nil {
		return err
	}
	s.server = &server{engine: e, url: e.URL, spec: sp}
	s.last = s.server
	return nil
}

// line takes in a line that the engine writes.
func (e *engine) line(text string) {
	var all map[string]struct {
		Room, Text, Hook, Error, Stack string
		Output                         *string
		Level                          int
	}
	if json.Unmarshal([]byte(text), &all) != nil {
		return // the engine's own
	}
	m, ok := all[e.token]
	if !ok {
		return
	}
	where := m.Room
	if where != "" {
		where += " "
	}
	switch {
	case m.Output != nil:
		text = *m.Output
	case m.Hook != "":
		text = "ERROR " + where + ownNames(inspect.Text(&inspect.Exception{Hook: m.Hook, Error: m.Error, Stack: m.Stack}))
	default:
		text = slog.Level(m.Level).String() + " " + where + m.Text
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, text)
}

// ask asks rooms something, one after the other, and returns their answers.
func (e *engine) ask(ctx context.Context, what, text string, rooms ...string) ([]engineAnswer, error) {
	body, err := json.Marshal(map[string]any{"what": what, "text": text, "rooms": rooms})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Party-Test", e.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, errors.New("a room on workerd is at work")
		}
		return nil, err
	}
	defer resp.Body.Close()
	var answers []engineAnswer
	if err := json.NewDecoder(resp.Body).Decode(&answers); err != nil {
		return nil, fmt.Errorf("the engine's answer: %w", err)
	}
	return answers, nil
}

// engineAnswer is what a room answers a test.
type engineAnswer struct {
	Value json.RawMessage
	Error string
}

// askOne asks one room and decodes its answer.
func (s *session) askOne(what, text, room string, v any) error {
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	all, err := s.server.engine.ask(ctx, what, text, room)
	switch {
	case err != nil:
		return err
	case len(all) != 1:
		return fmt.Errorf("no class is bound to %s", room)
	case all[0].Error != "":
		return errors.New(all[0].Error)
	case v == nil:
		return nil
	}
	return json.Unmarshal(all[0].Value, v)
}

// engineKV prints what kv prints.
func (s *session) engineKV(room string, keys []string) error {
	var all [][3]any
	if err := s.askOne("kv", "", room, &all); err != nil {
		return err
	}
	found := false
	for _, e := range all {
		key, _ := e[0].(string)
		text, _ := e[2].(string)
		if isJSON, _ := e[1].(bool); !isJSON {
			data, _ := hex.DecodeString(text)
			b, _ := json.Marshal(data)
			text = string(b)
		}
		switch {
		case len(keys) == 0:
			_, _ = fmt.Fprintf(s.ts.Stdout(), "%s\t%s\n", key, text)
		case key == keys[0]:
			found = true
			_, _ = fmt.Fprintln(s.ts.Stdout(), text)
		}
	}
	if len(keys) > 0 && !found {
		return fmt.Errorf("%s has no key %q", room, keys[0])
	}
	return nil
}

// engineSQL prints what sql prints.
func (s *session) engineSQL(room, query string) error {
	var rows [][]any
	if err := s.askOne("sql", query, room, &rows); err != nil {
		return err
	}
	for _, row := range rows {
		texts := make([]string, len(row))
		for i, v := range row {
			switch value := v.(type) {
			case nil:
				texts[i] = "NULL"
			case float64:
				texts[i] = strconv.FormatFloat(value, 'g', -1, 64)
			default:
				texts[i] = fmt.Sprint(value)
			}
		}
		_, _ = fmt.Fprintln(s.ts.Stdout(), strings.Join(texts, "\t"))
	}
	return nil
}

// settleEngine is how long something that was sent may be on its way through
// the engine, which nothing else can tell.
const settleEngine = 30 * time.Millisecond

// settleOn waits until the rooms that the script has named are at rest, as far
// as can be seen from outside.
func (s *session) settleOn(ctx context.Context, e *engine) error {
	s.flush(ctx)
	if _, err := e.ask(ctx, "quiet", "", s.involved...); err != nil {
		return err
	}
	if !pause(ctx, settleEngine) {
		return ctx.Err()
	}
	s.flush(ctx)
	return nil
}

// stopEngine ends the server on workerd; what rooms have committed is there for
// the next.
func (s *session) stopEngine() error {
	e := s.server.engine
	s.logged = append(s.logged, e.written()...)
	s.server = nil
	return e.Close()
}

func (e *engine) written() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.lines)
}

// engineLogs prints what logs prints.
func (s *session) engineLogs() error {
	if s.server != nil {
		if err := s.quiet(); err != nil {
			return err
		}
	}
	lines := s.logged
	if s.server != nil {
		lines = append(slices.Clone(lines), s.server.engine.written()...)
	}
	for _, l := range lines {
		_, _ = fmt.Fprintln(s.ts.Stdout(), l)
	}
	return nil
}
