//go:build race

package storage

// rows is fewer under the race detector, which makes SQLite slow.
const rows = 100_000
