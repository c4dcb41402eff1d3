package tui

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/goparty/party/emulator/inspect"
)

var update = flag.Bool("update", false, "write the frames in testdata and the README's table of keys")

func sameType(a, b any) bool { return reflect.TypeOf(a) == reflect.TypeOf(b) }

func stringOf(v tea.Msg) string { return fmt.Sprint(v) }

// frames are the pictures that are kept: what was pressed before each.
var frames = []struct {
	name  string
	keys  string
	story bool
	first bool // nothing has happened yet
	more  []inspect.Event
}{
	{name: "rooms", story: true},
	{name: "first", first: true},
	{name: "messages", story: true, keys: "enter up up up enter"},
	{name: "connections", story: true, keys: "enter 2 enter"},
	{name: "storage", story: true, keys: "enter 3 right"},
	{name: "alarm", story: true, keys: "down down down enter 4"},
	{name: "life", story: true, keys: "enter 5"},
	{name: "log", story: true, keys: "L up up enter"},
	{name: "palette", story: true, keys: ": r e"},
	{name: "keys", story: true, keys: "?"},
	{name: "reset", story: true, keys: "X"},
	{name: "broken", story: true, more: []inspect.Event{
		&inspect.FilesChanged{Files: []string{"main.go"}, Count: 1}, &inspect.BuildStarted{Package: "."},
		&inspect.BuildFailed{Took: 312 * time.Millisecond, Errors: []inspect.BuildError{
			{File: "main.go", Line: 41, Column: 7, Text: "undefined: foo"},
			{File: "room.go", Line: 7, Column: 2, Text: `cannot use "x" (untyped string constant) as int value in assignment`},
		}, Output: "# example\n./main.go:41:7: undefined: foo"},
	}},
}

var sizes = [][2]int{{40, 20}, {80, 24}, {120, 36}, {200, 50}}

func TestFrames(t *testing.T) {
	for _, frame := range frames {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s-%d", frame.name, size[0]), func(t *testing.T) {
				driveSample(t, size[0], size[1], func(d *driver, f *fake) {
					if frame.first {
						f.mu.Lock()
						f.snap.Rooms = nil
						f.mu.Unlock()
						d.pass(2 * time.Second)
					}
					if frame.story {
						f.happen(story()...)
						d.pass(time.Second)
						f.mu.Lock()
						f.snap.Rooms[0].Traffic.In += 340
						f.mu.Unlock()
						d.pass(time.Second)
					}
					if frame.more != nil {
						f.happen(frame.more...)
						d.pass(time.Second)
					}
					d.press(frame.keys)
					d.pass(time.Second)
					golden(t, fmt.Sprintf("%s-%d", frame.name, size[0]), d.screen())
					for i, line := range strings.Split(d.m.draw().String(), "\n") {
						if w := width(line); w != size[0] {
							t.Errorf("line %d has %d cells", i+1, w)
						}
					}
				})
			})
		}
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./tui -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("the frame is another than %s; look at it, and go test ./tui -update takes it over:\n%s", path, got)
	}
}
