package watch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatcherWaitsUntilFilesAreQuiet(t *testing.T) {
	for name, row := range map[string]struct {
		files int
		every time.Duration
		after time.Duration // from the first change
	}{
		"one file":                   {1, 0, quietFew},
		"a file in two writes":       {1, 2 * time.Millisecond, 2*time.Millisecond + quietFew},
		"a checkout":                 {500, 100 * time.Microsecond, 499*100*time.Microsecond + quietMany},
		"what never comes to an end": {100000, 2 * time.Millisecond, quietMost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &watcher{wake: make(chan struct{}, 1), paths: map[string]bool{}}
				began := time.Now()
				stop := make(chan struct{})
				go func() {
					for i := range max(row.files, 2) {
						if row.files == 1 && row.every == 0 && i == 1 {
							return
						}
						path := "same"
						if row.files > 1 {
							path = fmt.Sprint(i)
						}
						w.mu.Lock()
						w.note(path)
						w.mu.Unlock()
						select {
						case <-stop:
							return
						case <-time.After(row.every):
						}
					}
				}()
				<-w.wake
				first := w.settle(t.Context())
				took := time.Since(began)
				close(stop)
				if !first.Equal(began) {
					t.Errorf("the first change was after %s", first.Sub(began))
				}
				if took < row.after || took > row.after+quietMany {
					t.Errorf("it is quiet after %s, want %s", took, row.after)
				}
			})
		})
	}
}

func TestWatcherSettlesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watcher{wake: make(chan struct{}, 1), paths: map[string]bool{}}
		w.look()
		<-w.wake
		if w.settle(t.Context()).IsZero() {
			t.Error("nothing was noted")
		}
		if first := w.settle(t.Context()); !first.IsZero() {
			t.Errorf("the change of %s is there again", first)
		}
	})
}
