package gateway_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/gateway"
)

// A tally keeps what is written, and counts the writes.
type tally struct {
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (c *tally) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	return c.text.Write(p)
}

func (c *tally) got() (string, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String(), c.writes
}

func TestLinesOfALogAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out tally
		buffer := gateway.NewLogBuffer(&out)
		log := zerolog.New(buffer)
		want := func(what, lines string, writes int) {
			t.Helper()
			if text, n := out.got(); text != lines || n != writes {
				t.Errorf("%s: got %q in %d writes, want %q in %d", what, text, n, lines, writes)
			}
		}
		const a, b, c, d = "{\"level\":\"info\",\"message\":\"a\"}\n", "{\"level\":\"info\",\"message\":\"b\"}\n", "{\"level\":\"warn\",\"message\":\"c\"}\n", "{\"level\":\"info\",\"message\":\"d\"}\n"
		log.Info().Msg("a")
		log.Info().Msg("b")
		want("at once", "", 0)
		time.Sleep(60 * time.Millisecond)
		want("after 50 ms", a+b, 1)
		log.Info().Msg("d")
		log.Warn().Msg("c")
		want("a warning", a+b+d+c, 3)
		log.Info().Msg("d")
		buffer.Flush()
		want("the end", a+b+d+c+d, 4)
		time.Sleep(time.Second)
		want("nothing more", a+b+d+c+d, 4)
		log.Info().Msg("d")
		time.Sleep(60 * time.Millisecond)
		want("later", a+b+d+c+d+d, 5)
		_, before := out.got()
		for range 2000 {
			log.Info().Msg("many")
		}
		if _, n := out.got(); n == before {
			t.Error("2,000 lines wait in memory")
		}
		buffer.Flush()
	})
}
