package workers

import (
	"encoding/binary"
	"errors"

	"github.com/goparty/party/emulator/wire"
)

// What the engine keeps of a connection while its room sleeps: a byte that says
// whether our close frame was sent, then id, uri and state, each behind its
// length. The tags are kept by the engine itself. It takes fewer bytes than
// the JSON whose size the SDK limits.

func appendAttachment(b []byte, c wire.Connection) []byte {
	closing := byte(0)
	if c.Closing {
		closing = 1
	}
	b = append(b, closing)
	for _, part := range []string{c.ID, c.URI, string(c.State)} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

var errAttachment = errors.New("not what this package attaches to connections")

func parseAttachment(b []byte) (c wire.Connection, err error) {
	if len(b) == 0 || b[0] > 1 {
		return c, errAttachment
	}
	c.Closing = b[0] == 1
	b = b[1:]
	var parts [3]string
	for i := range parts {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return c, errAttachment
		}
		b = b[size:]
		parts[i], b = string(b[:n]), b[n:]
	}
	if len(b) > 0 {
		return c, errAttachment
	}
	c.ID, c.URI = parts[0], parts[1]
	if parts[2] != "" {
		c.State = []byte(parts[2])
	}
	return c, nil
}
