// Package envfile reads files of KEY=VALUE lines.
package envfile

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Read reads the file at path; "" reads nothing.
func Read(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the environment file: %w", err)
	}
	defer f.Close()
	env, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return env, nil
}

// Parse reads KEY=VALUE lines. Empty lines and lines that start with # do not
// count, and neither does a leading "export". A value may stand in double
// quotes, with Go's escapes, or in single ones, as it is.
func Parse(r io.Reader) (map[string]string, error) {
	env := map[string]string{}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" || strings.ContainsAny(key, " \t\"'") {
			return nil, fmt.Errorf("%d: not KEY=VALUE: %s", n, line)
		}
		switch {
		case strings.HasPrefix(value, `"`):
			v, err := strconv.Unquote(value)
			if err != nil {
				return nil, fmt.Errorf("%d: the value of %s is not a whole quoted string", n, key)
			}
			value = v
		case strings.HasPrefix(value, "'"):
			if len(value) < 2 || !strings.HasSuffix(value, "'") {
				return nil, fmt.Errorf("%d: the value of %s has no closing quote", n, key)
			}
			value = value[1 : len(value)-1]
		default:
			value, _, _ = strings.Cut(value, " #")
			value = strings.TrimSpace(value)
		}
		env[key] = value
	}
	return env, s.Err()
}
