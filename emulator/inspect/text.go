package inspect

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Text writes an event for people, without its time and room. It may have
// several lines where there is a stack.
func Text(e Event) string {
	switch e := e.(type) {
	case *RoomStarted:
		return fmt.Sprintf("started by %s, generation %d", e.Cause, e.Generation)
	case *RoomHibernated:
		if e.Connections == 0 {
			return "cold: nothing needs it" + forced(e.Header)
		}
		return fmt.Sprintf("hibernated, %s open", plural(e.Connections, "connection")) + forced(e.Header)
	case *RoomEvicted:
		return "evicted: " + e.Reason + cut(e.Cut) + forced(e.Header)
	case *RoomAborted:
		return "aborted: " + e.Reason + cut(e.Cut) + forced(e.Header)
	case *ConnectionOpened:
		s := e.Connection + " connected " + pathOf(e.URI)
		if len(e.Tags) > 1 {
			s += " tags " + strings.Join(e.Tags[1:], ", ")
		}
		return s
	case *ConnectionRefused:
		return e.Connection + " refused: " + e.Reason
	case *ConnectionClosed:
		s := fmt.Sprintf("%s closed %d", e.Connection, e.Code)
		if e.Reason != "" {
			s += " " + strconv.Quote(e.Reason)
		}
		return s + forced(e.Header)
	case *MessageIn:
		return fmt.Sprintf("%s -> %s", e.Connection, e.Payload.preview()) + auto(e.Auto)
	case *MessageOut:
		to := e.Connection
		if to == "" {
			to = fmt.Sprintf("all %d", e.Count)
		}
		return fmt.Sprintf("%s <- %s", to, e.Payload.preview()) + auto(e.Auto) + forced(e.Header)
	case *Request:
		s := fmt.Sprintf("%s %s %d in %s", e.Method, e.URL, e.Status, Span(e.Took))
		if e.Error != "" {
			s += ": " + e.Error
		}
		return s
	case *Turn:
		s := fmt.Sprintf("turn %s in %s", e.Kind, Span(e.Took))
		if e.Error != "" {
			s += " failed: " + e.Error
		}
		return s
	case *TurnLost:
		return fmt.Sprintf("turn %s lost: %s", e.Kind, e.Reason)
	case *Commit:
		return "committed"
	case *AlarmSet:
		if e.Deleted {
			return "alarm deleted" + forced(e.Header)
		}
		return "alarm set to " + e.At.Format(time.RFC3339Nano) + forced(e.Header)
	case *AlarmFired:
		if e.Retry > 0 {
			return fmt.Sprintf("alarm fired, retry %d", e.Retry) + forced(e.Header)
		}
		return "alarm fired" + forced(e.Header)
	case *AlarmRetried:
		return fmt.Sprintf("alarm failed; retry %d at %s", e.Retry, e.Due.Format("15:04:05.000"))
	case *AlarmGivenUp:
		return "alarm given up: " + e.Error
	case *Log:
		if e.Output {
			return e.Text
		}
		return e.Level + " " + e.Text
	case *Exception:
		s := e.Hook + " failed: " + e.Error
		if e.Stack != "" {
			s += "\n" + strings.TrimRight(e.Stack, "\n")
		}
		return s
	case *GenerationStarted:
		if e.PID == 0 {
			return fmt.Sprintf("generation %d started in %s", e.Generation, Span(e.Took))
		}
		text := fmt.Sprintf("generation %d started in %s, process %d", e.Generation, Span(e.Took), e.PID)
		if e.Attach != "" {
			text += "\nattach a debugger with: " + e.Attach
		}
		return text
	case *GenerationFailed:
		s := fmt.Sprintf("generation %d: %s", e.Generation, e.Reason)
		if e.Retry > 0 {
			s += "; trying again in " + Span(e.Retry)
		}
		return s
	case *FilesChanged:
		s := e.Why
		if s == "" {
			s = strings.Join(e.Files, ", ")
			if more := e.Count - len(e.Files); more > 0 {
				s += fmt.Sprintf(" and %d more", more)
			}
			s += " changed"
		}
		if e.Same {
			s += ", but nothing that is built from it: the code stays"
		}
		return s
	case *BuildStarted:
		return "building " + e.Package
	case *BuildDone:
		return fmt.Sprintf("built in %s by %s", Span(e.Took), e.How)
	case *BuildFailed:
		s := "does not compile"
		if e.Generation > 0 {
			s += fmt.Sprintf("; generation %d goes on", e.Generation)
		}
		return s + ":\n" + e.Output
	case *BuildCanceled:
		return "files changed again: the build starts anew"
	case *Swapped:
		s := fmt.Sprintf("generation %d serves", e.Generation)
		if e.Changed > 0 {
			s += fmt.Sprintf(": %s took it in %s", plural(e.Changed, "room"), Span(e.Took))
		}
		if e.Waiting > 0 {
			s += fmt.Sprintf(", %s will take it when what runs there has ended", plural(e.Waiting, "room"))
		}
		return s + cut(e.Cut) + "; " + Span(e.Total) + " after the change"
	case *Retired:
		s := fmt.Sprintf("generation %d has ended", e.Generation)
		if e.Lost > 0 {
			s += fmt.Sprintf("; what still ran in %s is lost", plural(e.Lost, "room"))
		}
		return s
	case *WorkLost:
		return fmt.Sprintf("background work lost (%s): %s", strings.Join(e.What, ", "), e.Reason)
	case *ReloadFailed:
		return fmt.Sprintf("not reloaded, generation %d goes on: %s", e.Generation, e.Reason)
	case *FirstAnswer:
		return fmt.Sprintf("first answer of generation %d, %s after the change", e.Generation, Span(e.Total))
	case *Crash:
		s := fmt.Sprintf("generation %d crashed: %s; %s lost%s", e.Generation, e.Reason, plural(e.Turns, "turn"), cut(e.Cut)) + forced(e.Header)
		if e.Restarts {
			s += "; starting it again"
		}
		if e.Output != "" {
			s += "\n" + e.Output
		}
		return s
	case *RoomReset:
		return "reset: its storage is deleted" + forced(e.Header)
	case *ConnectionCut:
		return e.Connection + " cut" + forced(e.Header)
	case *ConnectionDelayed:
		if e.Delay == 0 {
			return e.Connection + " no longer delayed" + forced(e.Header)
		}
		return e.Connection + " delayed by " + Span(e.Delay) + forced(e.Header)
	case *CommitFailing:
		return "its next commit will fail" + forced(e.Header)
	case *StorageWritten:
		return e.text() + forced(e.Header)
	case *ClockMoved:
		return "clock moved by " + e.By.String()
	case *Ready:
		return e.text()
	}
	return e.Type()
}

