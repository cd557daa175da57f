package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/mbus-dev/mbus/bus"
)

func TestExitCodes(t *testing.T) {
	end := func(code bus.Code, end bus.End) error {
		e := bus.Errorf(code, "it happened")
		e.End = end
		return fmt.Errorf("call: %w", e)
	}
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"no error", nil, 0},
		{"closed pipe", &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, 0},
		{"handler", end(bus.Internal, bus.Handler), 1},
		{"handler that says not found", end(bus.NotFound, bus.Handler), 1},
		{"handler without time", end(bus.DeadlineExceeded, bus.Handler), 1},
		{"reported already", errReported, 1},
		{"anything else", errors.New("disk on fire"), 1},
		{"usage", usagef("wrong"), 2},
		{"a name that cannot be", bus.Errorf(bus.InvalidArgument, "no name"), 2},
		{"a handler that says invalid", end(bus.InvalidArgument, bus.Handler), 1},
		{"broker away", end(bus.Unavailable, bus.Broker), 3},
		{"no rights", end(bus.PermissionDenied, bus.Refused), 4},
		{"unknown caller", end(bus.Unauthenticated, bus.Refused), 4},
		{"nobody listens", end(bus.NotFound, bus.Nobody), 5},
		{"nobody listens now", end(bus.Unavailable, bus.Nobody), 5},
		{"overload", end(bus.ResourceExhausted, bus.Refused), 6},
		{"busy", end(bus.Unavailable, bus.Refused), 6},
		{"too large", end(bus.TooLarge, bus.Refused), 1},
		{"timeout", end(bus.DeadlineExceeded, bus.Timeout), 124},
		{"context timeout", context.DeadlineExceeded, 124},
		{"cancelled", end(bus.Canceled, bus.Cancelled), 130},
		{"interrupted", interrupt{syscall.SIGINT}, 130},
	}
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	e := bus.Errorf(bus.Internal, "first\nsecond\r\nthird")
	e.Detail = []byte("{\n\"a\": 1}")
	if got, want := errorLine(e), `internal: first second third { "a": 1}`; got != want {
		t.Errorf("errorLine = %q, want %q", got, want)
	}
}

// A reader that never has anything, such as a terminal nobody types on.
type silence struct{ read chan struct{} }

func (s silence) Read([]byte) (int, error) {
	<-s.read
	return 0, io.EOF
}

func TestSignalsEndACommandThatReads(t *testing.T) {
	input := silence{make(chan struct{})}
	defer close(input.read)
	signals := make(chan os.Signal, 3)
	signals <- syscall.SIGPIPE // means nothing
	signals <- syscall.SIGINT
	var stderr strings.Builder
	code := Main(t.Context(), Process{
		Args: []string{"publish", "user.created"}, Stdin: input, Stderr: &stderr, Signals: signals,
	})
	if code != exitInterrupted || stderr.String() != "mbus: interrupted\n" {
		t.Errorf("exit code %d, stderr %q; want %d and \"mbus: interrupted\"", code, stderr.String(), exitInterrupted)
	}
}

func TestSecondSignalEndsTheNodeAtOnce(t *testing.T) {
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGTERM
	signals <- syscall.SIGTERM
	code := Main(t.Context(), Process{Args: []string{"node", "--url", "nats://127.0.0.1:1", "--api-address", "off", "--sidecar-address", "off"}, Signals: signals})
	if code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, want %d", code, 128+int(syscall.SIGTERM))
	}
}

func TestNodeThatWaitsForItsBrokerStopsWhenItIsTold(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if code := Main(t.Context(), Process{Args: []string{"node", "--url", "nats://127.0.0.1:1", "--api-address", "off", "--sidecar-address", "off"}, Signals: signals}); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
