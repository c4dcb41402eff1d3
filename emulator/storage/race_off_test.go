//go:build !race

package storage

// rows of the large query.
const rows = 1_000_000
