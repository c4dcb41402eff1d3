package tui

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	_ = os.Unsetenv("PARTY_UI_KEYS")
	goleak.VerifyTestMain(m)
}
