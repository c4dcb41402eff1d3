package watch

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Compile builds the package as a program of its own, not as a plugin, and
// writes it to out. env is added to the environment of the go command, such as
// GOOS=js, and flags to its own.
func (b *Builder) Compile(ctx context.Context, out string, env []string, flags ...string) error {
	args := []string{"build", "-o", out, "-trimpath", "-buildvcs=false", "-ldflags=-s -w"}
	if b.tags != "" {
		args = append(args, "-tags", b.tags)
	}
	args = append(args, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = b.dir
	cmd.Env = append(cmd.Environ(), env...)
	return b.run(ctx, cmd)
}

// PackageDir is where the go command finds a package that this one imports.
func (b *Builder) PackageDir(ctx context.Context, path string) (string, error) {
	return b.ask(ctx, "list", "-f", "{{.Dir}}", path)
}

// Env asks the go command that builds the package for a variable, such as
// GOROOT.
func (b *Builder) Env(ctx context.Context, name string) (string, error) {
	return b.ask(ctx, "env", name)
}

func (b *Builder) ask(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return string(bytes.TrimSpace(out)), nil
}
