package script

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// Command is one of the language's own commands, as it explains itself.
type Command struct {
	Name  string
	Usage []string // one form a line, without the name
	Short string   // one line
	Long  string   // what else is to know; ""
	Fails bool     // ! before it asks for its failure

	run func(s *session, neg bool, args []string) error
}

// Commands are the language's own commands, in the order in which one meets
// them. Those of testscript itself (exec, cmp, stdout, ...) come on top.
func Commands() []Command { return slices.Clone(commands) }

// commands is filled by init, because help refers to it.
var commands []Command

func init() {
	commands = []Command{
		{
			Name: "start", Usage: []string{"[DIR] [FLAGS]"}, Fails: true, run: (*session).start,
			Short: "builds and runs the server in DIR",
			Long: `Without DIR it is the script's own .go files, or, where there are none, the package
in the folder where party test runs. FLAGS are those of party dev that make sense
here: --hibernate-after, --evict-after, --env-file, --on-reload, --state, --host,
--port, --race, --debug, --loader=process.`,
		},
		{Name: "shutdown", Usage: []string{""}, run: (*session).shutdown, Short: "stops the server in order; its state is there for the next start"},
		{Name: "restart", Usage: []string{""}, run: (*session).restart, Short: "shutdown, then start with the same program"},
		{
			Name: "reload", Usage: []string{"[-now]"}, Fails: true, run: (*session).reload,
			Short: "builds again and swaps; every connection stays",
			Long:  "With -now it does not wait for quiet: turns that run go on under the old code.",
		},
		{Name: "crash", Usage: []string{""}, run: (*session).crash, Short: "kills the server's process, as a bug would"},
		{
			Name: "connect", Usage: []string{"NAME ROOM [-id ID] [-query K=V] [-header K=V] [-protocol P] [-fail STATUS]"}, Fails: true, run: (*session).connect,
			Short: "opens a WebSocket to a room and calls it NAME",
			Long: `ROOM is party/name as in the URL, such as chat/lobby. Without -id none is sent and
the server makes one up. With -fail the server must answer STATUS instead.`,
		},
		{Name: "send", Usage: []string{"NAME TEXT", "-binary NAME HEX", "-file NAME FILE"}, run: (*session).send, Short: "sends one message"},
		{
			Name: "recv", Usage: []string{"NAME TEXT", "-re NAME PATTERN", "-json NAME JSON", "-binary NAME HEX", "-none NAME"}, run: (*session).recv,
			Short: "takes the next message, which must be this one",
			Long: `It waits for one for 5 s of real time. -re: it matches the regular expression.
-json: it is the same JSON. -none: nothing is unread when all is quiet.`,
		},
		{Name: "close", Usage: []string{"NAME [CODE [REASON]]"}, run: (*session).close, Short: "closes a connection with a close frame"},
		{Name: "drop", Usage: []string{"NAME"}, run: (*session).drop, Short: "ends a connection or an open request without a word, as a network that fails"},
		{
			Name: "closed", Usage: []string{"NAME [CODE [REASON]]"}, run: (*session).closed,
			Short: "the next thing that comes is the connection's end",
			Long:  "It waits for it for 5 s. 1005 is a close frame without a code, 1006 no close frame.",
		},
		{
			Name: "http", Usage: []string{"[-X METHOD] [-H K:V] [-d BODY] PATH", "-open NAME [-X METHOD] [-H K:V] [-d BODY] PATH"}, Fails: true, run: (*session).http,
			Short: "makes a request; the answer's body is stdout",
			Long: `status and header look at the answer. -open leaves the request open, and need not be
answered yet: recv NAME then takes the body line by line, and drop NAME ends it.
Where the body is a text in $WORK, -d @FILE sends that.`,
		},
		{Name: "status", Usage: []string{"CODE"}, Fails: true, run: (*session).status, Short: "the last answer's status"},
		{Name: "header", Usage: []string{"NAME PATTERN"}, Fails: true, run: (*session).header, Short: "the last answer has a header that matches a regular expression"},
		{Name: "hibernate", Usage: []string{"[-force] ROOM"}, Fails: true, run: (*session).hibernate, Short: "drops a room's memory and keeps its connections"},
		{Name: "evict", Usage: []string{"ROOM"}, Fails: true, run: (*session).evict, Short: "drops a room's memory as the platform would"},
		{Name: "abort", Usage: []string{"ROOM"}, Fails: true, run: (*session).abort, Short: "resets a room: connections are cut, what is not committed is lost"},
		{Name: "fire", Usage: []string{"ROOM"}, Fails: true, run: (*session).fire, Short: "runs the alarm's handler now, without moving the clock"},
		{
			Name: "advance", Usage: []string{"DURATION"}, run: (*session).advance,
			Short: "moves the clock and runs what falls due, in order",
			Long:  "DURATION is like 10s, 1h30m or 7d. Each thing that falls due sees its own time.",
		},
		{Name: "idle", Usage: []string{""}, run: (*session).idle, Short: "waits until all is quiet"},
		{
			Name: "room", Usage: []string{"ROOM KEY=VALUE..."}, Fails: true, run: (*session).room,
			Short: "asserts what a room is",
			Long: `state=running|hibernated|cold connections=N generation=N starts=N
alarm=none or alarm=TIME, a time like 2030-01-01T00:00:10Z or +10s from now.
starts counts the room's instances since the first start of the script.`,
		},
		{Name: "rooms", Usage: []string{""}, run: (*session).rooms, Short: "prints the rooms, one a line"},
		{Name: "kv", Usage: []string{"ROOM [KEY]"}, Fails: true, run: (*session).kv, Short: "prints what a room stored: KEY's value as JSON, or all, each key with its value behind a tab"},
		{Name: "sql", Usage: []string{"ROOM QUERY"}, Fails: true, run: (*session).sql, Short: "prints the rows of a query, columns split by tabs"},
		{Name: "events", Usage: []string{"ROOM"}, run: (*session).events, Short: "prints what happened to a room"},
		{Name: "logs", Usage: []string{""}, run: (*session).logs, Short: "prints what the server wrote and logged"},
	}
}

