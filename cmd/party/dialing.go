package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goparty/party/devclient"
	"github.com/goparty/party/emulator/inspect"
)

// dialing is how a test client connects.
type dialing struct {
	reach
	id        string
	query     []string
	header    []string
	protocols []string
}

func (d *dialing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.id, "id", "", "id of the connection (_pk); without it the server chooses one")
	f.StringArrayVarP(&d.query, "query", "q", nil, "parameter K=V of the URL; may be repeated")
	f.StringArrayVarP(&d.header, "header", "H", nil, "header 'K: V' of the handshake; may be repeated")
	f.StringSliceVar(&d.protocols, "protocol", nil, "subprotocols to ask for")
}

func (d *dialing) options() (devclient.Options, error) {
	o := devclient.Options{ID: d.id, Query: url.Values{}, Header: http.Header{}, Subprotocols: d.protocols}
	for _, s := range d.query {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return o, usageError{fmt.Errorf("--query %s: write K=V", s)}
		}
		o.Query.Add(k, v)
	}
	for _, s := range d.header {
		k, v, ok := strings.Cut(s, ":")
		if !ok || k == "" {
			return o, usageError{fmt.Errorf("--header %q: write 'K: V'", s)}
		}
		o.Header.Add(strings.TrimSpace(k), strings.TrimSpace(v))
	}
	return o, nil
}

// connect opens a WebSocket to a room, or to any URL. dir is where the emulator
// keeps its files; "" where there is none.
func (d *dialing) connect(ctx context.Context, room string) (c *devclient.Client, dir string, err error) {
	o, err := d.options()
	if err != nil {
		return nil, "", err
	}
	to := room
	if !strings.Contains(room, "://") {
		if to, dir, err = d.urlOf(ctx, room); err != nil {
			return nil, "", err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerLimit, fmt.Errorf("no answer within %s: does the room's OnStart or OnConnect hang?", answerLimit))
	defer cancel()
	c, err = devclient.Dial(ctx, to, o)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return c, dir, err
}

// urlOf finds the URL of a room of the running emulator.
func (d *dialing) urlOf(ctx context.Context, room string) (at, dir string, err error) {
	c, err := d.dial()
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	s, err := c.Snapshot(ctx)
	if err != nil {
		return "", "", err
	}
	if s.URL == "" {
		return "", "", errors.New("the emulator does not serve yet: its server has not started")
	}
	party, name, ok := strings.Cut(strings.TrimPrefix(room, "/"), "/")
	if !ok || party == "" || name == "" {
		return "", "", usageError{fmt.Errorf("%q is no room: write party/name, such as %s", room, roomOf(firstClass(s), "lobby"))}
	}
	var parties []string
	for _, class := range s.Classes {
		base := strings.TrimSuffix(class.WebSocket, "ROOM")
		if have := path.Base(base); have != party {
			parties = append(parties, have)
			continue
		}
		return base + name, filepath.Dir(c.Path()), nil
	}
	hint := "there are " + strings.Join(parties, ", ")
	if like := inspect.Similar(party, parties); like != "" {
		hint = fmt.Sprintf("did you mean %s/%s?", like, name)
	}
	return "", "", fmt.Errorf("no class answers at /parties/%s; %s", party, hint)
}

func firstClass(s *inspect.Snapshot) inspect.ReadyClass {
	if len(s.Classes) == 0 {
		return inspect.ReadyClass{WebSocket: "/chat/ROOM"}
	}
	return s.Classes[0]
}

// roomOf is a room of a class, as people write it.
func roomOf(c inspect.ReadyClass, name string) string {
	return path.Base(strings.TrimSuffix(c.WebSocket, "/ROOM")) + "/" + name
}
