package main

import (
	"bytes"
	"testing"
)

// A call that is wrong is answered in one line that says how it is right.
func TestWrongCalls(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"too few":       {[]string{"send", "chat/lobby"}, "call it as `party send ROOM TEXT`, not with 1 argument; `party send --help` says more"},
		"none":          {[]string{"connect"}, "call it as `party connect ROOM|URL`, not with 0 arguments; `party connect --help` says more"},
		"too many":      {[]string{"alarm", "chat/lobby", "+10m"}, "call it as `party alarm ROOM`, not with 2 arguments; `party alarm --help` says more"},
		"takes none":    {[]string{"rooms", "chat/lobby"}, "call it as `party rooms`, not with 1 argument; `party rooms --help` says more"},
		"one at least":  {[]string{"abort"}, "call it as `party abort ROOM...`, not with 0 arguments; `party abort --help` says more"},
		"misspelt":      {[]string{"conect"}, `there is no command "conect"; did you mean connect?`},
		"several alike": {[]string{"re"}, `there is no command "re"; did you mean record, reload or reset?`},
		"unknown":       {[]string{"zzzzzz"}, `there is no command "zzzzzz"; ` + "`party help` lists them"},
		"a flag":        {[]string{"send", "--nope"}, "unknown flag: --nope; see `party send --help`"},
	} {
		t.Run(name, func(t *testing.T) {
			root := rootCommand()
			root.SetArgs(c.args)
			var out bytes.Buffer
			root.SetOut(&out)
			root.SetErr(&out)
			err := root.Execute()
			if err == nil {
				t.Fatal("it does something")
			}
			if got := explain(root, err); got != c.want {
				t.Errorf("it says %q, want %q", got, c.want)
			}
			if out.Len() > 0 {
				t.Errorf("it writes %q", out.String())
			}
		})
	}
}
