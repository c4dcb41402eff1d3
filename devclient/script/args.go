package script

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/goparty/party/emulator/inspect"
)

// arguments takes options off a command's arguments. An option stands anywhere;
// everything behind -- is taken as it is.
type arguments struct {
	s       *session
	options map[string]bool // whether each takes a value
	values  map[string][]string
	rest    []string
}

// parse splits args; options says for each option whether it takes a value.
func (s *session) parse(args []string, options map[string]bool) (*arguments, error) {
	a := &arguments{s: s, options: options, values: map[string][]string{}}
	for i := 0; i < len(args); i++ {
		name := args[i]
		takes, known := options[name]
		switch {
		case name == "--":
			a.rest = append(a.rest, args[i+1:]...)
			return a, nil
		case !known && len(name) > 1 && name[0] == '-' && !isNumber(name):
			return nil, s.misuse("unknown option %s%s", name, didYouMean(name, keys(options)))
		case !known:
			a.rest = append(a.rest, name)
		case takes && i+1 == len(args):
			return nil, s.misuse("%s needs a value", name)
		case takes:
			i++
			a.values[name] = append(a.values[name], args[i])
		default:
			a.values[name] = append(a.values[name], "")
		}
	}
	return a, nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

func keys(m map[string]bool) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

func (a *arguments) has(option string) bool { return len(a.values[option]) > 0 }

// value is that of the last one of an option.
func (a *arguments) value(option string) string {
	if all := a.values[option]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// count fails unless there are from least to most arguments.
func (s *session) count(args []string, least, most int) error {
	switch {
	case len(args) < least:
		return s.misuse("too few arguments")
	case len(args) > most:
		return s.misuse("too many arguments: quote a text with spaces, as in 'a b'")
	}
	return nil
}

func didYouMean(s string, all []string) string {
	if like := inspect.Similar(s, all); like != "" {
		return fmt.Sprintf("; did you mean %s?", like)
	}
	return ""
}

// days are what durations have in front of Go's own units.
var days = regexp.MustCompile(`^(?:([0-9]+(?:\.[0-9]+)?)w)?(?:([0-9]+(?:\.[0-9]+)?)d)?([0-9.].*)?$`)

// duration reads a span of time; beside Go's units there are days and weeks.
func duration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration: write it like 10s, 1h30m or 7d", s)
	parts := days.FindStringSubmatch(s)
	if s == "" || parts == nil {
		return 0, bad
	}
	const day = 24 * time.Hour
	total := 0.0
	for i, unit := range []time.Duration{7 * day, day} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseFloat(parts[i+1], 64)
		if err != nil {
			return 0, bad
		}
		total += n * float64(unit)
	}
	rest := time.Duration(0)
	if parts[3] != "" {
		var err error
		if rest, err = time.ParseDuration(parts[3]); err != nil {
			return 0, bad
		}
	}
	if total+float64(rest) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too long: at most 292 years can be told apart", s)
	}
	return time.Duration(total) + rest, nil
}
