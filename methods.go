//go:build !js

package party

import (
	"reflect"
	"slices"
)

// methodByName finds the method that another room calls.
func methodByName(v reflect.Value, name string) reflect.Value { return v.MethodByName(name) }

// callable are the methods of user, a pointer to a class's type, that another
// room may call. `party build` has only these linked into a bundle.
func callable(user any) []string {
	t := reflect.TypeOf(user)
	var names []string
	for i := range t.NumMethod() {
		if name := t.Method(i).Name; !serverMethods[name] && !isHook(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
