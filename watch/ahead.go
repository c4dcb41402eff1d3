package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// aheadLimit is how long a linker waits for the next edit. It holds some 60 MB.
const aheadLimit = 5 * time.Minute

// ahead is a linker that has read all packages but main and waits for that.
type ahead struct {
	main  string // archive that it will read
	path  string // program that it will write
	cmd   *exec.Cmd
	kill  func()
	stdin io.WriteCloser
	said  bytes.Buffer
	done  chan struct{} // closed when it has ended
	err   error
	timer *time.Timer
	once  sync.Once
}

// readAhead starts a linker for the next build.
func (d *direct) readAhead(b *Builder) {
	if b.linker == "" || d.next != nil {
		return
	}
	d.count++
	a := &ahead{
		main: filepath.Join(d.out, fmt.Sprintf("main%d.a", d.count)), path: filepath.Join(d.out, fmt.Sprintf("ahead%d", d.count)),
		done: make(chan struct{}),
	}
	args, cfg, err := d.linking(a.path, map[string]string{d.mainPath(): a.main})
	if err != nil {
		return
	}
	a.cmd = exec.Command(b.linker, args[1:]...)
	a.cmd.Dir, a.cmd.Env = b.in(d.linkDir), append(slices.Clone(d.env), earlyVariable+"=1")
	a.cmd.Stdout, a.cmd.Stderr = &a.said, &a.said
	a.kill = apart(a.cmd)
	a.cmd.Cancel, a.cmd.WaitDelay = nil, 0 // there is no context
	if a.stdin, err = a.cmd.StdinPipe(); err == nil {
		err = a.cmd.Start()
	}
	if err != nil {
		_ = os.Remove(cfg)
		return
	}
	go func() {
		a.err = a.cmd.Wait()
		_ = os.Remove(cfg)
		close(a.done)
	}()
	a.timer = time.AfterFunc(aheadLimit, a.stop)
	d.next = a
}

// finish lets the linker go on: its archive is there.
func (a *ahead) finish(ctx context.Context) error {
	a.timer.Stop()
	prefer(a.cmd)
	_, err := a.stdin.Write([]byte{1})
	select {
	case <-a.done:
	case <-ctx.Done():
		a.stop()
		return ctx.Err()
	}
	if err = errors.Join(err, a.err); err != nil {
		return fmt.Errorf("%w: %s", err, a.said.Bytes())
	}
	return nil
}

// stop ends the linker.
func (a *ahead) stop() {
	a.once.Do(func() {
		a.timer.Stop()
		_ = a.stdin.Close()
		a.kill()
	})
	<-a.done
	_ = os.Remove(a.path)
}

// drop removes what was built, and ends the linker that waits. The direct way is
// not gone any more.
func (d *direct) drop() {
	if d == nil {
		return
	}
	d.stopAhead()
	for _, archive := range d.archives {
		if filepath.Dir(archive) == d.out {
			_ = os.Remove(archive)
		}
	}
}

// stopAhead ends the linker that waits, if one does.
func (d *direct) stopAhead() {
	if d.next != nil {
		d.next.stop()
		d.next = nil
	}
}
