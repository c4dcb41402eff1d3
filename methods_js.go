//go:build js

package party

import "reflect"

// methodByName finds the method that another room calls. The linker cannot see
// which, so it keeps all methods of all types; `party build` replaces this file
// by one that names them.
func methodByName(v reflect.Value, name string) reflect.Value { return v.MethodByName(name) }
