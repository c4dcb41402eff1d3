package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkBuild is what a saved file waits for, before new code is started.
func BenchmarkBuild(b *testing.B) {
	source, err := os.ReadFile(filepath.Join("..", "fixtures", "chat", "main.go"))
	if err != nil {
		b.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join("..", "fixtures", "chat", "index.html"))
	if err != nil {
		b.Fatal(err)
	}
	dir := outside(b, map[string]string{"main.go": string(source), "index.html": string(index)})
	builder, err := NewBuilder(dir, filepath.Join(dir, ".party"))
	if err != nil {
		b.Fatal(err)
	}
	defer builder.Close()
	builder.quicken()
	if _, err := builder.Build(b.Context()); err != nil {
		b.Fatal(err)
	}
	edit := func(n int) {
		write(b, dir, map[string]string{"main.go": string(source) + fmt.Sprintf("\nvar _ = %d\n", n)})
	}
	n := 0
	b.Run("go build", func(b *testing.B) {
		for b.Loop() {
			n++
			edit(n)
			if _, err := builder.Build(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	d, err := builder.prepare(b.Context())
	if err != nil || d == nil {
		b.Fatal(err)
	}
	b.Run("compiler and linker", func(b *testing.B) {
		for b.Loop() {
			n++
			edit(n)
			err := d.build(b.Context(), builder, []string{filepath.Join(dir, "main.go")}, builder.next())
			if errors.Is(err, errIndirect) {
				b.Fatal("it is for the go command")
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	linker, missing := builder.findLinker(b.Context())
	if missing != "" {
		linker = missing
		if err := builder.buildLinker(b.Context(), linker); err != nil {
			b.Skip(err)
		}
	}
	builder.linker = linker
	b.Run("a linker that read ahead", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			d.readAhead(builder)
			time.Sleep(time.Second) // nothing tells that it has read
			b.StartTimer()
			n++
			edit(n)
			if err := d.build(b.Context(), builder, []string{filepath.Join(dir, "main.go")}, builder.next()); err != nil {
				b.Fatal(err)
			}
		}
	})
	d.drop()
}
