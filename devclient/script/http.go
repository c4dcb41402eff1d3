package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// answer is what the last request was answered with.
type answer struct {
	status int
	header http.Header
}

func (s *session) http(neg bool, args []string) error {
	a, err := s.parse(args, map[string]bool{"-X": true, "-H": true, "-d": true, "-open": true})
	if err != nil {
		return err
	}
	if err := s.count(a.rest, 1, 1); err != nil {
		return err
	}
	if _, err := s.running(); err != nil {
		return err
	}
	if a.has("-open") {
		return s.open(neg, a)
	}
	s.soft()
	ctx, cancel := context.WithTimeout(s.runner.ctx, limit)
	defer cancel()
	resp, _, err := s.request(ctx, a)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	s.saw.add("http %s %s", resp.Request.Method, resp.Request.URL.RequestURI()).answered(resp.StatusCode, resp.Header, body)
	out := s.ts.Stdout()
	_, _ = out.Write(body)
	if len(body) > 0 && body[len(body)-1] != '\n' {
		_, _ = io.WriteString(out, "\n") // so that it compares with a file
	}
	switch {
	case ctx.Err() != nil && s.runner.ctx.Err() == nil:
		return fmt.Errorf("the answer was not whole within %s; %d bytes came", limit, len(body))
	case err != nil:
		return fmt.Errorf("the answer broke off behind %d bytes: %w", len(body), err)
	case neg && resp.StatusCode >= 400:
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// request makes a request and returns its answer's head, and the address that
// it came from.
func (s *session) request(ctx context.Context, a *arguments) (*http.Response, string, error) {
	method := a.value("-X")
	var body io.Reader
	if a.has("-d") {
		text := a.value("-d")
		if file, ok := strings.CutPrefix(text, "@"); ok {
			data, err := os.ReadFile(s.ts.MkAbs(file))
			if err != nil {
				return nil, "", misuse{err}
			}
			text = string(data)
		}
		body = strings.NewReader(text)
		if method == "" {
			method = http.MethodPost
		}
	}
	to := a.rest[0]
	if !strings.HasPrefix(to, "/") {
		to = path(to)
	}
	s.involve(roomName(to))
	var local string
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { local = i.Conn.LocalAddr().String() }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, s.server.url+strings.ReplaceAll(to, " ", "%20"), body)
	if err != nil {
		return nil, "", misuse{err}
	}
	for _, h := range a.values["-H"] {
		k, v, ok := strings.Cut(h, ":")
		if !ok {
			return nil, "", s.misuse("-H %s: write K:V", h)
		}
		if k, v = strings.TrimSpace(k), strings.TrimSpace(v); strings.EqualFold(k, "Host") {
			req.Host = v
		} else {
			req.Header.Add(k, v)
		}
	}
	// A connection of its own, and no redirects followed: the script sees what
	// the server says.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil && s.runner.ctx.Err() == nil:
		return nil, local, fmt.Errorf("no answer within %s", limit)
	case err != nil:
		return nil, local, fmt.Errorf("no answer: %w", err)
	}
	s.answer = &answer{resp.StatusCode, resp.Header}
	return resp, local, nil
}

func (s *session) status(_ bool, args []string) error {
	if err := s.count(args, 1, 1); err != nil {
		return err
	}
	if s.answer == nil {
		return misuse{errors.New("no request was answered yet: use http first")}
	}
	if got := strconv.Itoa(s.answer.status); got != args[0] {
		return fmt.Errorf("another status\n  want: %s\n  got:  %s", args[0], got)
	}
	return nil
}

func (s *session) header(_ bool, args []string) error {
	if err := s.count(args, 2, 2); err != nil {
		return err
	}
	if s.answer == nil {
		return misuse{errors.New("no request was answered yet: use http first")}
	}
	re, err := regexp.Compile(args[1])
	if err != nil {
		return s.misuse("%q is no regular expression: %v", args[1], err)
	}
	values := s.answer.header.Values(args[0])
	for _, v := range values {
		if re.MatchString(v) {
			return nil
		}
	}
	return fmt.Errorf("no header %s that matches\n  want: %s\n  got:  %q", args[0], args[1], values)
}

// stream is a request that stays open. Its body is taken line by line; empty
// lines, which part events, are left out.
type stream struct {
	path   string
	local  string
	cancel context.CancelFunc
	body   io.Closer
	done   chan struct{}

	mu   sync.Mutex
	text string // unread
	err  error  // how it ended
	more chan struct{}
}

func (s *session) open(neg bool, a *arguments) error {
	name := a.value("-open")
	s.soft()
	if err := s.free(name); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.runner.ctx)
	t := time.AfterFunc(limit, cancel)
	resp, local, err := s.request(ctx, a)
	t.Stop()
	if err != nil {
		cancel()
		return err
	}
	st := &stream{path: s.involved[len(s.involved)-1], local: local, cancel: cancel, body: resp.Body, done: make(chan struct{}), more: make(chan struct{})}
	if neg {
		go st.read(resp.Body)
		st.drop()
		if resp.StatusCode >= 400 {
			return fmt.Errorf("status %s", resp.Status)
		}
		return nil
	}
	s.add(name, st)
	go st.read(resp.Body)
	return nil
}

func (st *stream) read(body io.Reader) {
	defer close(st.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		st.mu.Lock()
		st.text += string(buf[:n])
		st.err = err
		close(st.more)
		st.more = make(chan struct{})
		st.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (st *stream) where() string               { return st.path }
func (st *stream) address() string             { return st.local }
func (st *stream) drop()                       { st.cancel(); _ = st.body.Close(); <-st.done }
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
