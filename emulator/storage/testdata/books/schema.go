package books

import "embed"

// Schema is what the queries were generated from, and Migrations make it.
var (
	//go:embed schema.sql
	Schema string
	//go:embed migrations/*.sql
	Migrations embed.FS
)
