//go:build unix

package main

import (
	"context"
	"flag"
	"fmt"
	"html"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/vt"

	"github.com/goparty/party/devclient"
)

var picture = flag.Bool("picture", false, "write the pictures of the README: go test ./cmd/party -run TestPicture -picture")

// demo is what the pictures show.
const demo = `package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/goparty/party"
)

type Room struct{ party.Server }

func (r *Room) OnStart(ctx context.Context) error {
	_, err := r.Storage().SQL().ExecContext(ctx, "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, who TEXT, text TEXT)")
	return err
}

func (r *Room) OnMessage(ctx context.Context, conn *party.Connection, msg party.Message) error {
	switch word, rest, _ := strings.Cut(msg.String(), " "); word {
	case "fail":
		return fmt.Errorf("no such card: %s", rest)
	case "in":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		return r.Storage().SetAlarm(r.Now().Add(d))
	case "log":
		r.Log().Info(rest)
	case "think":
		r.AfterFunc(time.Hour, func(context.Context) {})
	default:
		r.Broadcast(msg)
	}
	return nil
}

func (r *Room) OnAlarm(context.Context, party.AlarmInfo) error { return nil }

var class = party.ClassOf[Room](party.Options{Hibernate: true})

var App = party.App{Servers: party.Servers{"chat": class, "game": class, "reminder": class}}

func main() { party.Main(App) }
`

var address = regexp.MustCompile(`ws://[^ ]+/parties/`)

// TestPicture makes the README's pictures from the real program: it runs in a
// terminal, with real clients, and what the terminal shows is drawn.
func TestPicture(t *testing.T) {
	if !*picture {
		t.Skip("-picture draws the README's pictures")
	}
	dir := filepath.Join(t.TempDir(), "cards")
	if err := os.Rename(module(t, map[string]string{"main.go": demo}), dir); err != nil {
		t.Fatal(err)
	}
	c := inTerminal(t, dir, 116, 30, nil, "dev", "--hibernate-after", "4s")
	c.sees("Ready. No room exists yet")
	base := address.FindString(c.text())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	connect := func(room, id string) *devclient.Client {
		client, err := devclient.Dial(ctx, base+room, devclient.Options{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Drop)
		return client
	}
	say := func(client *devclient.Client, text string) {
		if err := client.Send(devclient.Text(text)); err != nil {
			t.Error(err)
		}
	}
	people := []string{"ada", "bob", "cleo", "dan", "eve", "finn", "gus"}
	var lobby []*devclient.Client
	for _, who := range people {
		lobby = append(lobby, connect("chat/lobby", who))
	}
	for i, room := range []string{"chat/random", "chat/support", "game/table-7", "game/table-9"} {
		for _, who := range people[:2+i%3] {
			one := connect(room, who)
			if who == "ada" && room == "game/table-7" {
				say(one, "fail the green dragon")
			}
			if who == "ada" && room == "game/table-9" {
				say(one, "think")
			}
		}
	}
	for who, d := range map[string]string{"ada": "90s", "bob": "25m"} {
		one := connect("reminder/"+who, who)
		say(one, "in "+d)
		if who == "bob" {
			one.Drop()
		}
	}
	say(lobby[0], "log ada shuffles the cards")
	say(lobby[1], "log bob draws two")

	// As much traffic as the picture remembers, in waves.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := range 24 * 50 {
		<-tick.C
		if wave := 1 + math.Sin(float64(i)/90); i%max(1, int(6-3*wave)) == 0 {
			say(lobby[i%len(lobby)], fmt.Sprintf(`{"type":"message","from":"%s","text":"that makes %d"}`, people[i%len(people)], i))
		}
	}
	c.draw(filepath.Join(repo(t), "tui", "testdata", "rooms.svg"))
	c.press("enter")
	c.press("up")
	c.press("enter")
	c.draw(filepath.Join(repo(t), "tui", "testdata", "room.svg"))
	c.leave("q")
}

