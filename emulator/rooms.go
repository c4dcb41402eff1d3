package emulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/emulator/wire"
)

// The table of rooms, and of the instances whose owners they are.

func (e *Emulator) allRooms() []*room {
	e.mu.RLock()
	defer e.mu.RUnlock()
	all := make([]*room, 0, len(e.rooms))
	for _, r := range e.rooms {
		all = append(all, r)
	}
	return all
}

// room returns the room at an address, making it where there is none.
func (e *Emulator) room(a wire.Address) *room {
	e.mu.RLock()
	r := e.rooms[a]
	e.mu.RUnlock()
	if r != nil {
		return r
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r = e.rooms[a]; r == nil {
		r = newRoom(e, a)
		e.rooms[a] = r
	}
	return r
}

// post brings m to the room at an address, which may have to be made again
// because the last one was forgotten in the same moment. It returns the room,
// which the caller must drain.
func (e *Emulator) post(a wire.Address, m message) *room {
	for {
		r := e.room(a)
		if r.box.put(m) {
			return r
		}
	}
}

// doAt runs f as the owner of the room at an address and returns when it has
// run. What falls due does so, so that the clock does not go on before.
func (e *Emulator) doAt(a wire.Address, f func(r *room)) {
	for {
		r := e.room(a)
		if r.do(func() { f(r) }) {
			return
		}
	}
}

// forget drops a room that is nothing any more.
func (e *Emulator) forget(r *room) {
	e.mu.Lock()
	if e.rooms[r.address] == r {
		delete(e.rooms, r.address)
	}
	e.mu.Unlock()
	e.outlive(r.address)
}

func (e *Emulator) bind(number uint64, r *room) {
	e.mu.Lock()
	e.instances[number] = r
	e.mu.Unlock()
}

func (e *Emulator) unbind(number uint64) {
	e.mu.Lock()
	delete(e.instances, number)
	e.mu.Unlock()
}

func (e *Emulator) owner(instance uint64) *room {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.instances[instance]
}

// parse finds the address that party/name stands for, by the newest code, also
// while it does not run.
func (e *Emulator) parse(name string) (wire.Address, error) {
	e.mu.RLock()
	g := e.latest
	e.mu.RUnlock()
	if g == nil {
		return wire.Address{}, errors.New("no code is running")
	}
	party, room, ok := wire.SplitPath("", name)
	if !ok {
		like := "chat/lobby"
		if len(g.bindings) > 0 && party != "" {
			like = wire.Kebab(g.bindings[0]) + "/" + party
		}
		return wire.Address{}, fmt.Errorf("%q is no room: write party/name, such as %s", name, like)
	}
	jurisdiction := ""
	if before, after, ok := strings.Cut(party, ":"); ok { // as rooms are shown
		jurisdiction, party = before, after
	}
	binding, ok := g.parties[party]
	if !ok {
		if like := inspect.Similar(party, slices.Sorted(maps.Keys(g.parties))); like != "" {
			return wire.Address{}, fmt.Errorf("no class answers at /parties/%s; did you mean %s/%s?", party, like, room)
		}
		return wire.Address{}, wire.UnknownParty(party, g.bindings)
	}
	return wire.Address{Binding: binding, Name: room, Jurisdiction: jurisdiction}, nil
}
