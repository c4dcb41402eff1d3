package emulator

import "sync"

// credit bounds what a reader may have waiting for turns.
type credit struct {
	mu      sync.Mutex
	used    int
	stopped bool
	more    chan struct{}
}

// take counts n bytes and reports whether the reader may go on.
func (c *credit) take(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used += n
	return c.used <= maxUnread || c.stopped
}

// wait returns when at least half of the credit is there again.
func (c *credit) wait() {
	c.mu.Lock()
	if c.used <= maxUnread/2 || c.stopped {
		c.mu.Unlock()
		return
	}
	c.more = make(chan struct{})
	more := c.more
	c.mu.Unlock()
	<-more
}

func (c *credit) give(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= n
	if c.more != nil && c.used <= maxUnread/2 {
		close(c.more)
		c.more = nil
	}
}

func (c *credit) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
}
