// Ledger writes what it is told three times over, in one turn: as a value, as a
// row, and as something that an alarm must see to. Afterwards it can be said
// what was lost.
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/goparty/party"
)

// Ledger is one list of numbers.
type Ledger struct{ party.Server }

// alarmAfter is how long after a number its alarm comes.
const alarmAfter = 30 * time.Millisecond

func (l *Ledger) OnStart(ctx context.Context) error {
	_, err := l.Storage().SQL().ExecContext(ctx, "CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY, seen INTEGER NOT NULL DEFAULT 0)")
	return err
}

func (l *Ledger) OnRequest(w http.ResponseWriter, r *http.Request) {
	if err := l.serve(w, r); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (l *Ledger) serve(w http.ResponseWriter, r *http.Request) error {
	db := l.Storage().SQL()
	if r.Method == http.MethodPost {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			return err
		}
		if err := l.Storage().Put("n:"+strconv.Itoa(n), n); err != nil {
			return err
		}
		if _, err := db.ExecContext(r.Context(), "INSERT INTO numbers (n) VALUES (?)", n); err != nil {
			return err
		}
		if err := l.Storage().SetAlarm(l.Now().Add(alarmAfter)); err != nil {
			return err
		}
		_, _ = w.Write([]byte("saved"))
		return nil
	}
	report := struct {
		Values int            `json:"values"`
		Rows   map[string]int `json:"rows"` // how often an alarm saw each
		Halves []string       `json:"halves"`
	}{Rows: map[string]int{}}
	rows, err := db.QueryContext(r.Context(), "SELECT n, seen FROM numbers")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n, seen int
		if err := rows.Scan(&n, &seen); err != nil {
			return err
		}
		report.Rows[strconv.Itoa(n)] = seen
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for key := range l.Storage().List(party.ListOptions{Prefix: "n:"}) {
		report.Values++
		if _, ok := report.Rows[key[len("n:"):]]; !ok {
			report.Halves = append(report.Halves, key)
		}
	}
	return json.NewEncoder(w).Encode(report)
}

// OnAlarm sees to all numbers that it has not seen to.
func (l *Ledger) OnAlarm(ctx context.Context, _ party.AlarmInfo) error {
	_, err := l.Storage().SQL().ExecContext(ctx, "UPDATE numbers SET seen = seen + 1 WHERE seen = 0")
	return err
}

// App binds the class.
var App = party.App{Servers: party.Servers{"ledger": party.ClassOf[Ledger]()}}

func main() { party.Main(App) }
