//go:build !partyplugin && !js

package party

import (
	"fmt"
	"os"

	"github.com/goparty/party/emulator"
)

// Main runs the app and does not return: as the plugin of `party dev` where
// that has built it, and otherwise as a server of its own with the emulator
// inside. The latter reads --port, --host, --state and --env-file from the
// command line, or PARTY_PORT, PARTY_HOST, PARTY_STATE and PARTY_ENV_FILE from
// the environment. It ends with status 1 where the app is wrong, saying why.
func Main(app App) {
	p, err := app.Program()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(emulator.Standalone(p))
}
