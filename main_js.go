//go:build js

package party

import (
	"fmt"
	"os"
)

// Main checks the app. The engine that runs WebAssembly rooms calls their hooks
// itself; this build of the SDK has no host for one yet, and says so.
func Main(app App) {
	if _, err := app.program(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "this build has no host to run rooms on; build without GOOS=js, or use `party dev`")
	os.Exit(1)
}
