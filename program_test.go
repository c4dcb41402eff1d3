//go:build !partyplugin && !js

package party

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goparty/party/emulator/wire"
)

type (
	startless struct{ Server }
	misspelt  struct{ Server }
	starred   struct{ *Server }
	deeper    struct{ Lab }
	callee    struct{ Server }
)

func (*callee) Add(context.Context, int) (int, error) { return 0, nil }
func (*callee) OnStart(context.Context) error         { return nil }
func (*callee) hidden()                               {}

func (*startless) OnStart() error { return nil }

func (*misspelt) OnMessage(context.Context, *Connection, []byte) error { return nil }

func (*misspelt) OnClose(context.Context, *Connection) {}

func TestAnAppThatIsWrongSaysWhatAndWhere(t *testing.T) {
	for name, row := range map[string]struct {
		servers Servers
		parts   []string
	}{
		"no servers": {nil, []string{"the App has no Servers: add one"}},
		"a hook with another signature": {Servers{"Chat": ClassOf[startless]()}, []string{
			`class "Chat": startless.OnStart is not the hook of that name:`,
			"\n\thave OnStart() error\n\twant OnStart(context.Context) error",
		}},
		"two of them": {Servers{"Chat": ClassOf[misspelt]()}, []string{
			"misspelt.OnMessage is not the hook of that name:\n\thave OnMessage(context.Context, *party.Connection, []uint8) error\n\twant OnMessage(context.Context, *party.Connection, party.Message) error",
			"misspelt.OnClose is not the hook of that name:\n\thave OnClose(context.Context, *party.Connection)\n\twant OnClose(context.Context, *party.Connection, int, string, bool) error",
		}},
		"two classes": {Servers{"A": ClassOf[startless](), "B": ClassOf[misspelt]()}, []string{`class "A": `, `class "B": `}},
		"a pointer embedded": {Servers{"Chat": ClassOf[starred]()}, []string{
			`class "Chat": party.starred embeds *party.Server: embed party.Server itself, without the star`,
		}},
		"two options":            {Servers{"Chat": ClassOf[Lab](Options{}, Options{})}, []string{"ClassOf takes one Options at most"}},
		"an empty class":         {Servers{"Chat": Class{}}, []string{`class "Chat" is empty: make it with party.ClassOf`}},
		"no Go identifier":       {Servers{"my-server": ClassOf[Lab]()}, []string{`binding "my-server" is not a Go identifier`}},
		"an empty binding":       {Servers{"": ClassOf[Lab]()}, []string{`binding "" is not a Go identifier`}},
		"two alike in URLs":      {Servers{"MyServer": ClassOf[Lab](), "my_server": ClassOf[Lab]()}, []string{`bindings "MyServer" and "my_server" both answer at /parties/my-server`}},
		"nothing for the URL":    {Servers{"_": ClassOf[Lab]()}, []string{"leaves nothing for the URL"}},
		"two alike but for case": {Servers{"CHAT": ClassOf[Lab](), "chat": ClassOf[Lab]()}, []string{"both answer at /parties/chat"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := App{Servers: row.servers}.Program()
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, part := range row.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\ndoes not contain\n%s", err, part)
				}
			}
		})
	}
}

func TestAProgramKnowsTheHooksOfItsClasses(t *testing.T) {
	p, err := App{Servers: Servers{"Lab": ClassOf[Lab](), "Bare": ClassOf[Bare](), "Deeper": ClassOf[deeper](Options{Hibernate: true})}}.Program()
	if err != nil {
		t.Fatal(err)
	}
	lab := wire.HookStart | wire.HookTags | wire.HookConnect | wire.HookMessage | wire.HookClose | wire.HookError | wire.HookRequest | wire.HookException
	for i, want := range []struct {
		binding   string
		hooks     wire.Hooks
		hibernate bool
	}{{"Bare", 0, false}, {"Deeper", lab, true}, {"Lab", lab, false}} {
		if c := p.Classes[i]; c.Binding != want.binding || c.Hooks != want.hooks || c.Hibernate != want.hibernate {
			t.Errorf("%+v, want %+v", c.Class, want)
		}
	}
}

func TestAProgramKnowsWhichMethodsMayBeCalled(t *testing.T) {
	server := reflect.TypeFor[*Server]()
	for i := range server.NumMethod() {
		if name := server.Method(i).Name; !serverMethods[name] {
			t.Errorf("serverMethods lacks %s", name)
		}
	}
	if len(serverMethods) != server.NumMethod() {
		t.Errorf("serverMethods has %d methods, and Server %d", len(serverMethods), server.NumMethod())
	}
	for _, h := range hooks {
		if name := h.typ.Method(0).Name; name != h.name || signature(name, h.typ.Method(0).Type, 0) != signature(name, h.want, 0) {
			t.Errorf("%s is %s", h.name, signature(name, h.typ.Method(0).Type, 0))
		}
		if m, ok := h.find(h.typ); !ok || m.Name != h.name {
			t.Errorf("%s finds %s", h.name, m.Name)
		}
	}
	for _, name := range callable(new(Lab)) {
		if serverMethods[name] || isHook(name) || !methodByName(reflect.ValueOf(new(Lab)), name).IsValid() {
			t.Errorf("%s may be called", name)
		}
	}
	if got := callable(new(callee)); !slices.Equal(got, []string{"Add"}) {
		t.Errorf("%q may be called", got)
	}
}

