package party

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
)

func isClosed(err error) bool { return errors.Is(err, ErrClosed) }

// logHandler formats records as slog's text handler does and hands the lines
// on. The emulator adds the time.
type logHandler struct {
	log   func(level slog.Level, line string)
	scope []func(slog.Handler) slog.Handler
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	var b bytes.Buffer
	var attrs slog.Handler = slog.NewTextHandler(&b, &slog.HandlerOptions{
		Level: slog.LevelDebug - 100,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		},
	})
	for _, s := range h.scope {
		attrs = s(attrs)
	}
	if err := attrs.Handle(ctx, r); err != nil {
		return err
	}
	line := r.Message
	if a := bytes.TrimSpace(b.Bytes()); len(a) > 0 {
		line += " " + string(a)
	}
	h.log(r.Level, line)
	return nil
}

func (h *logHandler) with(s func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{log: h.log, scope: append(h.scope[:len(h.scope):len(h.scope)], s)}
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(s slog.Handler) slog.Handler { return s.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return h.with(func(s slog.Handler) slog.Handler { return s.WithGroup(name) })
}
