//go:build partyplugin

package party

import (
	"fmt"
	"os"

	"github.com/goparty/party/emulator/guest"
)

// remote is connected before any of the user's code runs, so that the process
// ends with its emulator even where that code hangs.
var remote, remoteErr = guest.Attach()

// Main runs the app. It does not return before the server ends.
func Main(app App) {
	if remoteErr != nil {
		fmt.Fprintln(os.Stderr, remoteErr)
		os.Exit(1)
	}
	if remote == nil {
		fmt.Fprintln(os.Stderr, "this program was built as a plugin of `party dev`, which starts it; run `party dev`, or build it without the tag partyplugin")
		os.Exit(1)
	}
	p, err := app.Program()
	if err != nil {
		remote.Refuse(err)
	}
	remote.Run(p)
}