// find looks a command up by name.
func find(name string) *Command {
	for i := range commands {
		if commands[i].Name == name {
			return &commands[i]
		}
	}
	return nil
}

// Help explains one command, or, where there is none of that name, says which
// one may be meant.
func Help(name string) (string, error) {
	c := find(name)
	if c == nil {
		var names []string
		for _, c := range commands {
			names = append(names, c.Name)
		}
		return "", fmt.Errorf("no command %q%s", name, didYouMean(name, names))
	}
	var b strings.Builder
	for _, u := range c.Usage {
		b.WriteString(strings.TrimSpace(c.Name+" "+u) + "\n")
	}
	b.WriteString("\n" + upperFirst(c.Short) + ".\n")
	if c.Long != "" {
		b.WriteString(c.Long + "\n")
	}
	if c.Fails {
		b.WriteString("! before it asks for its failure.\n")
	}
	return b.String(), nil
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// Table is the commands as a Markdown table, for the README.
func Table() string {
	var b strings.Builder
	b.WriteString("| command | what it does |\n|---|---|\n")
	for _, c := range commands {
		var forms []string
		for _, u := range c.Usage {
			forms = append(forms, "`"+strings.ReplaceAll(strings.TrimSpace(c.Name+" "+u), "|", "\\|")+"`")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(forms, "<br>"), c.Short)
	}
	return b.String()
}

// usageError is a command that was called wrongly.
func (c *Command) usageError(why string) error {
	var b strings.Builder
	b.WriteString(why + "\nusage:")
	for _, u := range c.Usage {
		b.WriteString("\n  " + strings.TrimSpace(c.Name+" "+u))
	}
	return errors.New(b.String())
}

// bind makes the commands those of a testscript.
func bind() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){}
	for i := range commands {
		c := &commands[i]
		all[c.Name] = func(ts *testscript.TestScript, neg bool, args []string) {
			s := sessionOf(ts)
			s.command = c
			if neg && !c.Fails {
				ts.Fatalf("! %s: this command cannot be asked to fail", c.Name)
			}
			err := c.run(s, neg, args)
			switch {
			case err == nil && neg:
				ts.Fatalf("%s did not fail", c.Name)
			case err == nil:
			case neg && !isMisuse(err):
				s.ts.Logf("(failed as asked: %s)", ownNames(err.Error()))
				s.failure(err)
			default:
				ts.Fatalf("%s", s.explain(err))
			}
		}
	}
	return all
}

// misuse is an error that ! does not ask for: the command itself is wrong.
type misuse struct{ error }

func isMisuse(err error) bool {
	var m misuse
	return errors.As(err, &m)
}

func (s *session) misuse(format string, args ...any) error {
	return misuse{s.command.usageError(fmt.Sprintf(format, args...))}
}

// failure makes a failure that was asked for something to look at with stderr.
func (s *session) failure(err error) {
	_, _ = fmt.Fprintln(s.ts.Stderr(), ownNames(err.Error()))
}
