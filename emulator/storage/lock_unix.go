//go:build unix

package storage

import (
	"errors"
	"os"
	"syscall"
)

// lockDir takes the lock file at path and writes this process into it.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, inUse(path)
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return writePID(f)
}

// unlockDir gives the lock back at once: a process that is being started in this
// moment may hold the file open a little longer than we do.
func unlockDir(f *os.File) error {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	return f.Close()
}
