// Package testscripts runs the scripts beside it, which say what the product
// does. They also run with `party test ./testscripts` from the module's root.
package testscripts

import (
	"testing"

	"github.com/goparty/party/devclient/script"
)

func TestScripts(t *testing.T) {
	script.RunTest(t, script.Options{Files: []string{"."}, Dir: ".."})
}
