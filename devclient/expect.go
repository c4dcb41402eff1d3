package devclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Expect takes the next event off and fails unless ok accepts it. It waits for
// it as long as limit; want says for people what should have come.
func (c *Client) Expect(ctx context.Context, limit time.Duration, want string, ok func(Event) bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	e, err := c.Next(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("nothing came within %s\n  want: %s", limit, want)
	case errors.Is(err, ErrClosed):
		return fmt.Errorf("nothing more can come: the connection has ended\n  want: %s", want)
	case err != nil:
		return err
	case !ok(e):
		return fmt.Errorf("something else came\n  want: %s\n  got:  %s%s", want, e.Quoted(), c.behind())
	}
	return nil
}

// behind shows what lies unread, which often explains a difference.
func (c *Client) behind() string {
	var b strings.Builder
	for i, e := range c.Unread() {
		if i == 5 {
			b.WriteString("\n  ...")
			break
		}
		b.WriteString("\n  then: " + e.Quoted())
	}
	return b.String()
}
