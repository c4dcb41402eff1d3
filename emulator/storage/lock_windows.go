package storage

import (
	"errors"
	"os"
	"syscall"
)

const sharingViolation = syscall.Errno(32)

// lockDir opens the lock file at path so that others may only read it, and
// writes this process into it.
func lockDir(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.FILE_SHARE_READ, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		if errors.Is(err, sharingViolation) {
			return nil, inUse(path)
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return writePID(os.NewFile(uintptr(h), path))
}

func unlockDir(f *os.File) error { return f.Close() }
