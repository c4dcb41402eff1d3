//go:build js

package workers

import (
	"fmt"
	"net/url"
	"os"
	"sync"
	"syscall/js"
	"time"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// host is what a guest takes for its emulator. What it keeps belongs to its
// mailbox: whoever finds that unowned owns it until it is empty. There is one
// thread, but a goroutine may be put aside anywhere for the garbage collector.
type host struct {
	shim  js.Value // what JavaScript does for us
	guest *guest.Guest
	room  *room // nil: App.Handler
	base  *url.URL
	debug bool // clients may see stacks

	serves  map[uint64]*serve // by stream
	fetches map[uint64]*fetch
	calls   map[uint64]*call

	timers    map[uint64]func()
	lastTimer uint64

	mu    sync.Mutex
	box   []func()
	owned bool
}

// Run lets p serve what JavaScript says, and does not return.
func Run(p guest.Program) {
	shim := js.Global().Get("party")
	if shim.IsUndefined() {
		fmt.Fprintln(os.Stderr, "this program was built for Cloudflare's engine: `party build --target=workers` makes the bundle that runs it there")
		os.Exit(1)
	}
	h := &host{
		shim: shim, guest: guest.New(p),
		serves: map[uint64]*serve{}, fetches: map[uint64]*fetch{}, calls: map[uint64]*call{},
		timers: map[uint64]func(){},
	}
	welcome := &wire.Welcome{Generation: 1, Env: variables(shim.Get("env"))}
	h.debug = welcome.Env["PARTY_TEST"] != "" // as in the emulator's scripts
	welcome.Debug = h.debug
	h.guest.Connect(wire.NewPipe(h.handle, func() {}, func() {}), welcome)
	on := js.Global().Get("Object").New()
	h.listen(on)
	if shim.Get("role").String() == "room" {
		if err := h.makeRoom(p); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		h.room.listen(on)
	}
	shim.Call("ready", on)
	select {}
}

func variables(env js.Value) map[string]string {
	all := map[string]string{}
	keys := js.Global().Get("Object").Call("keys", env)
	for i := range keys.Length() {
		k := keys.Index(i).String()
		all[k] = env.Get(k).String()
	}
	return all
}

// hear lets JavaScript call f by a name. What f does is done in the mailbox's
// turn, and must not wait.
func (h *host) hear(on js.Value, name string, f func(args []js.Value)) {
	on.Set(name, js.FuncOf(func(_ js.Value, args []js.Value) any {
		h.post(func() { f(args) })
		return nil
	}))
}

// post does f once nothing else is being done.
func (h *host) post(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.box = append(h.box, f)
	if h.owned {
		return
	}
	h.owned = true
	for len(h.box) > 0 {
		all := h.box
		h.box = nil
		h.mu.Unlock()
		for _, f := range all {
			f()
		}
		h.mu.Lock()
	}
	h.owned = false
}

// listen hears what rooms and App.Handler have in common.
func (h *host) listen(on js.Value) {
	h.hear(on, "request", h.request)
	h.hear(on, "chunk", func(a []js.Value) {
		var data []byte
		if !a[1].IsNull() {
			data = bytesOf(a[1])
		}
		stream, end, err := uint64(a[0].Int()), a[2].Bool(), text(a[3])
		if s := h.serves[stream]; s != nil {
			s.chunk(data, end, err)
		} else if f := h.fetches[stream]; f != nil {
			f.chunk(data, end, err)
		}
	})
	h.hear(on, "due", func(a []js.Value) {
		id := uint64(a[0].Int())
		if f := h.timers[id]; f != nil {
			delete(h.timers, id)
			f()
		}
	})
	h.hear(on, "ack", func(a []js.Value) {
		stream := uint64(a[0].Int())
		h.guest.Handle(&wire.Ack{Stream: stream, N: a[1].Int(), Body: h.fetches[stream] != nil})
	})
	h.hear(on, "reset", func(a []js.Value) { h.reset(uint64(a[0].Int())) })
	h.hear(on, "head", func(a []js.Value) {
		if f := h.fetches[uint64(a[0].Int())]; f != nil {
			f.head(a[1].Int(), unflat(a[2].String()), a[3].Bool())
		}
	})
	h.hear(on, "failed", func(a []js.Value) {
		if f := h.fetches[uint64(a[0].Int())]; f != nil {
			f.fail(&wire.Failure{Code: wire.Code(a[1].Int()), Text: text(a[2])})
		}
	})
	h.hear(on, "result", func(a []js.Value) {
		m := &wire.Result{ID: uint64(a[0].Int())}
		if a[1].IsNull() {
			m.Err = &wire.Failure{Code: wire.Code(a[2].Int()), Text: text(a[3]), Stack: text(a[4])}
		} else {
			m.Value = []byte(a[1].String())
		}
		h.result(m)
	})
}

// handle takes a message of the guest. It runs on the goroutine of whoever
// sends it.
func (h *host) handle(m wire.Message) {
	if h.room != nil && h.room.storage.handle(m) {
		return
	}
	h.post(func() { h.operate(m) })
}

// operate does what the guest asked for.
func (h *host) operate(m wire.Message) {
	switch m := m.(type) {
	case *wire.Response:
		if s := h.serves[m.Stream]; s != nil {
			s.respond(m)
		}
	case *wire.Chunk:
		if f := h.fetches[m.Stream]; f != nil {
			f.write(m)
		}
	case *wire.Ack:
		if s := h.serves[m.Stream]; s != nil && m.Body {
			s.consumed(m.N)
		} else if f := h.fetches[m.Stream]; f != nil && !m.Body {
			f.consumed(m.N)
		}
	case *wire.Reset:
		if f := h.fetches[m.Stream]; f != nil {
			f.cancel()
		}
	case *wire.Call:
		h.call(m)
	case *wire.Wakeup:
		h.wakeup(m)
	case *wire.Fetch:
		h.fetch(m)
	case *wire.Upgrade:
		h.upgrade(m)
	case *wire.Log:
		h.log(m.Level, m.Text)
	case *wire.Exception:
		h.shim.Call("exception", m.Hook, m.Err.Text, m.Err.Stack)
	case *wire.Cancel:
		if !h.cancelCall(m.ID) && h.room != nil {
			h.room.cancel(m.ID)
		}
	default:
		if h.room != nil {
			h.room.operate(m)
		}
	}
}

func (h *host) log(level int, s string) { h.shim.Call("log", level, s) }

// hold keeps the engine from letting the room sleep; work is what it is to
// wait for as well.
func (h *host) hold(id uint64, work bool) {
	if h.room != nil {
		h.shim.Call("hold", id, work)
	}
}

func (h *host) release(id uint64) {
	if h.room != nil {
		h.shim.Call("release", id)
	}
}

// timer is one of the engine's. Those of the Go runtime cannot be taken back,
// and the engine lets no room sleep that has one.
type timer struct {
	h  *host
	id uint64
}

// after calls f in the mailbox's turn once d has passed.
func (h *host) after(d time.Duration, f func()) *timer {
	h.lastTimer++
	t := &timer{h, h.lastTimer}
	h.timers[t.id] = f
	h.shim.Call("timer", t.id, float64((d+time.Millisecond-1)/time.Millisecond))
	return t
}

func (t *timer) stop() {
	if t.h.timers[t.id] != nil {
		delete(t.h.timers, t.id)
		t.h.shim.Call("stopTimer", t.id)
	}
}
