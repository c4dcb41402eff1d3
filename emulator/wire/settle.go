package wire

// Settle asks a guest to say when its goroutines have come to rest: when none of
// them can go on by itself. Where Mark is set the guest writes it first, as a
// line to standard output and to standard error, so that whoever reads them
// knows that everything written before has come.
type Settle struct {
	ID   uint64
	Mark string
}

// Settled answers a [Settle]. What the goroutines sent before comes before it.
type Settled struct{ ID uint64 }

func (*Settle) kind() Kind  { return 30 }
func (*Settled) kind() Kind { return 62 }

func init() {
	kinds[(*Settle)(nil).kind()] = func() Message { return new(Settle) }
	kinds[(*Settled)(nil).kind()] = func() Message { return new(Settled) }
}

func (m *Settle) fields(c *coder) {
	c.uint(&m.ID)
	c.str(&m.Mark)
}

func (m *Settled) fields(c *coder) { c.uint(&m.ID) }
