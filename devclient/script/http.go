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
	req, err := s.request(ctx, a)
	if err != nil {
		return err
	}
	resp, err := req.do()
	switch {
	case ctx.Err() != nil && s.runner.ctx.Err() == nil:
		return fmt.Errorf("no answer within %s", limit)
	case err != nil:
		return err
	}
	s.answer, s.awaited = &answer{resp.StatusCode, resp.Header}, nil
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

// request is what a command asks the server for.
type request struct {
	*http.Request
	local chan string // where it came from, once it has a connection
}

func (s *session) request(ctx context.Context, a *arguments) (*request, error) {
	method := a.value("-X")
	var body io.Reader
	if a.has("-d") {
		text := a.value("-d")
		if file, ok := strings.CutPrefix(text, "@"); ok {
			data, err := os.ReadFile(s.ts.MkAbs(file))
			if err != nil {
				return nil, misuse{err}
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
	local := make(chan string, 1)
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { local <- i.Conn.LocalAddr().String() }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, s.server.url+strings.ReplaceAll(to, " ", "%20"), body)
	if err != nil {
		return nil, misuse{err}
	}
	for _, h := range a.values["-H"] {
		k, v, ok := strings.Cut(h, ":")
		if !ok {
			return nil, s.misuse("-H %s: write K:V", h)
		}
		if k, v = strings.TrimSpace(k), strings.TrimSpace(v); strings.EqualFold(k, "Host") {
			req.Host = v
		} else {
			req.Header.Add(k, v)
		}
	}
	return &request{req, local}, nil
}

// do makes the request, on a connection of its own and without following
// redirects: the script sees what the server says.
func (r *request) do() (*http.Response, error) {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r.Request)
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	return resp, nil
}

// answered is the last request's answer. That to an open request may still be to
// come.
func (s *session) answered() (*answer, error) {
	if st := s.awaited; st != nil {
		t := time.NewTimer(limit)
		defer t.Stop()
		select {
		case <-st.headed:
		case <-t.C:
			return nil, fmt.Errorf("the open request has no answer within %s", limit)
		case <-s.runner.ctx.Done():
			return nil, s.runner.ctx.Err()
		}
		if st.failure != nil {
			return nil, st.failure
		}
		s.answer, s.awaited = &st.answer, nil
	}
	if s.answer == nil {
		return nil, misuse{errors.New("no request was answered yet: use http first")}
	}
	return s.answer, nil
}

func (s *session) status(_ bool, args []string) error {
	if err := s.count(args, 1, 1); err != nil {
		return err
	}
	last, err := s.answered()
	if err != nil {
		return err
	}
	if got := strconv.Itoa(last.status); got != args[0] {
		return fmt.Errorf("another status\n  want: %s\n  got:  %s", args[0], got)
	}
	return nil
}

func (s *session) header(_ bool, args []string) error {
	if err := s.count(args, 2, 2); err != nil {
		return err
	}
	last, err := s.answered()
	if err != nil {
		return err
	}
	re, err := regexp.Compile(args[1])
	if err != nil {
		return s.misuse("%q is no regular expression: %v", args[1], err)
	}
	values := last.header.Values(args[0])
	for _, v := range values {
		if re.MatchString(v) {
			return nil
		}
	}
	return fmt.Errorf("no header %s that matches\n  want: %s\n  got:  %q", args[0], args[1], values)
}
