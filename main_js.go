//go:build js

package party

import (
	"fmt"
	"os"

	"github.com/goparty/party/emulator/workers"
)

// Main runs the app and does not return: as one room, or as App.Handler,
// whatever the engine that started the program asks for. It ends with status 1
// where the app is wrong, saying why.
func Main(app App) {
	p, err := app.Program()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	workers.Run(p)
}

// callable is asked for in other builds.
func callable(any) []string { return nil }
