package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		d := &dashboard{run: runGuarded, events: s.Events(), out: os.Stdout}
		d.start(&recorder{viewer: s}, tui.Options{Emulator: s, Name: nameOf(o.dir), ASCII: o.ascii}, left)
		return d
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

// dashboard is the screen that fills the terminal. Lines follow it if it has a
// bug: clients are connected, and a program that shows them is no reason to let
// them go.
type dashboard struct {
	run    func(context.Context, tui.Options) error
	events *inspect.Stream
	out    io.Writer

	cancel context.CancelFunc
	notes  chan string
	ended  chan struct{}
	err    error    // of the dashboard; read it when ended is closed
	lines  *printer // that follow it; read it when ended is closed

	mu    sync.Mutex
	after []string // notes that nobody saw: the terminal is given back
}

// start shows an emulator until stop is called, or the person leaves; then left
// is called.
func (d *dashboard) start(rec *recorder, o tui.Options, left func()) {
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(context.Background())
	d.notes, d.ended = make(chan string, 16), make(chan struct{})
	o.Recorder, o.Notes = rec, d.notes
	go func() {
		defer close(d.ended)
		d.err = d.run(ctx, o)
		d.finish(rec)
		if errors.Is(d.err, tui.ErrPanic) {
			d.lines = startPrinter(d.events, false, d.out)
			d.lines.say("the server goes on, and what happens is shown as lines from here; Ctrl-C ends it")
			return
		}
		left()
	}()
}

// runGuarded shows a dashboard in a terminal that is given back, come what may.
func runGuarded(ctx context.Context, o tui.Options) error {
	defer startGuard()()
	return tui.Run(ctx, o)
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
		if d.lines != nil {
			d.lines.say(text)
			return
		}
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
	if d.lines != nil {
		d.lines.stop()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range d.after {
		fmt.Fprintln(d.out, text)
	}
	d.after = nil
}