// The size of a cell of the pictures, and what is around the screen.
const (
	cellWidth, cellHeight = 8.4, 18.0
	frameTop, frameSide   = 34.0, 14.0
)

// draw writes the screen as a picture.
func (c *terminal) draw(path string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.screen
	w, h := frameSide*2+cellWidth*float64(s.Width()), frameTop+frameSide+cellHeight*float64(s.Height())
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" rx="10" fill="#14181f"/>`+"\n", w, h)
	for i, fill := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="17" r="5.5" fill="%s"/>`, 20+18*i, fill)
	}
	fmt.Fprintf(&b, `<text x="%.0f" y="22" fill="#8b949e" text-anchor="middle" font-size="12">%s</text>`+"\n", w/2, html.EscapeString(c.title))
	for y := range s.Height() {
		for x := 0; x < s.Width(); {
			x = drawRun(&b, s, x, y)
		}
	}
	b.WriteString("</svg>\n")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// bars are the signs that are drawn instead of written, as fonts differ in
// them: the part of a cell's height that they fill.
var bars = map[string]float64{"▁": 1. / 8, "▂": 2. / 8, "▃": 3. / 8, "▄": 4. / 8, "▅": 5. / 8, "▆": 6. / 8, "▇": 7. / 8, "█": 1}

// drawRun draws the cells from x on that look the same, and returns where the
// next ones begin.
func drawRun(b *strings.Builder, s *vt.Emulator, x, y int) int {
	first := s.CellAt(x, y)
	if first == nil {
		return x + 1
	}
	left, top := frameSide+cellWidth*float64(x), frameTop+cellHeight*float64(y)
	fg, bg := hexOf(first.Style.Fg, "#d6dbe3"), hexOf(first.Style.Bg, "")
	if first.Style.Attrs&uv.AttrReverse != 0 {
		fg, bg = "#14181f", fg
	}
	box := func(dx, dy, w, h float64, fill string) {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, left+dx, top+dy, w, h, fill)
	}
	drawn := func(content string) bool {
		_, bar := bars[content]
		return bar || strings.Contains("─━│▌", content) && content != ""
	}
	n, text := 0, ""
	for at := x; at < s.Width(); at++ {
		cell := s.CellAt(at, y)
		if cell == nil || !cell.Style.Equal(&first.Style) || (drawn(cell.Content) || drawn(first.Content)) && cell.Content != first.Content {
			break
		}
		n++
		text += cell.Content
		if cell.Content == "" {
			text += " "
		}
	}
	w := cellWidth * float64(n)
	if bg != "" {
		box(0, 0, w, cellHeight, bg)
	}
	switch content := first.Content; {
	case bars[content] > 0:
		full := cellHeight - 5
		for i := range n {
			box(cellWidth*float64(i)+0.7, 2+full*(1-bars[content]), cellWidth-1.4, full*bars[content], fg)
		}
	case content == "─":
		box(0, cellHeight/2-0.5, w, 1, fg)
	case content == "━":
		box(0, cellHeight/2-1.2, w, 2.4, fg)
	case content == "│":
		box(cellWidth/2-0.5, 0, 1, cellHeight, fg)
	case content == "▌":
		box(0, 0, cellWidth/2, cellHeight, fg)
	default:
		trimmed := strings.TrimLeft(text, " ")
		skip := len(text) - len(trimmed)
		if trimmed = strings.TrimRight(trimmed, " "); trimmed == "" {
			break
		}
		weight := ""
		if first.Style.Attrs&uv.AttrBold != 0 {
			weight = ` font-weight="bold"`
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s" textLength="%.1f" xml:space="preserve"%s>%s</text>`,
			left+cellWidth*float64(skip), top+13.5, fg, cellWidth*float64(len([]rune(trimmed))), weight, html.EscapeString(trimmed))
	}
	b.WriteByte('\n')
	return x + n
}

func hexOf(c color.Color, otherwise string) string {
	if c == nil {
		return otherwise
	}
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}
