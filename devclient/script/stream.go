package script

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// stream is a request that stays open. Its body is taken line by line; empty
// lines, which part events, are left out.
type stream struct {
	path   string
	local  string
	cancel context.CancelFunc
	headed chan struct{} // closed when answer or failure is there
	done   chan struct{}

	// Set before headed is closed.
	answer  answer
	failure error // why there is no answer
	whole   bool  // the answer ends by itself

	mu   sync.Mutex
	text string // unread
	err  error  // how it ended
	more chan struct{}
}

// open makes a request and returns when its answer has begun, or when the server
// is quiet and has not answered it yet.
func (s *session) open(neg bool, a *arguments) error {
	name := a.value("-open")
	s.soft()
	if err := s.free(name); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.runner.ctx)
	req, err := s.request(ctx, a)
	if err != nil {
		cancel()
		return err
	}
	st := &stream{
		path: s.involved[len(s.involved)-1], cancel: cancel,
		headed: make(chan struct{}), done: make(chan struct{}), more: make(chan struct{}),
	}
	go st.run(req)
	if err := s.begun(st, req); err != nil {
		st.drop()
		return err
	}
	s.awaited = st
	if neg {
		last, err := s.answered()
		st.drop()
		if err == nil && last.status >= 400 {
			err = fmt.Errorf("status %d %s", last.status, http.StatusText(last.status))
		}
		return err
	}
	s.add(name, st)
	return nil
}

// begun waits for the answer to begin, or for the server to have the request and
// be quiet.
func (s *session) begun(st *stream, req *request) error {
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	go func() {
		select {
		case <-st.headed:
			cancel()
		case <-ctx.Done():
		}
	}()
	select {
	case st.local = <-req.local:
	case <-ctx.Done():
	}
	var err error
	if em := s.server.em; em != nil {
		em.AwaitArrival(ctx, st.local)
		if err = s.settle(ctx); err == nil && ctx.Err() == nil {
			return nil
		}
	} else {
		<-ctx.Done()
	}
	select {
	case <-st.headed:
		return st.failure
	default:
	}
	switch {
	case s.runner.ctx.Err() != nil:
		return context.Cause(s.runner.ctx)
	case err != nil:
		return fmt.Errorf("no answer within %s: %w", limit, err)
	}
	return fmt.Errorf("no answer within %s", limit)
}

// run makes the request and reads its answer.
func (st *stream) run(req *request) {
	defer close(st.done)
	resp, err := req.do()
	if err != nil {
		st.failure, st.whole = err, true
		close(st.headed)
		st.came(nil, err)
		return
	}
	defer resp.Body.Close()
	defer context.AfterFunc(req.Context(), func() { _ = resp.Body.Close() })() // a WebSocket does not heed it
	st.answer, st.whole = answer{resp.StatusCode, resp.Header}, resp.ContentLength >= 0
	close(st.headed)
	for buf := make([]byte, 32<<10); err == nil; {
		var n int
		n, err = resp.Body.Read(buf)
		st.came(buf[:n], err)
	}
}

func (st *stream) came(data []byte, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.text += string(data)
	st.err = err
	close(st.more)
	st.more = make(chan struct{})
}

// over reports whether nothing more can come. Where that is only a matter of
// reading what has been sent, it waits for it.
func (st *stream) over(ctx context.Context) bool {
	select {
	case <-st.headed:
	default:
		return false
	}
	if st.whole {
		t := time.NewTimer(limit)
		defer t.Stop()
		select {
		case <-st.done:
		case <-t.C:
		case <-ctx.Done():
		}
	}
	select {
	case <-st.done:
		return true
	default:
		return false
	}
}

func (st *stream) where() string               { return st.path }
func (st *stream) address() string             { return st.local }
func (st *stream) drop()                       { st.cancel(); <-st.done }
func (st *stream) flushed(ctx context.Context) {}

// take looks at what is unread until f is content, the stream ends, or time is
// up. f returns what it left over.
func (st *stream) take(ctx context.Context, f func(text string, over bool) (rest string, done bool, err error), wanted string) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	for {
		st.mu.Lock()
		text, more := strings.TrimLeft(st.text, "\r\n"), st.more
		rest, done, err := f(text, st.err != nil)
		if done {
			st.text = rest
		}
		st.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-more:
		case <-t.C:
			if text == "" {
				return fmt.Errorf("nothing came within %s\n  want: %s", limit, wanted)
			}
			return fmt.Errorf("something else came\n  want: %s\n  got:  %q", wanted, text)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (st *stream) next(ctx context.Context, w want) error {
	return st.take(ctx, func(text string, over bool) (string, bool, error) {
		line, rest, whole := strings.Cut(text, "\n")
		line = strings.TrimSuffix(line, "\r")
		switch {
		case w.mode == "" && w.text != "" && strings.HasPrefix(text, w.text) && !(whole && len(w.text) < len(line)):
			return text[len(w.text):], true, nil
		case w.mode == "" && !whole && !over && strings.HasPrefix(w.text, text):
			return text, false, nil // the rest may come
		case line != "" && (whole || over || w.mode != "") && w.accepts(false, []byte(line)):
			return rest, true, nil
		case whole, over && text != "":
			return text, false, fmt.Errorf("something else came\n  want: %s\n  got:  %q", w, line)
		case over:
			return text, false, fmt.Errorf("nothing more can come: the answer has ended\n  want: %s", w)
		}
		return text, false, nil
	}, w.String())
}

// settleStream is how long something that was sent may take to the script's own
// reader, which nothing else can tell.
const settleStream = 20 * time.Millisecond

func (st *stream) none() error {
	st.mu.Lock()
	text, more, over := strings.TrimLeft(st.text, "\r\n"), st.more, st.err != nil
	st.mu.Unlock()
	if text == "" && !over {
		t := time.NewTimer(settleStream)
		defer t.Stop()
		select {
		case <-more:
			return st.none()
		case <-t.C:
		}
	}
	if text != "" {
		return fmt.Errorf("something came\n  want: nothing\n  got:  %q", text)
	}
	return nil
}

func (st *stream) ended(ctx context.Context, _ int, _ *string) error {
	return st.take(ctx, func(text string, over bool) (string, bool, error) {
		switch {
		case text != "":
			return text, false, fmt.Errorf("something else came\n  want: the answer's end\n  got:  %q", text)
		case over:
			return "", true, nil
		}
		return text, false, nil
	}, "the answer's end")
}
