package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/goparty/party/emulator/inspect"
	"github.com/goparty/party/tui"
)

// screen is what shows a person what happens: lines, or the dashboard.
type screen interface {
	// say shows a note that is no event.
	say(text string)
	// stop shows what is left and ends.
	stop()
}

// show starts what shows the emulator. left is called when a person leaves it.
func (o *devOptions) show(s served, left func()) screen {
	switch ui := chooseUI(o.ui); ui {
	case "tui":
		return startDashboard(s, &recorder{viewer: s}, o.dir, o.ascii, left)
	default:
		return startPrinter(s.Events(), ui == "json", os.Stdout)
	}
}

// chooseUI decides what --ui auto is.
func chooseUI(ui string) string {
	if ui != "auto" {
		return ui
	}
	if tui.Fits(isTerminal(os.Stdin) && isTerminal(os.Stdout), os.Getenv) == "" {
		return "tui"
	}
	return "plain"
}

// dashboard is the screen that fills the terminal.
type dashboard struct {
	cancel context.CancelFunc
	notes  chan string
	ended  chan struct{}
	err    error // of the dashboard; read it when ended is closed

	mu    sync.Mutex
	after []string // notes that nobody saw: the terminal is given back
}

// startDashboard shows an emulator until stop is called, or the person leaves;
// then left is called.
func startDashboard(e inspect.Emulator, rec *recorder, dir string, ascii bool, left func()) *dashboard {
	ctx, cancel := context.WithCancel(context.Background())
	d := &dashboard{cancel: cancel, notes: make(chan string, 16), ended: make(chan struct{})}
	release := startGuard()
	go func() {
		defer left()
		defer close(d.ended)
		defer func() {
			release()
			d.finish(rec)
		}()
		d.err = tui.Run(ctx, tui.Options{Emulator: e, Recorder: rec, Name: nameOf(dir), ASCII: ascii, Notes: d.notes})
	}()
	return d
}

// nameOf is a directory as the dashboard's head names it.
func nameOf(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	return filepath.Base(abs)
}

// finish writes what is still being recorded.
func (d *dashboard) finish(rec *recorder) {
	said, err := rec.Stop(context.Background())
	if err != nil {
		said = "the recording: " + err.Error()
	}
	if said == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after = append(d.after, said)
}

// endOf is why a screen that has stopped did not end well.
func endOf(s screen) error {
	if d, ok := s.(*dashboard); ok {
		return d.err
	}
	return nil
}

func (d *dashboard) say(text string) {
	select {
	case <-d.ended:
	default:
		select {
		case d.notes <- text:
			return
		default: // more than anybody reads
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after = append(d.after, text)
}

func (d *dashboard) stop() {
	d.cancel()
	<-d.ended
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range d.after {
		fmt.Println(text)
	}
	d.after = nil
}
