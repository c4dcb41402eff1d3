package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// inUse is the error for a lock that another Store holds.
func inUse(path string) error {
	who := "another process"
	if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
		who = "process " + strings.TrimSpace(string(b))
	}
	return fmt.Errorf("storage: %s is in use by %s: stop that one first, or use another directory", filepath.Dir(path), who)
}

// writePID writes this process into its lock file. It closes f where it fails.
func writePID(f *os.File) (*os.File, error) {
	pid := fmt.Sprintf("%d\n", os.Getpid())
	if _, err := f.WriteAt([]byte(pid), 0); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Truncate(int64(len(pid))); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
