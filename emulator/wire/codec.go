package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// coder walks the fields of one message in order, either appending them to buf
// or taking them off its front. One method per message describes both
// directions, so the two cannot drift apart.
type coder struct {
	buf     []byte
	reading bool
	err     error
}

var errShort = errors.New("message ends early")

func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.buf = nil
}

func (c *coder) uint(v *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	x, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.fail(errShort)
		return
	}
	*v, c.buf = x, c.buf[n:]
}

func (c *coder) int64(v *int64) {
	if !c.reading {
		c.buf = binary.AppendVarint(c.buf, *v)
		return
	}
	x, n := binary.Varint(c.buf)
	if n <= 0 {
		c.fail(errShort)
		return
	}
	*v, c.buf = x, c.buf[n:]
}

func (c *coder) int(v *int) {
	x := int64(*v)
	c.int64(&x)
	if c.reading {
		if x > math.MaxInt || x < math.MinInt {
			c.fail(fmt.Errorf("number %d does not fit", x))
			return
		}
		*v = int(x)
	}
}

func (c *coder) bool(v *bool) {
	var x uint64
	if *v {
		x = 1
	}
	c.uint(&x)
	*v = x != 0
}

// take returns the next n bytes of the message; they alias the frame.
func (c *coder) take() []byte {
	var n uint64
	c.uint(&n)
	if n > uint64(len(c.buf)) {
		c.fail(errShort)
		return nil
	}
	b := c.buf[:n]
	c.buf = c.buf[n:]
	return b
}

func (c *coder) str(v *string) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, uint64(len(*v)))
		c.buf = append(c.buf, *v...)
		return
	}
	*v = string(c.take())
}

// bytes copies, since the frame's buffer is used again. Empty reads as nil.
func (c *coder) bytes(v *[]byte) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, uint64(len(*v)))
		c.buf = append(c.buf, *v...)
		return
	}
	if b := c.take(); len(b) > 0 {
		*v = append([]byte(nil), b...)
	} else {
		*v = nil
	}
}

// list codes a slice. Each element takes at least one byte, which bounds what a
// bad count can make us allocate.
func list[T any](c *coder, v *[]T, each func(*T)) {
	n := uint64(len(*v))
	c.uint(&n)
	if c.reading {
		if n > uint64(len(c.buf)) {
			c.fail(errShort)
			return
		}
		*v = nil
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range *v {
		if c.err != nil {
			return
		}
		each(&(*v)[i])
	}
}

func (c *coder) strs(v *[]string) { list(c, v, c.str) }

func (c *coder) header(v *map[string][]string) {
	n := uint64(len(*v))
	c.uint(&n)
	if !c.reading {
		for k, vs := range *v {
			c.str(&k)
			c.strs(&vs)
		}
		return
	}
	if n > uint64(len(c.buf)) {
		c.fail(errShort)
		return
	}
	*v = make(map[string][]string, n)
	for range n {
		var k string
		var vs []string
		c.str(&k)
		c.strs(&vs)
		if c.err != nil {
			return
		}
		(*v)[k] = vs
	}
}

// Append adds m's frame to b: four bytes of length, one of kind, the fields.
func Append(b []byte, m Message) []byte {
	start := len(b)
	c := coder{buf: append(b, 0, 0, 0, 0, byte(m.kind()))}
	m.fields(&c)
	binary.LittleEndian.PutUint32(c.buf[start:], uint32(len(c.buf)-start-4))
	return c.buf
}

// Decode reads the message in a frame's body (everything behind the length).
// The message holds no part of body.
func Decode(body []byte) (Message, error) {
	if len(body) == 0 {
		return nil, errShort
	}
	k := Kind(body[0])
	if int(k) >= len(kinds) || kinds[k] == nil {
		return nil, fmt.Errorf("unknown message kind %d", k)
	}
	m := kinds[k]()
	c := coder{buf: body[1:], reading: true}
	m.fields(&c)
	if c.err != nil {
		return nil, fmt.Errorf("%T: %w", m, c.err)
	}
	if len(c.buf) > 0 {
		return nil, fmt.Errorf("%T: %d bytes too many", m, len(c.buf))
	}
	return m, nil
}
