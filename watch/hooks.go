package watch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goparty/party/emulator/inspect"
)

// Hooks are optional, so nothing fails where the name of one is misspelt: it is
// just never called. The SDK cannot see that without making programs larger, by
// looking at methods whose names it does not know. So their source is looked at.

// hookNames are the SDK's hooks.
var hookNames = []string{
	"OnStart", "ConnectionTags", "OnConnect", "OnMessage", "OnClose", "OnError", "OnRequest", "OnAlarm", "OnException",
}

// elsewhere are what people used to other libraries write for hooks.
var elsewhere = map[string]string{
	"OnOpen": "OnConnect", "OnDisconnect": "OnClose", "OnFetch": "OnRequest", "OnInit": "OnStart", "Fetch": "OnRequest",
	"Alarm": "OnAlarm", "WebSocketMessage": "OnMessage", "WebSocketClose": "OnClose", "WebSocketError": "OnError", "GetConnectionTags": "ConnectionTags",
}

// noHook is a method of a class that looks like a hook, and that nothing calls.
type noHook struct {
	file        string
	line        int
	class, name string
	mean        string // the hook
}

func (n noHook) String() string {
	return fmt.Sprintf("%s:%d: %s.%s is no hook, and nothing calls it; did you mean %s?", n.file, n.line, n.class, n.name, n.mean)
}

// noHooks finds them in the packages of a server. What cannot be read or parsed
// is for the compiler to tell.
func noHooks(packages []*listed) (all []noHook) {
	for _, p := range packages {
		if !slices.Contains(p.Imports, modulePath) {
			continue
		}
		classes, called := map[string]bool{}, map[string]bool{}
		var like []noHook
		files := token.NewFileSet()
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				continue
			}
			sdk := importName(f)
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.TypeSpec:
					if s, ok := n.Type.(*ast.StructType); ok && embedsServer(s, sdk) {
						classes[n.Name.Name] = true
					}
				case *ast.FuncDecl:
					if mean := meant(n.Name.Name); n.Recv != nil && mean != "" {
						like = append(like, noHook{near(path), files.Position(n.Pos()).Line, receiver(n), n.Name.Name, mean})
					}
				case *ast.SelectorExpr:
					called[n.Sel.Name] = true
				}
				return true
			})
		}
		for _, n := range like {
			if classes[n.class] && !called[n.name] {
				all = append(all, n)
			}
		}
	}
	return all
}

// meant is the hook that a method's name is like; "": none, or it is one.
func meant(name string) string {
	if slices.Contains(hookNames, name) {
		return ""
	}
	if hook := elsewhere[name]; hook != "" {
		return hook
	}
	if i := slices.IndexFunc(hookNames, func(h string) bool { return strings.EqualFold(h, name) }); i >= 0 {
		return hookNames[i]
	}
	if strings.HasPrefix(name, "On") || strings.HasSuffix(name, "Tags") {
		return inspect.Similar(name, hookNames)
	}
	return ""
}

// importName is what a file calls the SDK.
func importName(f *ast.File) string {
	for _, spec := range f.Imports {
		if strings.Trim(spec.Path.Value, "\"`") == modulePath {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return "party"
		}
	}
	return ""
}

func embedsServer(s *ast.StructType, sdk string) bool {
	return slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
		sel, ok := f.Type.(*ast.SelectorExpr)
		if !ok || len(f.Names) > 0 || sel.Sel.Name != "Server" {
			return false
		}
		x, ok := sel.X.(*ast.Ident)
		return ok && x.Name == sdk
	})
}

// receiver is the type that a method belongs to.
func receiver(f *ast.FuncDecl) string {
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// warn says which methods look like hooks. Each is said once, until it is gone.
func (s *Session) warn() {
	said := map[string]bool{}
	for _, n := range noHooks(s.inputs.packages) {
		key := n.class + "." + n.name
		if said[key] = true; !s.warned[key] {
			s.events.Publish(&inspect.Log{Level: "WARN", Text: n.String()})
		}
	}
	s.warned = said
}