func TestAServerOutsideOfARoomSaysSo(t *testing.T) {
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "party.Server used outside of a room") {
			t.Errorf("panic %q", s)
		}
	}()
	new(Lab).Name()
}

func TestMessages(t *testing.T) {
	if m := Text("é"); !m.IsText() || m.String() != "é" {
		t.Errorf("%+v", m)
	}
	if m := Binary([]byte{1}); m.IsText() || len(m.Data) != 1 {
		t.Errorf("%+v", m)
	}
	if m := (Message{Data: []byte("x")}); !m.IsText() {
		t.Error("the zero type is text")
	}
	m := JSON(map[string]int{"a": 1})
	var v struct{ A int }
	if err := m.Decode(&v); err != nil || v.A != 1 || m.String() != `{"a":1}` {
		t.Errorf("%s, %+v, %v", m, v, err)
	}
	err := Text(strings.Repeat("x", 100)).Decode(&v)
	if err == nil || !strings.HasPrefix(err.Error(), `message "`+strings.Repeat("x", 60)+`"... is not the JSON expected: `) {
		t.Errorf("%v", err)
	}
	defer func() {
		if err, _ := recover().(error); err == nil || !strings.HasPrefix(err.Error(), "party.JSON: ") {
			t.Errorf("panic %v", err)
		}
	}()
	JSON(func() {})
}

// lost is a failure that may be tried again.
type lost struct{}

func (lost) Error() string   { return "lost" }
func (lost) Retryable() bool { return true }

func TestRetryGrowsItsDelaysAndStops(t *testing.T) {
	to := wire.Address{Binding: "Lab", Name: "a"}
	for name, row := range map[string]struct {
		opts     *RetryOptions
		fails    int // so many times
		err      error
		attempts int
		most     []time.Duration // each delay
	}{
		"by default three attempts": {nil, 9, lost{}, 3, []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}},
		"until it succeeds":         {nil, 1, lost{}, 2, []time.Duration{100 * time.Millisecond}},
		"never other errors":        {nil, 9, errors.New("no"), 1, nil},
		"one attempt is none again": {&RetryOptions{MaxAttempts: 1}, 9, lost{}, 1, nil},
		"up to the longest delay": {
			&RetryOptions{MaxAttempts: 6}, 9, lost{}, 6,
			[]time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 800 * time.Millisecond},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []RetryEvent
				opts := RetryOptions{}
				if row.opts != nil {
					opts = *row.opts
				}
				opts.OnRetry = func(e RetryEvent) { told = append(told, e) }
				attempts := 0
				began := time.Now()
				err := retry(t.Context(), &opts, to, func() error {
					if attempts++; attempts <= row.fails {
						return row.err
					}
					return nil
				})
				if attempts != row.attempts || (err == nil) != (row.fails < row.attempts) || len(told) != len(row.most) {
					t.Fatalf("%d attempts, %v, told %+v", attempts, err, told)
				}
				var all time.Duration
				for i, e := range told {
					if e.Delay < 0 || e.Delay > row.most[i] || e.Attempt != i+1 || e.Name != "a" || e.Class != "Lab" || e.Err != row.err {
						t.Errorf("%+v, at most %s", e, row.most[i])
					}
					all += e.Delay
				}
				if took := time.Since(began); took != all {
					t.Errorf("it took %s, and the delays are %s", took, all)
				}
			})
		})
	}
	t.Run("until the context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			err := retry(ctx, nil, to, func() error { cancel(); return lost{} })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	})
	for text, opts := range map[string]RetryOptions{
		"MaxAttempts is -1":         {MaxAttempts: -1},
		"delays must be positive":   {BaseDelay: -1, MaxDelay: 1},
		"is more than MaxDelay (1s": {BaseDelay: time.Minute, MaxDelay: time.Second},
	} {
		err := retry(t.Context(), &opts, to, func() error { t.Error("it ran"); return nil })
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

func TestCallsOutsideOfAServerSaySo(t *testing.T) {
	s := &Stub{wire.Address{Binding: "Lab", Name: "a"}}
	r, err := http.NewRequest(http.MethodGet, "http://room/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func() error{
		"ServerByName": func() error { _, err := ServerByName(t.Context(), "Lab", "a"); return err },
		"Call":         func() error { _, err := Call[int](t.Context(), s, "Add", 1, 2); return err },
		"Fetch":        func() error { _, err := s.Fetch(r); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "no server is running") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
