package party

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MessageType tells text from binary messages.
type MessageType int

// The types of messages, numbered as the WebSocket protocol's opcodes.
const (
	TextMessage   MessageType = 1
	BinaryMessage MessageType = 2
)

// Message is one WebSocket message. Text that is not valid UTF-8 has its bad
// bytes replaced by U+FFFD on its way, in either direction.
type Message struct {
	Type MessageType
	Data []byte
}

// Text makes a text message.
func Text(s string) Message { return Message{TextMessage, []byte(s)} }

// Binary makes a binary message. It keeps b, which must not change before the
// message was sent.
func Binary(b []byte) Message { return Message{BinaryMessage, b} }

// JSON makes a text message of v's JSON. It panics where v has none, which
// makes it the hook's error.
func JSON(v any) Message {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("party.JSON: %w", err))
	}
	return Message{TextMessage, b}
}

// String is the message's data as a string.
func (m Message) String() string { return string(m.Data) }

// IsText reports whether it is a text message.
func (m Message) IsText() bool { return m.Type != BinaryMessage }

// Decode reads the message's JSON into v, a pointer.
func (m Message) Decode(v any) error {
	if err := json.Unmarshal(m.Data, v); err != nil {
		return fmt.Errorf("message %s is not the JSON expected: %w", preview(m.Data), err)
	}
	return nil
}

// preview quotes the start of a message for an error.
func preview(b []byte) string {
	const most = 60
	if len(b) <= most {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q...", bytes.ToValidUTF8(b[:most], nil))
}
