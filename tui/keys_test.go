package tui

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// together lists the scopes that hold at the same time.
var together = [][]scope{
	{inRooms, onRoom, moving, always},
	{inMessages, inRoom, onRoom, moving, always},
	{inConnections, inRoom, onRoom, moving, always},
	{inStorage, inRoom, onRoom, moving, always},
	{inAlarm, inRoom, onRoom, moving, always},
	{inLife, inRoom, onRoom, moving, always},
	{inClients, inRoom, onRoom, moving, always},
	{inLog, moving, always},
	{inBuild, moving, always},
}

func TestEachKeyMeansOneThing(t *testing.T) {
	// A tab may have its own for what is also of the room, such as copying.
	hides := map[string]bool{"y": true, "enter": true}
	for _, scopes := range together {
		has := map[string]string{}
		for _, b := range bindings() {
			if !slices.Contains(scopes, b.scope) {
				continue
			}
			for _, k := range b.keys {
				if other := has[k]; other != "" && !hides[k] {
					t.Errorf("with %v, %s is both %q and %q", scopes[0], k, other, b.help)
				}
				has[k] = b.help
			}
		}
	}
}

func TestBindingsAreWhole(t *testing.T) {
	titled := map[scope]bool{}
	for _, s := range scopeTitles {
		titled[s.scope] = true
	}
	for _, b := range bindings() {
		if b.help == "" || b.short == "" || !titled[b.scope] {
			t.Errorf("%+v lacks words or a place", b)
		}
		if len(b.keys) == 0 && b.name == "" {
			t.Errorf("%q cannot be reached", b.help)
		}
		if strings.ToLower(b.name) != b.name || strings.Contains(b.name, " ") {
			t.Errorf("%q is no name of a command", b.name)
		}
	}
	for _, scopes := range together {
		names := map[string]bool{}
		for _, b := range bindings() {
			if b.name != "" && slices.Contains(scopes, b.scope) {
				if names[b.name] {
					t.Errorf("with %v, :%s is there twice", scopes[0], b.name)
				}
				names[b.name] = true
			}
		}
	}
}

