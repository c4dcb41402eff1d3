package watch

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The SDK finds the methods that rooms call by name. Where the linker cannot see
// which names these are it keeps all methods of all types, which is a tenth of
// its work. So builds that are to be fast replace one file of the SDK by one that
// names every method that the server's packages declare.

const methodsFile = "methods.go"

// declared finds the names of exported methods, of types and of interfaces, in a
// file. That it finds the names of a few functions too does no harm.
var declared = regexp.MustCompile(`(?m)^(?:func \([^)]*\) |\s+)([A-Z]\w*)\(`)

// methods names the methods that a server of these packages may have. It reports
// false where they cannot be told.
func methods(all []*listed) (map[string]bool, bool) {
	names := map[string]bool{}
	for _, p := range all {
		if p.Standard || p.ImportPath == modulePath || strings.HasPrefix(p.ImportPath, modulePath+"/emulator/") {
			continue
		}
		for _, file := range slices.Concat(p.GoFiles, p.CgoFiles) {
			b, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, false
			}
			collect(names, b)
		}
	}
	return names, true
}

func collect(names map[string]bool, source []byte) {
	for _, m := range declared.FindAllSubmatch(source, -1) {
		names[string(m[1])] = true
	}
}

// writeMethods writes what the go command needs to replace the SDK's file, and
// returns the flag for it; "": this SDK has no such file.
func writeMethods(dir string, all []*listed, names map[string]bool) (flag string, err error) {
	i := slices.IndexFunc(all, func(p *listed) bool { return p.ImportPath == modulePath })
	if i < 0 {
		return "", nil
	}
	replaced := filepath.Join(all[i].Dir, methodsFile)
	have, err := os.ReadFile(replaced)
	if err != nil || !strings.Contains(string(have), "func methodByName(v reflect.Value, name string) reflect.Value") ||
		!strings.Contains(string(have), "func callable(user any) []string") {
		return "", nil //nolint:nilerr // an SDK of another version
	}
	var b strings.Builder
	b.WriteString("package party\n\nimport \"reflect\"\n\nfunc methodByName(v reflect.Value, name string) reflect.Value {\n\tswitch name {\n")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&b, "\tcase %[1]q:\n\t\treturn v.MethodByName(%[1]q)\n", name)
	}
	b.WriteString("\t}\n\treturn reflect.Value{}\n}\n\nfunc callable(any) []string { return nil }\n")
	return overlay(dir, map[string]string{replaced: b.String()})
}

// overlay writes into dir what the go command is to read instead of files, and
// returns the flag that says so. No two of the files may have the same name.
func overlay(dir string, texts map[string]string) (flag string, err error) {
	replace := map[string]string{}
	for file, text := range texts {
		replace[file] = filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(replace[file], []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return "-overlay=" + path, os.WriteFile(path, list, 0o644)
}
