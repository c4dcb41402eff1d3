package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/goparty/party"
)

// Add is called by other rooms.
func (p *Probe) Add(_ context.Context, a, b int) (int, error) { return a + b, nil }

// Fail fails.
func (p *Probe) Fail(context.Context) error { return errors.New("failed on purpose") }

// Call calls another room, which calls on.
func (p *Probe) Call(ctx context.Context, rooms []string) (string, error) {
	if len(rooms) == 0 {
		return p.Name(), nil
	}
	stub, err := party.ServerByName(ctx, "probe", rooms[0])
	if err != nil {
		return "", err
	}
	s, err := party.Call[string](ctx, stub, "Call", rooms[1:])
	return p.Name() + " " + s, err
}

func (p *Probe) calls(ctx context.Context) error {
	stub, err := party.ServerByName(ctx, "Plain", p.Name()+"-callee", party.StubOptions{Props: "told"})
	if err != nil {
		return err
	}
	n, err := party.Call[int](ctx, stub, "Add", 20, 22)
	err = errors.Join(err, same("sum", n, 42))
	if _, e := party.Call[any](ctx, stub, "Fail"); e == nil || !strings.Contains(e.Error(), "failed on purpose") {
		err = errors.Join(err, fmt.Errorf("Fail: %v", e))
	}
	if _, e := party.Call[any](ctx, stub, "Missing"); e == nil || !strings.Contains(e.Error(), "no method Missing") {
		err = errors.Join(err, fmt.Errorf("Missing: %v", e))
	}
	if _, e := party.ServerByName(ctx, "nobody", "x"); e == nil {
		err = errors.Join(err, errors.New("a class that is not there"))
	}
	s, e := p.Call(ctx, []string{p.Name() + "-1", p.Name() + "-2"})
	return errors.Join(err, e, same("chain", s, p.Name()+" "+p.Name()+"-1 "+p.Name()+"-2"))
}

func (p *Probe) fetches(ctx context.Context) error {
	stub, err := party.ServerByName(ctx, "probe", p.Name()+"-fetched", party.StubOptions{Props: "told"})
	if err != nil {
		return err
	}
	get := func(method, page string, body io.Reader) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, method, "/parties/probe/x/"+page, body)
		if err != nil {
			return 0, "", err
		}
		resp, err := stub.Fetch(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	status, body, err := get("GET", "props", nil)
	err = errors.Join(err, same("props", fmt.Sprint(status, " ", body), "200 told"))
	status, body, e := get("GET", "large", nil)
	err = errors.Join(err, e, same("large", fmt.Sprint(status, len(body)), fmt.Sprint(200, 4<<20)))
	for _, n := range []int{0, 5, 100_000, 3 << 20} {
		status, body, e = get("POST", "count", bytes.NewReader(make([]byte, n)))
		err = errors.Join(err, e, same("posted", fmt.Sprint(status, " ", body), fmt.Sprint(200, " ", n, " EOF\n")))
	}
	status, _, e = get("GET", "status", nil)
	return errors.Join(err, e, same("status", status, http.StatusNoContent))
}

func (p *Probe) cycle(ctx context.Context) error {
	var err error
	for _, rooms := range [][]string{{p.Name()}, {p.Name() + "-1", p.Name()}, {p.Name() + "-1", p.Name() + "-2", p.Name() + "-1"}} {
		if _, e := p.Call(ctx, rooms); e == nil || !strings.Contains(e.Error(), "call cycle: probe/") {
			err = errors.Join(err, fmt.Errorf("%v: %v", rooms, e))
		}
	}
	return err
}

// Both calls the other room once both are in a turn.
func (p *Probe) Both(ctx context.Context, other string) (string, error) {
	if err := p.Sleep(ctx, 100*time.Millisecond); err != nil {
		return "", err
	}
	stub, err := party.ServerByName(ctx, "probe", other)
	if err != nil {
		return "", err
	}
	_, err = party.Call[int](ctx, stub, "Add", 1, 1)
	if errors.Is(err, party.ErrCycle) {
		return "cycle", nil
	}
	return "through", err
}

func (p *Probe) broken(ctx context.Context) error {
	_, err := party.ServerByName(ctx, "probe", "broken-"+p.Name())
	if err == nil || !strings.Contains(err.Error(), "it does not start") {
		return fmt.Errorf("a room that does not start: %w", err)
	}
	return nil
}