func (e *StorageWritten) text() string {
	switch {
	case e.SQL != "":
		return fmt.Sprintf("storage written by %q, %s", e.SQL, plural(int(e.Affected), "row"))
	case e.Deleted:
		return fmt.Sprintf("storage: %q deleted", e.Key)
	}
	return fmt.Sprintf("storage: %q written", e.Key)
}

func (e *Ready) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "serving  %s", e.URL)
	width := 0
	for _, c := range e.Classes {
		width = max(width, len(c.WebSocket))
	}
	for _, c := range e.Classes {
		fmt.Fprintf(&b, "\n  %-*s  %s", width, c.WebSocket, c.Class)
		if c.Hibernate {
			b.WriteString(", hibernates")
		}
	}
	fmt.Fprintf(&b, "\nstate    %s\ntry      %s", e.State, e.Try)
	return b.String()
}

// pathOf leaves out the part of a URL that is the same for all.
func pathOf(uri string) string {
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
	}
	return uri
}

func forced(h Header) string {
	if h.Forced {
		return " (forced)"
	}
	return ""
}

func auto(yes bool) string {
	if yes {
		return " (automatic response)"
	}
	return ""
}

func cut(n int) string {
	if n == 0 {
		return ""
	}
	return ", " + plural(n, "connection") + " cut"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Span writes a duration with three digits at most.
func Span(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// previewWidth is how much of a message a line shows.
const previewWidth = 100

func (p Payload) preview() string {
	if p.Binary {
		const most = previewWidth / 4
		if len(p.Data) > most {
			return fmt.Sprintf("%x... (%d bytes)", p.Data[:most], p.Size)
		}
		return fmt.Sprintf("%x (%s)", p.Data, plural(p.Size, "byte"))
	}
	s, more := p.Data, ""
	if len(s) > previewWidth {
		s = s[:previewWidth]
		for len(s) > 0 && !utf8.Valid(s) {
			s = s[:len(s)-1]
		}
		more = fmt.Sprintf("... (%d bytes)", p.Size)
	}
	if len(s) > 0 && s[0] != ' ' && s[len(s)-1] != ' ' && !strings.ContainsFunc(string(s), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return string(s) + more // as it is: JSON is easier to read without quotes
	}
	return fmt.Sprintf("%q", s) + more
}
