package script

import (
	"slices"

	"github.com/goparty/party/emulator/inspect"
)

// opened puts down a connection: before the turn that let it in.
func (w *writer) opened(i int, e *inspect.ConnectionOpened) {
	begin := w.turns[e.Room].connect(i, e.Connection)
	c := w.connecting(e.Room, e.Connection)
	w.open[e.Room] = append(w.open[e.Room], c)
	w.put(begin, false, w.connectLine(c, e.URI))
}

// connecting is the connection that is about to open.
func (w *writer) connecting(room, id string) *recorded {
	return &recorded{room: room, id: id, name: w.r.names.opening(room, id, len(w.opens(room, id)))}
}

// opens are the connections that a room has had with an id.
func (w *writer) opens(room, id string) (all []*recorded) {
	for _, c := range w.open[room] {
		if c.id == id {
			all = append(all, c)
		}
	}
	return all
}

// newest is the open connection with an id that speaks and is spoken to; oldest
// the one that ends, where a client came again before that.
func (w *writer) newest(room, id string) *recorded {
	all := w.opens(room, id)
	for i := len(all) - 1; i >= 0; i-- {
		if !all[i].gone {
			return all[i]
		}
	}
	return nil
}

func (w *writer) oldest(room, id string) *recorded {
	for _, c := range w.opens(room, id) {
		if !c.gone {
			return c
		}
	}
	return nil
}

func (w *writer) connectLine(c *recorded, uri string) string {
	at, query := splitURI(uri)
	line := "connect " + c.name + " " + quote(at)
	if c.id != "" {
		line += " -id " + quote(c.id) // also one that the server made up: what it says may depend on it
	}
	for _, kv := range query {
		line += " -query " + quote(kv)
	}
	return line
}

// receivers finds out who was sent a message.
func (w *writer) receivers(i int, e *inspect.MessageOut) []*recorded {
	connecting, begun := w.turns[e.Room].connecting(i)
	var coming *recorded
	if begun {
		coming = w.connecting(e.Room, connecting)
	}
	if e.Connection != "" {
		if coming != nil && connecting == e.Connection {
			return []*recorded{coming}
		}
		if c := w.newest(e.Room, e.Connection); c != nil {
			return []*recorded{c}
		}
		return nil
	}
	var all []*recorded
	for _, c := range w.open[e.Room] {
		if !c.gone && !slices.Contains(e.Without, c.id) {
			all = append(all, c)
		}
	}
	if coming != nil && !slices.Contains(e.Without, connecting) {
		all = append(all, coming)
	}
	// Those that were about to close were left out.
	for len(all) > e.Count {
		least, which := len(w.events)+1, len(all)-1
		for n, c := range all {
			if _, j := w.end(i, c.room, c.id); j >= 0 && j < least {
				least, which = j, n
			}
		}
		all = slices.Delete(all, which, which+1)
	}
	return all
}