func TestREADMEHasTheTableOfKeys(t *testing.T) {
	const begin, end = "<!-- keys: go test ./tui -update writes this -->\n", "<!-- end of keys -->\n"
	path := filepath.Join("..", "README.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("the README lacks %q or %q", begin, end)
	}
	if want := markdown() + "\n"; old != want {
		if !*update {
			t.Fatal("the README's table of keys is another than the bindings; go test ./tui -update writes it")
		}
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestActions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		keys  string
		text  string // typed then, and enter
		asked string // of the emulator
		sees  string
	}{
		{"hibernate", "h", "", "hibernate chat/lobby false", "chat/lobby sleeps"},
		{"evict", "e", "", "evict chat/lobby", "chat/lobby was evicted"},
		{"abort", "a", "", "abort chat/lobby", "chat/lobby was aborted"},
		{"fire", "down down down f", "", "fire reminder/ada", "the alarm of reminder/ada was fired"},
		{"fire without an alarm", "f", "", "", "fire alarm: the room has no alarm"},
		{"hibernate what sleeps", "down h", "", "", "hibernate: the room is hibernated"},
		{"reset asks first", "X", "", "", "There is no way back"},
		{"reset", "X y", "", "reset chat/lobby", "chat/lobby was reset"},
		{"no reset", "X n", "", "", "Room"},
		{"crash", "K y", "", "crash", "the code has crashed"},
		{"reload", "R", "", "reload", "reloaded"},
		{"advance", "t", "90s", "advance 1m30s", "the clock is at"},
		{"advance by days", "t", "+2d", "advance 48h0m0s", "the clock is at"},
		{"advance by nonsense", "t", "soon", "", `"soon" is no time`},
		{"send to all", "S", "hello", "send chat/lobby  hello", "sent to 2 connections"},
		{"send to nobody", "down down S", "", "", "send to all: the room has no connections"},
		{"send to one", "enter 2 down s", "psst", "send chat/lobby bob-77aa psst", "sent to 2 connections"},
		{"cut one", "enter 2 x", "", "cut chat/lobby ada-4f9c", "1 connection cut; the server sees 1006"},
		{"delay one", "enter 2 D", "300ms", "delay chat/lobby ada-4f9c 300ms", "1 connection delayed by 300ms"},
		{"cut all", ": c u t - a l l enter y", "", "cut chat/lobby", "1 connection cut"},
		{"fail a commit", ": f a i l enter", "", "failcommit chat/lobby", "the next commit of chat/lobby will fail"},
		{"move an alarm", "down down down enter 4 m", "+10m", "alarm reminder/ada 2000-01-01T00:10:", "is set to 00:10:"},
		{"delete an alarm", "down down down enter 4 m", "none", "alarm reminder/ada 0001-01-01T00:00:00Z", "is deleted"},
		{"record without a recorder", "w", "", "", "use `party record FILE`"},
		{"edit a key", "enter 3 home E ctrl+u", `"bye"`, `put chat/lobby config "bye"`, "config is written"},
		{"delete a key", "enter 3 down D y", "", "put chat/lobby last ", "last is deleted"},
		{"write with SQL", "enter 3 i", "DELETE FROM messages", "", "Write to the storage of chat/lobby?"},
		{"no such command", ": x y z z y enter", "", "", `there is no command "xyzzy" here`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			driveSample(t, 120, 36, func(d *driver, f *fake) {
				d.press(tt.keys)
				if tt.text != "" {
					d.text(tt.text)
					d.press("enter")
				}
				d.pass(time.Second)
				d.sees(tt.sees)
				f.mu.Lock()
				defer f.mu.Unlock()
				for _, a := range f.asked {
					if tt.asked != "" && strings.HasPrefix(a, tt.asked) {
						return
					}
					if !strings.HasPrefix(a, "sql") && tt.asked == "" {
						t.Errorf("the emulator was asked: %s", a)
					}
				}
				if tt.asked != "" {
					t.Errorf("the emulator was asked %q, not %q", f.asked, tt.asked)
				}
			})
		})
	}
}

