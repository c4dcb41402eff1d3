package party

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/goparty/party/emulator/guest"
	"github.com/goparty/party/emulator/wire"
)

// The hooks, one interface each.
type (
	startHook interface {
		OnStart(ctx context.Context) error
	}
	tagsHook interface {
		ConnectionTags(ctx context.Context, conn *Connection, r *http.Request) ([]string, error)
	}
	connectHook interface {
		OnConnect(ctx context.Context, conn *Connection, r *http.Request) error
	}
	messageHook interface {
		OnMessage(ctx context.Context, conn *Connection, msg Message) error
	}
	closeHook interface {
		OnClose(ctx context.Context, conn *Connection, code int, reason string, wasClean bool) error
	}
	errorHook interface {
		OnError(ctx context.Context, conn *Connection, err error)
	}
	requestHook interface {
		OnRequest(w http.ResponseWriter, r *http.Request)
	}
	alarmHook interface {
		OnAlarm(ctx context.Context, alarm AlarmInfo) error
	}
	exceptionHook interface {
		OnException(ctx context.Context, err error)
	}
)

// hooks are looked up by names that are constants: where the linker cannot see
// which methods are asked for, it keeps all of all types.
var hooks = []struct {
	bit  wire.Hooks
	name string
	typ  reflect.Type // the interface
	want reflect.Type // the method as a function
	find func(reflect.Type) (reflect.Method, bool)
}{
	{wire.HookStart, "OnStart", reflect.TypeFor[startHook](), reflect.TypeFor[func(context.Context) error](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnStart") }},
	{wire.HookTags, "ConnectionTags", reflect.TypeFor[tagsHook](), reflect.TypeFor[func(context.Context, *Connection, *http.Request) ([]string, error)](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("ConnectionTags") }},
	{wire.HookConnect, "OnConnect", reflect.TypeFor[connectHook](), reflect.TypeFor[func(context.Context, *Connection, *http.Request) error](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnConnect") }},
	{wire.HookMessage, "OnMessage", reflect.TypeFor[messageHook](), reflect.TypeFor[func(context.Context, *Connection, Message) error](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnMessage") }},
	{wire.HookClose, "OnClose", reflect.TypeFor[closeHook](), reflect.TypeFor[func(context.Context, *Connection, int, string, bool) error](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnClose") }},
	{wire.HookError, "OnError", reflect.TypeFor[errorHook](), reflect.TypeFor[func(context.Context, *Connection, error)](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnError") }},
	{wire.HookRequest, "OnRequest", reflect.TypeFor[requestHook](), reflect.TypeFor[func(http.ResponseWriter, *http.Request)](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnRequest") }},
	{wire.HookAlarm, "OnAlarm", reflect.TypeFor[alarmHook](), reflect.TypeFor[func(context.Context, AlarmInfo) error](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnAlarm") }},
	{wire.HookException, "OnException", reflect.TypeFor[exceptionHook](), reflect.TypeFor[func(context.Context, error)](),
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnException") }},
}

// hooksOf finds the hooks that user, a pointer to a class's type, declares. A
// method that only looks like a hook is an error that shows both signatures.
func hooksOf(user any) (wire.Hooks, error) {
	t := reflect.TypeOf(user)
	var set wire.Hooks
	var errs []error
	for _, h := range hooks {
		have, ok := h.find(t)
		switch {
		case !ok:
		case t.Implements(h.typ):
			set |= h.bit
		default:
			errs = append(errs, fmt.Errorf("%s is not the hook of that name:\n\thave %s\n\twant %s",
				t.Elem().Name()+"."+h.name, signature(h.name, have.Type, 1), signature(h.name, h.want, 0)))
		}
	}
	return set, errors.Join(errs...)
}

// signature writes a method as Go source, without its first skip parameters.
func signature(name string, t reflect.Type, skip int) string {
	var in, out []string
	for i := skip; i < t.NumIn(); i++ {
		p := t.In(i).String()
		if t.IsVariadic() && i == t.NumIn()-1 {
			p = "..." + t.In(i).Elem().String()
		}
		in = append(in, p)
	}
	for i := range t.NumOut() {
		out = append(out, t.Out(i).String())
	}
	s := name + "(" + strings.Join(in, ", ") + ")"
	switch len(out) {
	case 0:
	case 1:
		s += " " + out[0]
	default:
		s += " (" + strings.Join(out, ", ") + ")"
	}
	return s
}

// object puts a user's value behind the guest's hooks.
type object struct {
	server *Server
	user   any
}

func (o *object) Start(ctx context.Context) error {
	if h, ok := o.user.(startHook); ok {
		return h.OnStart(ctx)
	}
	return nil
}

func (o *object) Tags(ctx context.Context, c *guest.Conn, r *http.Request) ([]string, error) {
	if h, ok := o.user.(tagsHook); ok {
		return h.ConnectionTags(ctx, connection(c), r)
	}
	return nil, nil
}

func (o *object) Connect(ctx context.Context, c *guest.Conn, r *http.Request) error {
	conn := connection(c)
	conn.Tags = c.Tags // ConnectionTags has run
	if h, ok := o.user.(connectHook); ok {
		return h.OnConnect(ctx, conn, r)
	}
	return nil
}

func (o *object) Message(ctx context.Context, c *guest.Conn, binary bool, data []byte) error {
	h, ok := o.user.(messageHook)
	if !ok {
		return nil
	}
	m := Message{TextMessage, data}
	if binary {
		m.Type = BinaryMessage
	}
	return h.OnMessage(ctx, connection(c), m)
}

func (o *object) Close(ctx context.Context, c *guest.Conn, code int, reason string, clean bool) error {
	if h, ok := o.user.(closeHook); ok {
		return h.OnClose(ctx, connection(c), code, reason, clean)
	}
	return nil
}

func (o *object) Error(ctx context.Context, c *guest.Conn, err error) {
	if h, ok := o.user.(errorHook); ok {
		h.OnError(ctx, connection(c), err)
	}
}

func (o *object) Request(w http.ResponseWriter, r *http.Request) {
	if h, ok := o.user.(requestHook); ok {
		h.OnRequest(w, r)
		return
	}
	o.server.Log().Warn(fmt.Sprintf("%s %s: the class %s has no OnRequest; add one to answer requests that are no WebSockets", r.Method, r.URL.Path, o.server.Class()))
	http.Error(w, "Not implemented", http.StatusNotFound)
}

func (o *object) Alarm(ctx context.Context, retries int, scheduled time.Time) error {
	h, ok := o.user.(alarmHook)
	if !ok {
		o.server.Log().Warn("the alarm fired into nothing: the class " + o.server.Class() + " has no OnAlarm")
		return nil
	}
	return h.OnAlarm(ctx, AlarmInfo{RetryCount: retries, IsRetry: retries > 0, ScheduledTime: scheduled})
}

func (o *object) Exception(ctx context.Context, err error) {
	if h, ok := o.user.(exceptionHook); ok {
		h.OnException(ctx, err)
	}
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Invoke runs an exported method for another room's [Call].
func (o *object) Invoke(ctx context.Context, method string, args []byte) ([]byte, error) {
	v := reflect.ValueOf(o.user)
	name := v.Elem().Type().Name() + "." + method
	if serverMethods[method] || isHook(method) {
		return nil, fmt.Errorf("%s is a reserved method and cannot be called from other rooms", name)
	}
	m := methodByName(v, method)
	if !m.IsValid() {
		return nil, fmt.Errorf("class %s has no method %s to call: add it to the type, exported, as %s(ctx context.Context, ...) (R, error)", o.server.Class(), method, method)
	}
	t := m.Type()
	n := t.NumOut()
	if t.NumIn() == 0 || t.In(0) != contextType || t.IsVariadic() || n == 0 || n > 2 || t.Out(n-1) != errorType {
		return nil, fmt.Errorf("%s cannot be called from other rooms:\n\thave %s\n\twant %s(ctx context.Context, ...) (R, error) or %s(ctx context.Context, ...) error",
			name, signature(method, t, 0), method, method)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(args, &raw); err != nil {
		return nil, fmt.Errorf("%s: arguments: %w", name, err)
	}
	if len(raw) != t.NumIn()-1 {
		return nil, fmt.Errorf("%s takes %d arguments behind ctx, and Call gave %d:\n\thave %s", name, t.NumIn()-1, len(raw), signature(method, t, 0))
	}
	in := []reflect.Value{reflect.ValueOf(ctx)}
	for i, r := range raw {
		p := reflect.New(t.In(i + 1))
		if err := json.Unmarshal(r, p.Interface()); err != nil {
			return nil, fmt.Errorf("%s: argument %d: %w", name, i+1, err)
		}
		in = append(in, p.Elem())
	}
	out := m.Call(in)
	if err, _ := out[n-1].Interface().(error); err != nil {
		return nil, err
	}
	if n == 1 {
		return []byte("null"), nil
	}
	value, err := json.Marshal(out[0].Interface())
	if err != nil {
		return nil, fmt.Errorf("%s: result: %w", name, err)
	}
	return value, nil
}

// serverMethods are those that a class has by embedding [Server]. (Naming them
// keeps the linker from keeping them all; a test compares.)
var serverMethods = map[string]bool{
	"Abort": true, "AfterFunc": true, "AutoRespond": true, "Broadcast": true, "Class": true, "Connection": true,
	"Connections": true, "Context": true, "Do": true, "Env": true, "ID": true, "Log": true, "Name": true,
	"Now": true, "Props": true, "Sleep": true, "Storage": true, "Stream": true, "WaitUntil": true,
}

func isHook(name string) bool {
	for _, h := range hooks {
		if h.name == name {
			return true
		}
	}
	return false
}

var _ guest.Object = (*object)(nil)

// logLine writes a line that belongs to no room.
func logLine(ctx context.Context, level slog.Level, text string) {
	guest.Log(ctx, int(level), text)
}
