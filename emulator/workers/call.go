//go:build js

package workers

import (
	"encoding/base64"
	"fmt"
	"syscall/js"

	"github.com/goparty/party/emulator/wire"
)

// call is a wait of the guest for another room.
type call struct {
	wait *timer
	then func(*wire.Result) // nil: the guest waits
}

// fetchID keeps the numbers of fetches apart from those of calls, and probeID
// those of our own.
const (
	fetchID = 1 << 52
	probeID = 1 << 51
)

func (h *host) begin(id uint64, to wire.Address) {
	h.calls[id] = &call{wait: h.after(fetchLimit, func() { h.result(&wire.Result{ID: id, Err: timeout(to)}) })}
}

func timeout(to wire.Address) *wire.Failure {
	return &wire.Failure{Code: wire.CodeTimeout, Text: fmt.Sprintf("%s did not answer within %s", to, fetchLimit)}
}

// result ends a call, once; or it answers what the guest asked of storage.
func (h *host) result(m *wire.Result) {
	c := h.calls[m.ID]
	if c == nil {
		h.guest.Handle(m)
		return
	}
	delete(h.calls, m.ID)
	c.wait.stop()
	h.unwait(m.ID)
	if c.then != nil {
		c.then(m)
		return
	}
	h.guest.Handle(m)
}

func (h *host) cancelCall(id uint64) bool {
	c := h.calls[id]
	if c == nil {
		return false
	}
	delete(h.calls, id)
	c.wait.stop()
	h.unwait(id)
	return true
}

func (h *host) call(m *wire.Call) {
	waiting, failure := h.waits(m.Caller, m.ID, m.To, true)
	if failure != nil {
		h.guest.Handle(&wire.Result{ID: m.ID, Err: failure})
		return
	}
	h.begin(m.ID, m.To)
	h.shim.Call("call", m.ID, m.To.Binding, m.To.Name, m.To.Jurisdiction, m.Method, string(m.Args), waiting)
}

func (h *host) wakeup(m *wire.Wakeup) {
	// A room that has started answers at once, whatever it is doing; only one
	// that is starting may close a cycle, and sees it itself.
	waiting, failure := h.waits(m.Caller, m.ID, m.To, false)
	if failure != nil {
		h.guest.Handle(&wire.Result{ID: m.ID, Err: failure})
		return
	}
	h.begin(m.ID, m.To)
	h.shim.Call("wakeRoom", m.ID, m.To.Binding, m.To.Name, m.To.Jurisdiction, m.Hint, base64Of(m.Props), waiting)
}

// upgrade lets the WebSocket of a request that App.Handler serves go to a room.
func (h *host) upgrade(m *wire.Upgrade) {
	s := h.serves[m.Stream]
	if s == nil || s.responded {
		h.guest.Handle(&wire.Result{ID: m.ID, Err: &wire.Failure{Code: wire.CodeClosed, Text: "the client of this request has gone"}})
		return
	}
	if len(m.To.Name) > wire.MaxName {
		h.guest.Handle(&wire.Result{ID: m.ID, Err: &wire.Failure{Code: wire.CodeTooLarge, Text: nameTooLong(m.To.Name)}})
		return
	}
	h.calls[m.ID] = &call{wait: h.after(fetchLimit, func() { h.result(&wire.Result{ID: m.ID, Err: timeout(m.To)}) }), then: func(r *wire.Result) {
		if r.Err == nil { // answered with the room's own response
			s.responded = true
			defer s.forget()
		}
		h.guest.Handle(r)
	}}
	h.shim.Call("upgrade", m.ID, m.To.Binding, m.To.Name, m.To.Jurisdiction, m.Hint, h.address(m.Request), flat(m.Request.Header), base64Of(m.Props))
}

func nameTooLong(name string) string {
	return fmt.Sprintf("the room's name has %d bytes; at most %d are allowed: use a shorter one, such as a hash", len(name), wire.MaxName)
}

// waits notes that a caller waits for a room, for a turn of it or only for its
// start, and returns what that room is told of who waits for it.
func (h *host) waits(who wire.Caller, id uint64, to wire.Address, turn bool) (string, *wire.Failure) {
	if len(to.Name) > wire.MaxName {
		return "", &wire.Failure{Code: wire.CodeTooLarge, Text: nameTooLong(to.Name)}
	}
	if h.room == nil {
		return "", nil
	}
	return h.room.waits(who, id, to, turn)
}

func (h *host) unwait(id uint64) {
	if h.room != nil {
		delete(h.room.waitsFor, id)
	}
}

func (r *room) waits(who wire.Caller, id uint64, to wire.Address, turn bool) (string, *wire.Failure) {
	ev := r.running
	if who.Turn == 0 || who.Turn != r.number || ev == nil && !r.starting {
		return "", nil // background work holds nobody up
	}
	var w waiting
	if ev != nil {
		w = append(w, ev.waiting...)
	}
	for _, other := range r.queue {
		w = append(w, other.waiting...)
	}
	self := r.address.String()
	if path := w.cycle(self, to.String()); turn && path != nil {
		return "", &wire.Failure{Code: wire.CodeCycle, Text: cycleText(path)}
	}
	r.waitsFor[id] = to
	return w.through(self).String(), nil
}

// probe looks for a cycle that a call to this room has closed: its turn may
// wait for others that wait in the end for the caller. found gets the rooms
// along the cycle, or "".
func (r *room) probe(w waiting, found func(text string)) {
	if len(w) == 0 || len(r.waitsFor) == 0 {
		found("")
		return
	}
	self := r.address.String()
	left := len(r.waitsFor)
	told := false
	for _, to := range r.waitsFor {
		if path := w.cycle(self, to.String()); path != nil {
			// As whoever made the call sees it, the last but one: it is the first.
			if n := len(path); n > 2 {
				path = append([]string{path[n-2]}, path[:n-1]...)
			}
			found(cycleText(path))
			return
		}
	}
	for _, to := range r.waitsFor {
		r.probes++
		id := probeID | r.probes
		r.calls[id] = &call{
			wait: r.after(fetchLimit, func() { r.result(&wire.Result{ID: id}) }),
			then: func(m *wire.Result) {
				left--
				if !told && (len(m.Value) > 0 || left == 0) {
					told = true
					found(string(m.Value))
				}
			},
		}
		r.shim.Call("probe", id, to.Binding, to.Name, to.Jurisdiction, w.through(self).String())
	}
}

func base64Of(props []byte) any {
	if props == nil {
		return nil
	}
	return base64.StdEncoding.EncodeToString(props)
}

// propsOf reads props of RouteRequest, or of PartyServer's older form; nil:
// none.
func propsOf(v js.Value) []byte {
	s := text(v)
	if s == "" {
		return nil
	}
	if s[0] == '{' || s[0] == '[' {
		return []byte(s)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}
