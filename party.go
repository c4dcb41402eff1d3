// Package party is PartyServer for Go: realtime servers as Go types with
// lifecycle hooks, each room addressed by name, with its own connections,
// storage and alarm, and asleep when nobody needs it, as on Cloudflare's Durable
// Objects.
//
//	type Chat struct{ party.Server }
//
//	func (c *Chat) OnMessage(ctx context.Context, conn *party.Connection, msg party.Message) error {
//		c.Broadcast(msg, conn.ID)
//		return nil
//	}
//
//	var App = party.App{Servers: party.Servers{
//		"chat": party.ClassOf[Chat](party.Options{Hibernate: true}),
//	}}
//
//	func main() { party.Main(App) }
//
// The same program is a plugin of `party dev`, a server of its own with
// `go run .`, and code that tests can call.
//
// A room runs one turn at a time: a hook is never called while another hook of
// the same room runs, so a server's fields need no locks. See [Server].
package party

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// App is a program: its classes, and what answers requests before they do.
type App struct {
	// Servers are the classes by binding.
	Servers Servers
	// Handler gets every request where it is set, and passes on to rooms what
	// it wants with [RouteRequest]. Nil: requests to /parties/CLASS/ROOM reach
	// their rooms, and everything else is answered 404.
	Handler http.Handler
}

// Servers maps a binding to its class. A binding is a Go identifier; in URLs it
// stands in kebab case: "MyServer" answers at /parties/my-server.
type Servers map[string]Class

// Options of a class.
type Options struct {
	// Hibernate lets a room leave memory while its connections stay open. The
	// next event makes a new value of the class and runs OnStart again, so
	// what must last belongs in connection state, not in fields.
	Hibernate bool
	// Subprotocols that the class speaks, best first. The first one that the
	// client offers too is agreed on.
	Subprotocols []string
}

// Class is a Go type that embeds [Server], made by [ClassOf].
type Class struct {
	options Options
	hooks   wire.Hooks
	methods []string
	new     func(*guest.Instance) guest.Object
	err     error
}

// ClassOf makes a class of T, a struct that embeds Server; one that does not
// is a compile error. At most one Options is taken.
//
// A method of T that bears a hook's name with another signature makes [Main]
// fail with both signatures.
func ClassOf[T any, P interface {
	*T
	server() *Server
}](opts ...Options) Class {
	// Little is done here, because the compiler does it again for each class.
	return classOf(opts, func() any { return P(new(T)) }, func(user any) *Server { return user.(P).server() })
}

func classOf(opts []Options, create func() any, server func(user any) *Server) Class {
	var c Class
	if len(opts) > 1 {
		c.err = errors.New("ClassOf takes one Options at most")
	} else if len(opts) == 1 {
		c.options = opts[0]
		c.options.Subprotocols = slices.Clone(c.options.Subprotocols)
	}
	if c.err == nil {
		c.err = checkEmbedding(create(), server)
	}
	if c.err == nil {
		c.hooks, c.err = hooksOf(create())
		c.methods = callable(create())
	}
	c.new = func(in *guest.Instance) guest.Object {
		user := create()
		s := server(user)
		s.in = in
		return &object{server: s, user: user}
	}
	return c
}

// checkEmbedding makes sure that a new value of the class has a Server of its own.
func checkEmbedding(user any, server func(any) *Server) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%s embeds *party.Server: embed party.Server itself, without the star", reflect.TypeOf(user).Elem())
		}
	}()
	if server(user) == nil {
		panic("nil")
	}
	return nil
}

// Program checks the app and turns it into what an emulator loads. [Main] does so
// by itself; it is for tools that run an app in another way, such as partytest.
func (a App) Program() (guest.Program, error) {
	p := guest.Program{Module: version(), Handler: a.Handler}
	var bindings []string
	for b := range a.Servers {
		bindings = append(bindings, b)
	}
	slices.Sort(bindings)
	if len(bindings) == 0 {
		return p, errors.New(`the App has no Servers: add one, such as party.Servers{"chat": party.ClassOf[Chat]()}`)
	}
	if err := wire.CheckBindings(bindings); err != nil {
		return p, err
	}
	var errs []error
	for _, b := range bindings {
		c := a.Servers[b]
		switch {
		case c.err != nil:
			errs = append(errs, fmt.Errorf("class %q: %w", b, c.err))
		case c.new == nil:
			errs = append(errs, fmt.Errorf("class %q is empty: make it with party.ClassOf", b))
		}
		p.Classes = append(p.Classes, guest.Class{
			Class: wire.Class{Binding: b, Hibernate: c.options.Hibernate, Subprotocols: c.options.Subprotocols, Hooks: c.hooks, Methods: c.methods},
			New:   c.new,
		})
	}
	return p, errors.Join(errs...)
}

// Errors, wrapped with what happened and what to try; use errors.Is.
var (
	// ErrNoTurn: the operation works during a turn only.
	ErrNoTurn = guest.ErrNoTurn
	// ErrInTurn: [Server.Do] was called from within a turn.
	ErrInTurn = guest.ErrInTurn
	// ErrCycle: waiting for that room would never have ended, since it waits
	// for this one.
	ErrCycle = guest.ErrCycle
	// ErrClosed: the connection, or this instance of the room, is gone.
	ErrClosed = guest.ErrClosed
	// ErrTooLarge: a limit on sizes; the error names it.
	ErrTooLarge = guest.ErrTooLarge
)
