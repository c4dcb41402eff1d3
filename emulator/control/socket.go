package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Name is where the socket lies below the directory in which `party dev` runs.
var Name = filepath.Join(".party", "dev.sock")

// maxPath is the longest path of a socket that every system takes.
const maxPath = 103

// ErrLive is wrapped by the error for a socket that somebody else serves.
var ErrLive = errors.New("another party dev serves it")

// listener removes its files when it is closed.
type listener struct {
	net.Listener
	files []string
	infos []os.FileInfo
	dir   string // to remove, "": none
}

// Listen makes the socket at path, which only its owner may open. What a
// process that is no more left there is replaced; a socket that is served is
// not, see [ErrLive]. Where path is too long for a socket, a file there names
// one in the temporary directory. Closing the listener removes all that.
func Listen(path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := free(path); err != nil {
		return nil, err
	}
	if len(path) <= maxPath-len(suffix) {
		ln, err := private(path)
		if err != nil {
			return nil, err
		}
		l := &listener{Listener: ln}
		l.owns(path)
		return l, nil
	}
	dir, err := os.MkdirTemp("", "party-")
	if err != nil {
		return nil, err
	}
	l := &listener{dir: dir}
	real := filepath.Join(dir, "dev.sock")
	if l.Listener, err = private(real); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	l.owns(real)
	if err := writeFile(path, real+"\n"); err != nil {
		_ = l.Close()
		return nil, err
	}
	l.owns(path)
	return l, nil
}

// free makes sure that nobody serves a socket at path.
func free(path string) error {
	info, err := os.Lstat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory, and the control socket belongs there: remove it, or name another place with --socket", path)
	}
	real, err := resolve(path)
	if err != nil {
		return fmt.Errorf("%w; remove it, or name another place with --socket", err)
	}
	conn, err := net.DialTimeout("unix", real, time.Second)
	if err != nil {
		return nil
	}
	_ = conn.Close()
	return fmt.Errorf("%s: %w", path, ErrLive)
}

// suffix of a socket that is not in its place yet.
const suffix = ".new"

// private listens at path. The socket gets its name only when nobody else may
// open it.
func private(path string) (net.Listener, error) {
	at := path + suffix
	if runtime.GOOS == "windows" {
		at = path // it has neither modes nor a name to give later
	}
	_ = os.Remove(at)
	ln, err := net.Listen("unix", at)
	if err != nil {
		return nil, err
	}
	if at == path {
		return ln, nil
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err = os.Chmod(at, 0o600); err == nil {
		err = os.Rename(at, path)
	}
	if err != nil {
		_ = ln.Close()
		_ = os.Remove(at)
		return nil, err
	}
	return ln, nil
}

func writeFile(path, text string) error {
	at := path + suffix
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(at, path)
}

func (l *listener) owns(path string) {
	if info, err := os.Lstat(path); err == nil {
		l.files, l.infos = append(l.files, path), append(l.infos, info)
	}
}

// Close ends the listener and removes its files, unless they are somebody
// else's by now.
func (l *listener) Close() error {
	err := l.Listener.Close()
	for i, path := range l.files {
		if info, e := os.Lstat(path); e == nil && os.SameFile(info, l.infos[i]) {
			_ = os.Remove(path)
		}
	}
	l.files = nil
	if l.dir != "" {
		_ = os.RemoveAll(l.dir)
	}
	return err
}

// resolve finds the socket that path is or names.
func resolve(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || runtime.GOOS == "windows" && info.Size() == 0 {
		return path, nil
	}
	text := make([]byte, 4096)
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	n, _ := f.Read(text)
	real := strings.TrimSuffix(string(text[:n]), "\n")
	if !filepath.IsAbs(real) || strings.ContainsAny(real, "\n\x00") || len(real) > maxPath {
		return "", fmt.Errorf("%s is no control socket and names none", path)
	}
	return real, nil
}

// ErrNone is wrapped by the error for a place without an emulator.
var ErrNone = errors.New("no emulator here")

// Find walks up from dir to the first directory with a control socket.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; {
		path := filepath.Join(at, Name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", fmt.Errorf("%w: there is no %s in %s or above; run `party dev` there first, or name its socket with --socket", ErrNone, Name, dir)
		}
		at = up
	}
}
