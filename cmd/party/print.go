package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// printer writes events as lines: for people, or as JSON.
type printer struct {
	sub    *inspect.Subscription
	json   bool
	done   chan struct{}
	ending chan struct{} // closed by stop

	mu  sync.Mutex
	out *bufio.Writer
}

// Events are gathered for a moment, so that writing them costs the rooms little.
// People cannot read more than a few lines in that time: what comes in floods
// is counted instead. Programs that read JSON get a longer queue.
const (
	gather     = 33 * time.Millisecond
	plainQueue = 256
	jsonQueue  = 1 << 16
)

func startPrinter(events *inspect.Stream, asJSON bool, out io.Writer) *printer {
	queue := plainQueue
	if asJSON {
		queue = jsonQueue
	}
	p := &printer{sub: events.Subscribe(queue), json: asJSON, done: make(chan struct{}), ending: make(chan struct{}), out: bufio.NewWriter(out)}
	go p.loop()
	return p
}

func (p *printer) loop() {
	defer close(p.done)
	for {
		events, lost, err := p.sub.Next(context.Background())
		if err != nil {
			return
		}
		p.mu.Lock()
		for _, e := range events {
			p.event(e)
		}
		if lost > 0 {
			p.lost(lost)
		}
		err = p.out.Flush()
		p.mu.Unlock()
		if err != nil {
			p.sub.Close() // nobody reads: the pipe is closed
			return
		}
		select {
		case <-time.After(gather):
		case <-p.ending:
		}
	}
}

func (p *printer) event(e inspect.Event) {
	if p.json {
		if line, err := inspect.Marshal(e); err == nil {
			_, _ = p.out.Write(append(line, '\n'))
		}
		return
	}
	if t, ok := e.(*inspect.Turn); ok && t.Error == "" && t.Took < time.Second {
		return // the message or request that it was about has a line
	}
	h := inspect.Of(e)
	head := h.Time.Format("15:04:05.000") + "  "
	if h.Room != "" {
		head += clean(h.Room) + "  "
	}
	text := eventText(e)
	if _, ok := e.(*inspect.Ready); ok {
		head = ""
	}
	first, rest, more := strings.Cut(text, "\n")
	fmt.Fprintf(p.out, "%s%s\n", head, first)
	if more {
		indent := "    "
		if head == "" {
			indent = ""
		}
		for line := range strings.Lines(rest) {
			fmt.Fprintf(p.out, "%s%s\n", indent, strings.TrimRight(line, "\n"))
		}
	}
}

func (p *printer) lost(n uint64) {
	if p.json {
		fmt.Fprintf(p.out, "{\"type\":\"lost\",\"events\":%d}\n", n)
		return
	}
	fmt.Fprintf(p.out, "%s  ... %d more events, too fast to show; --ui json shows more\n", time.Now().Format("15:04:05.000"), n)
}

// say writes a note that is no event.
func (p *printer) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		line, _ := json.Marshal(map[string]string{"type": "note", "text": text})
		_, _ = p.out.Write(append(line, '\n'))
	} else {
		fmt.Fprintln(p.out, text)
	}
	_ = p.out.Flush()
}

// stop writes what is unread and ends.
func (p *printer) stop() {
	p.sub.Close()
	close(p.ending)
	<-p.done
}
