package storage

import (
	"errors"
	"os"
)

// Remove deletes the room's file with all that belongs to it, also one that
// SQLite cannot read, and the room from the index. What is not committed is
// lost, and bookmarks lead nowhere. While another Database has the file open,
// what is in it is deleted instead. The next write makes a new file.
func (d *Database) Remove() error {
	_ = d.Close() // it may be unreadable
	x, err := d.store.index(d.binding)
	if err != nil {
		return err
	}
	removed, err := d.removeFiles()
	if err != nil {
		return err
	}
	if removed {
		return x.forget(d.id, d.path)
	}
	if err = d.DeleteAll(); err == nil {
		_, err = d.Commit()
	}
	return errors.Join(err, d.Close())
}

// removeFiles reports false where another Database has the file open.
func (d *Database) removeFiles() (bool, error) {
	defer d.enter()()
	d.store.opening.Lock()
	defer d.store.opening.Unlock()
	if !d.alone() {
		return false, nil
	}
	paths := append(d.left(), d.path)
	for _, suffix := range []string{".sqlite-wal", ".sqlite-shm", ".sqlite-wal.new", ".history", ".restore", ".restore.new"} {
		paths = append(paths, d.side(suffix))
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return false, err
		}
	}
	return true, nil
}
