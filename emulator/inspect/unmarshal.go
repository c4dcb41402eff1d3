package inspect

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// ErrUnknownType is wrapped by the error for an event of a type that this
// version does not know.
var ErrUnknownType = errors.New("unknown type of event")

// types has one event of each type.
var types = func() map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for _, e := range []Event{
		&RoomStarted{}, &RoomHibernated{}, &RoomEvicted{}, &RoomAborted{}, &RoomReset{},
		&ConnectionOpened{}, &ConnectionRefused{}, &ConnectionClosed{}, &ConnectionCut{}, &ConnectionDelayed{},
		&MessageIn{}, &MessageOut{}, &Request{}, &Turn{}, &TurnLost{}, &Commit{}, &CommitFailing{}, &StorageWritten{},
		&AlarmSet{}, &AlarmFired{}, &AlarmRetried{}, &AlarmGivenUp{}, &Log{}, &Exception{},
		&FilesChanged{}, &BuildStarted{}, &BuildDone{}, &BuildFailed{}, &BuildCanceled{},
		&Swapped{}, &Retired{}, &WorkLost{}, &ReloadFailed{}, &FirstAnswer{},
		&GenerationStarted{}, &GenerationFailed{}, &Crash{}, &Ready{}, &ClockMoved{},
	} {
		all[e.Type()] = reflect.TypeOf(e).Elem()
	}
	return all
}()

// Unmarshal reads what [Marshal] wrote.
func Unmarshal(line []byte) (Event, error) {
	var head struct{ Type string }
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, fmt.Errorf("this is no event: %w", err)
	}
	typ, ok := types[head.Type]
	if !ok {
		return nil, fmt.Errorf("%w %q", ErrUnknownType, head.Type)
	}
	e := reflect.New(typ).Interface().(Event)
	if err := json.Unmarshal(line, e); err != nil {
		return nil, fmt.Errorf("event %s: %w", head.Type, err)
	}
	var payloads []*Payload
	switch e := e.(type) {
	case *MessageIn:
		payloads = []*Payload{&e.Payload}
	case *MessageOut:
		payloads = []*Payload{&e.Payload}
	case *Request:
		payloads = []*Payload{&e.Body, &e.Answer}
	}
	for _, p := range payloads {
		if err := p.empty(); err != nil {
			return nil, fmt.Errorf("event %s: hex: %w", head.Type, err)
		}
	}
	return e, nil
}

// empty is the opposite of fill.
func (p *Payload) empty() (err error) {
	if p.Binary {
		p.Data, err = hex.DecodeString(p.Hex)
	} else if p.Text != "" {
		p.Data = []byte(p.Text)
	}
	p.Text, p.Hex = "", ""
	return err
}

// Types lists the types of events, by name.
func Types() []string { return slices.Sorted(maps.Keys(types)) }

// KnownType reports whether there are events of a type, or whose types begin
// with it, as message.in does with message.
func KnownType(name string) bool {
	for t := range types {
		if t == name || strings.HasPrefix(t, name+".") {
			return true
		}
	}
	return false
}
