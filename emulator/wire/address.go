package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/token"
	"strings"
)

// MaxName bounds a room's name in bytes. (The platform was seen to take names
// of 100 kB; it names no limit.)
const MaxName = 128 << 10

// Kebab is how a binding appears in URLs: MyServer and MY_SERVER are both
// my-server (as partyserver does it).
func Kebab(binding string) string {
	if binding == strings.ToUpper(binding) && binding != strings.ToLower(binding) {
		binding = strings.ToLower(binding)
	}
	var b strings.Builder
	for i, r := range binding {
		switch {
		case r >= 'A' && r <= 'Z':
			if i > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r + 'a' - 'A')
		case r == '_':
			b.WriteByte('-')
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimSuffix(b.String(), "-")
}

// CheckBindings says what is wrong with a set of bindings: each must be a Go
// identifier, and no two the same in URLs.
func CheckBindings(bindings []string) error {
	seen := map[string]string{}
	for _, b := range bindings {
		if !token.IsIdentifier(b) {
			return fmt.Errorf("binding %q is not a Go identifier: use letters, digits and underscores, such as %q", b, "MyServer")
		}
		k := Kebab(b)
		if k == "" {
			return fmt.Errorf("binding %q leaves nothing for the URL: use a name with letters", b)
		}
		if other, ok := seen[k]; ok {
			return fmt.Errorf("bindings %q and %q both answer at /parties/%s: rename one", other, b, k)
		}
		seen[k] = b
	}
	return nil
}

// SplitPath finds party and name in an escaped URL path below prefix, which may
// have several segments. Empty segments are ignored, and escapes in the name
// stay as they stand. It reports false where the path is no room's.
func SplitPath(prefix, path string) (party, name string, ok bool) {
	path = trimSlashes(path)
	for p := trimSlashes(prefix); p != ""; {
		var want, got string
		want, p = cutSegment(p)
		got, path = cutSegment(path)
		if want != got {
			return "", "", false
		}
	}
	party, path = cutSegment(path)
	name, _ = cutSegment(path)
	return party, name, party != "" && name != ""
}

func trimSlashes(s string) string { return strings.TrimLeft(s, "/") }

func cutSegment(s string) (first, rest string) {
	first, rest, _ = strings.Cut(s, "/")
	return first, trimSlashes(rest)
}

// String is the room's name for people: party/name as in the URL, with the
// jurisdiction, if any, in front.
func (a Address) String() string {
	s := Kebab(a.Binding) + "/" + a.Name
	if a.Jurisdiction != "" {
		s = a.Jurisdiction + ":" + s
	}
	return s
}

// ID derives the room's 64-digit id as workerd does from a unique key and the
// name; the jurisdiction is part of the key, so that the same name elsewhere
// is another room. (workerd: server/actor-id-impl.c++)
func (a Address) ID() string {
	key := "party-" + a.Binding
	if a.Jurisdiction != "" {
		key += "@" + a.Jurisdiction
	}
	return deriveID(key, a.Name)
}

// deriveID is HMAC-SHA256 twice: h over the name, cut to 16 bytes, then 16
// bytes over h, both under SHA-256 of the unique key.
func deriveID(uniqueKey, name string) string {
	k := sha256.Sum256([]byte(uniqueKey))
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(name))
	h := mac.Sum(nil)[:16]
	mac.Reset()
	mac.Write(h)
	return hex.EncodeToString(append(h, mac.Sum(nil)[:16]...))
}

// NanoID makes a connection id of random bytes: 21 characters, 6 bits of each
// byte, of the alphabet that nanoid uses.
func NanoID(b [21]byte) string {
	const alphabet = "useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict"
	for i := range b {
		b[i] = alphabet[b[i]&63]
	}
	return string(b[:])
}

// UnknownParty is what a request for a party that nobody answers is told in the
// log.
func UnknownParty(party string, bindings []string) error {
	var have []string
	for _, b := range bindings {
		have = append(have, Kebab(b))
	}
	if party == "main" {
		return fmt.Errorf("a client asks for the party %q, which clients use when they name none; there is no default party: give the client one of %q", party, have)
	}
	return fmt.Errorf("no class answers at /parties/%s: bind one in App.Servers, or use one of %q", party, have)
}