func TestARefusalToHibernateOffersForce(t *testing.T) {
	driveSample(t, 80, 24, func(d *driver, f *fake) {
		f.fails["hibernate chat/lobby false"] = errorText("chat/lobby cannot hibernate: a timer of AfterFunc keeps it awake")
		d.press("h")
		d.sees("a timer of AfterFunc keeps it", "y hibernate it by force")
		d.press("y")
		d.sees("chat/lobby hibernates (forced)")
		if !slices.Contains(f.asked, "hibernate chat/lobby true") {
			t.Errorf("asked: %q", f.asked)
		}
	})
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestErrorsStayUntilAKey(t *testing.T) {
	driveSample(t, 80, 24, func(d *driver, f *fake) {
		f.fails["evict"] = errorText("the guest does not answer\ntry again")
		d.press("e")
		d.pass(time.Minute)
		d.sees("the guest does not answer", "try again")
		d.press("down")
		d.lacks("the guest does not answer")
	})
}

func TestFilterAsOneTypes(t *testing.T) {
	driveSample(t, 80, 24, func(d *driver, f *fake) {
		d.press("/")
		d.text("rem")
		d.sees("reminder/ada", "reminder/bob")
		d.lacks("chat/lobby")
		d.text(" bo")
		d.lacks("reminder/ada")
		d.press("enter")
		d.sees("1 of 6 rooms with rem bo")
		d.press("e")
		if !slices.Contains(f.asked, "evict reminder/bob") {
			t.Errorf("asked: %q", f.asked)
		}
		d.press("/ esc")
		d.sees("6 rooms", "chat/lobby")
		d.press("/")
		d.text("hibern")
		d.sees("chat/random")
		d.lacks("chat/lobby")
		d.text("zzz")
		d.sees(`no room has "hibernzzz"`)
	})
}

func TestTheCursorStaysOnItsRoom(t *testing.T) {
	driveSample(t, 120, 24, func(d *driver, f *fake) {
		d.press("down")
		f.mu.Lock()
		f.snap.Rooms = append([]inspect.Room{{Room: "aa/new", State: inspect.Cold}}, f.snap.Rooms...)
		f.mu.Unlock()
		d.pass(2 * time.Second)
		d.sees("▌ chat/random")
		d.press("o o")
		d.sees("▌ chat/random", "Conns ▾")
		d.press("home")
		d.sees("▌ chat/lobby") // it has the most connections
		d.press("O end")
		d.sees("▌ chat/lobby", "Conns ▴")
	})
}

func TestPauseAndSearch(t *testing.T) {
	driveSample(t, 120, 30, func(d *driver, f *fake) {
		d.press("enter")
		say := func(seq uint64, text string) {
			f.happen(&inspect.MessageIn{Header: at(seq, "chat/lobby", 0), Connection: "ada", Payload: inspect.NewPayload(false, []byte(text))})
			d.pass(200 * time.Millisecond)
		}
		say(1, "one fish")
		d.sees("▌ ", "one fish")
		d.press("space")
		say(2, "two fish")
		d.sees("paused, 1 more since")
		d.lacks("two fish")
		d.press("space")
		d.sees("two fish")
		say(3, "red herring")
		d.press("/")
		d.text("FISH")
		d.sees("one fish", "two fish")
		d.lacks("red herring")
		d.press("esc up y")
		if d.copy != "two fish" {
			t.Errorf("copied %q", d.copy)
		}
		say(4, "blue fish")
		d.sees("▌ 00:00:00.2", "end follows what comes")
		d.press("end")
		say(5, "last")
		d.press("y")
		if d.copy != "last" {
			t.Errorf("copied %q", d.copy)
		}
	})
}

func TestControlCharactersDoNotReachTheTerminal(t *testing.T) {
	driveSample(t, 200, 30, func(d *driver, f *fake) {
		const evil = "\x1b]0;owned\x07\x1b[31mred\r\n\u202etxt\x00\xff\u009b31m"
		f.mu.Lock()
		f.snap.Rooms[0].LastError = evil
		f.snap.Rooms[1].Room = "chat/" + evil
		f.mu.Unlock()
		f.happen(
			&inspect.MessageIn{Header: at(1, "chat/lobby", 0), Connection: evil, Payload: inspect.NewPayload(false, []byte(evil))},
			&inspect.Log{Header: at(2, evil, 0), Level: "INFO", Text: evil},
			&inspect.Exception{Header: at(3, "chat/lobby", 0), Hook: "OnMessage", Error: evil, Stack: evil},
			&inspect.BuildStarted{}, &inspect.BuildFailed{Output: evil, Errors: []inspect.BuildError{{File: evil, Line: 1, Text: evil}}},
		)
		d.pass(2 * time.Second)
		for _, keys := range []string{"", "L", "enter", "esc esc", "B", "esc", "enter", "enter", "5", "enter", "1 / esc", "h"} {
			d.press(keys)
			frame := d.m.draw().String()
			for _, bad := range []string{"\x1b]", "\x07", "\x1b[31mred", "\u202e", "\x00", "\u009b", "\r"} {
				if strings.Contains(frame, bad) {
					t.Fatalf("after %q the frame has %q", keys, bad)
				}
			}
		}
	})
}

func TestAStuckOrVanishedEmulatorShows(t *testing.T) {
	driveSample(t, 100, 24, func(d *driver, f *fake) {
		f.mu.Lock()
		f.hangs = make(chan struct{})
		f.mu.Unlock()
		d.pass(5 * time.Second)
		d.sees("the emulator has not answered for", "q leaves", "chat/lobby")
		d.press("down ?") // keys go on
		d.sees("Keys")
		d.press("esc")
		f.mu.Lock()
		close(f.hangs)
		f.hangs = nil
		f.mu.Unlock()
		d.pass(2 * time.Second)
		d.lacks("has not answered")
		f.mu.Lock()
		f.fails["snapshot"] = errorText("dial unix .party/dev.sock: connection refused")
		f.mu.Unlock()
		d.pass(3 * time.Second)
		d.sees("no emulator: dial unix .party/dev.sock: connection refused; trying again")
		f.mu.Lock()
		delete(f.fails, "snapshot")
		f.mu.Unlock()
		d.pass(4 * time.Second)
		d.lacks("no emulator")
		d.press("q")
		if !d.quit {
			t.Error("q does not leave")
		}
	})
}

// Who begins to follow behind an event of a build is told what it came to.
func TestABuildThatBeganBeforeIsShown(t *testing.T) {
	failed := &inspect.BuildFailed{Errors: []inspect.BuildError{{File: "main.go", Line: 3, Column: 4, Text: "undefined: foo"}}}
	first := func() *fake { // nothing has served yet
		f := sample()
		f.snap = inspect.Snapshot{Generation: inspect.Generation{Reason: "it has not been started yet"}}
		f.snap.Code = &inspect.Last{Event: failed}
		return f
	}
	driveWith(t, Options{Name: "chat"}, first, 120, 30, func(d *driver) {
		d.sees("the build failed: 1 error", "main.go:3:4  undefined: foo", "The server does not run yet")
	})
	driveSample(t, 120, 30, func(d *driver, f *fake) {
		code := func(e inspect.Event) {
			f.mu.Lock()
			f.snap.Code = nil
			if e != nil {
				f.snap.Code = &inspect.Last{Event: e}
			}
			f.mu.Unlock()
			f.feeds[len(f.feeds)-1].end(errorText("the socket broke"))
			d.pass(3 * time.Second)
		}
		code(&inspect.BuildStarted{Package: "."})
		d.sees("building")
		code(failed)
		d.sees("the build failed: 1 error", "generation 3 still serves")
		code(nil)
		d.lacks("the build failed", "building")
	})
}

func TestABuildIsFollowed(t *testing.T) {
	driveSample(t, 120, 30, func(d *driver, f *fake) {
		step := func(e ...inspect.Event) {
			f.happen(e...)
			d.pass(300 * time.Millisecond)
		}
		step(&inspect.FilesChanged{Files: []string{"main.go", "room.go"}, Count: 2}, &inspect.BuildStarted{Package: "."})
		d.sees("building 0.", "main.go and 1 more")
		if v := d.m.View(); v.ProgressBar == nil || !strings.HasPrefix(v.WindowTitle, "building") {
			t.Errorf("%+v, %q", v.ProgressBar, v.WindowTitle)
		}
		step(&inspect.BuildFailed{Took: 300 * time.Millisecond, Errors: []inspect.BuildError{{File: "main.go", Line: 3, Column: 4, Text: "undefined: foo"}}})
		d.sees("the build failed: 1 error", "generation 3 still serves", "main.go:3:4  undefined: foo")
		if v := d.m.View(); !strings.HasPrefix(v.WindowTitle, "1 error") {
			t.Errorf("title %q", v.WindowTitle)
		}
		d.press("B y")
		if d.copy != "main.go:3:4" {
			t.Errorf("copied %q", d.copy)
		}
		d.press("esc")
		step(&inspect.FilesChanged{Files: []string{"main.go"}, Count: 1, Same: true})
		d.sees("mended: the files are again what runs")
		step(&inspect.FilesChanged{Files: []string{"main.go"}, Count: 1}, &inspect.BuildStarted{Package: "."}, &inspect.BuildDone{How: "go build", Took: 280 * time.Millisecond})
		d.sees("built 280 ms", "starting 0.")
		step(&inspect.GenerationStarted{Header: inspect.Header{Generation: 4}, Took: 12 * time.Millisecond},
			&inspect.Swapped{Header: inspect.Header{Generation: 4}, From: 3, Changed: 5, Took: 2 * time.Millisecond, Total: 330 * time.Millisecond},
			&inspect.FirstAnswer{Total: 341 * time.Millisecond})
		d.sees("generation 4 serves", "built 280 ms", "in all 330 ms", "first answer 341 ms")
		d.pass(swappedFor)
		d.lacks("generation 4 serves")
		if v := d.m.View(); v.WindowTitle != "party chat" || v.ProgressBar != nil {
			t.Errorf("%q, %+v", v.WindowTitle, v.ProgressBar)
		}
	})
}

func TestAnotherEmulatorAtTheSameSocket(t *testing.T) {
	driveSample(t, 100, 24, func(d *driver, f *fake) {
		f.happen(story()...)
		d.press("enter")
		d.pass(time.Second)
		d.sees("hello, is anybody here?")
		f.mu.Lock()
		f.fails["snapshot"] = errorText("gone")
		f.snap.Seq = 3
		f.snap.Generation.Number = 1
		for _, feed := range f.feeds {
			feed.end(errorText("gone"))
		}
		f.feeds = nil
		f.mu.Unlock()
		d.pass(3 * time.Second)
		d.sees("no emulator: gone")
		f.mu.Lock()
		delete(f.fails, "snapshot")
		f.mu.Unlock()
		d.pass(3 * time.Second)
		d.sees("generation 1")
		d.lacks("no emulator", "hello, is anybody here?")
		f.happen(&inspect.MessageIn{Header: at(4, "chat/lobby", 0), Connection: "ada", Payload: inspect.NewPayload(false, []byte("new here"))})
		d.pass(time.Second)
		d.sees("new here")
	})
}

func TestACrashIsShownAboveThePage(t *testing.T) {
	driveSample(t, 120, 30, func(d *driver, f *fake) {
		three := inspect.Header{Generation: 3}
		d.press("enter") // a room's page has no log
		f.happen(&inspect.Swapped{Header: three, From: 2, Total: time.Second})
		d.pass(time.Second)
		d.sees("generation 3 serves")
		f.happen(&inspect.Crash{Header: three, Reason: "its process ended: exit status 3", Turns: 1, Restarts: true})
		d.pass(time.Second)
		d.sees("generation 3 crashed: its process ended: exit status 3", "1 turn lost", "L shows more")
		d.lacks("generation 3 serves", "it runs again")
		d.pass(2 * swappedFor)
		d.sees("generation 3 crashed")
		f.happen(&inspect.GenerationStarted{Header: three, Took: time.Millisecond})
		d.pass(time.Second)
		d.sees("generation 3 crashed", "it runs again")
		d.press("B")
		d.sees("nothing is being built")
		d.press("esc")
		d.pass(swappedFor)
		d.lacks("crashed: its process")
		// One that new code has replaced is nobody's trouble, and errors of a build
		// are not hidden.
		f.happen(&inspect.Crash{Header: inspect.Header{Generation: 2}, Reason: "exit status 4"})
		d.pass(time.Second)
		d.lacks("exit status 4")
		f.happen(&inspect.BuildFailed{Errors: []inspect.BuildError{{File: "main.go", Line: 3, Text: "undefined: foo"}}},
			&inspect.Crash{Header: three, Reason: "exit status 5", Restarts: true})
		d.pass(time.Second)
		d.sees("undefined: foo")
	})
}

func TestThePaletteSaysWhereACommandIs(t *testing.T) {
	driveSample(t, 80, 24, func(d *driver, f *fake) {
		d.press("enter 5 :")
		d.text("sql")
		d.sees("not here; sql is under Storage")
		d.press("esc 3 :")
		d.text("sql")
		d.sees("ask with SQL")
		d.press("esc :")
		d.text("nonsense")
		d.sees("no command has this; esc leaves")
	})
}

// The way back is shown also where there is little room.
func TestTheFooterKeepsTheWayBack(t *testing.T) {
	for _, w := range []int{45, 80, 120} {
		driveSample(t, w, 24, func(d *driver, _ *fake) {
			d.press("enter 1")
			d.sees("enter lay out")
			if w > 45 {
				d.sees("esc rooms", "? keys", "q quit")
			}
			d.press("L")
			if w > 45 {
				d.sees("esc back")
			}
		})
	}
}

func TestALastErrorHasAnAge(t *testing.T) {
	driveSample(t, 120, 24, func(d *driver, _ *fake) {
		d.press("/")
		d.text("zoo")
		d.press("enter enter")
		d.sees("1m 00s ago: OnMessage failed: no such animal: dodo")
	})
}
