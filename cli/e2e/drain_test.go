//go:build unix

package e2e_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"
)

// openLoad is how many calls an open load makes, 500 begun each second
// whatever became of those before.
func openLoad() int {
	if long() {
		return 10_000
	}
	return 3_000
}

const rate = 500

// A benchResult is what mbus bench prints. It makes each call once: nothing is
// tried again.
type benchResult struct {
	OK     int            `json:"ok"`
	Errors map[string]int `json:"errors"`
	P50    float64        `json:"p50_ms"`
	P99    float64        `json:"p99_ms"`
	Max    float64        `json:"max_ms"`
}

func (r benchResult) failed() (n int) {
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// startLoad begins an open load.
func (b *broker) startLoad(t *testing.T, count int, args ...string) *process {
	t.Helper()
	all := append([]string{"bench", "--rate", strconv.Itoa(rate), "--count", strconv.Itoa(count), "--output", "json"}, args...)
	return b.start(t, of(mbus, all...))
}

// loadResult waits for the end of a load.
func loadResult(t *testing.T, load *process) benchResult {
	t.Helper()
	load.wait(t, 2*time.Minute)
	r := decode[benchResult](t, load.stdout.String())
	t.Logf("%s: %+v", load.name, r)
	return r
}

func TestRestartsOfAServiceFailNoCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		service, method, request string
		start                    func(*testing.T, *broker, string) *process
	}{
		"greeter": {
			"go.micro.srv.greeter", "Say.Hello", `{"name":"John"}`,
			func(t *testing.T, b *broker, id string) *process { return b.startGreeter(t, id) },
		},
		// Some ten calls are at work at any time.
		"a slow service": {
			"crowd", "Crowd.Wait", `{"millis":20}`,
			func(t *testing.T, b *broker, _ string) *process { return b.startCrowd(t) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startNode(t, "--ephemeral")
			first, second := c.start(t, b, "first"), c.start(t, b, "second")
			load := b.startLoad(t, openLoad(), c.service, c.method, c.request)
			restarts := 0
			for load.running() {
				// Stop, then start: one is left meanwhile.
				first.stop(t, 10*time.Second)
				first = c.start(t, b, fmt.Sprintf("first-%d", restarts))
				// Start, then stop.
				next := c.start(t, b, fmt.Sprintf("second-%d", restarts))
				second.stop(t, 10*time.Second)
				second = next
				restarts += 2
			}
			r := loadResult(t, load)
			if r.OK != openLoad() || r.failed() != 0 {
				t.Errorf("with %d restarts: %d calls of %d succeeded, errors %v", restarts, r.OK, openLoad(), r.Errors)
			}
			if restarts < 4 {
				t.Errorf("only %d restarts while the load ran", restarts)
			}
			t.Logf("%d restarts", restarts)
		})
	}
}

// The control of the test above: the same load sees the calls that are lost
// when an instance is killed instead, no more than were at work there, and
// those of the time when there is no instance.
func TestKillsOfAServiceFailTheCallsAtWork(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral")
	first, second := b.startCrowd(t), b.startCrowd(t)
	const count, atWork = 750, 100
	load := b.startLoad(t, count, "crowd", "Crowd.Wait", fmt.Sprintf(`{"millis":%d}`, atWork*1000/rate), "--timeout", "3s")
	b.awaitRequests(t, 200)
	first.kill(t)
	r := loadResult(t, load)
	// Half of the calls at work were there, and the load is late at times.
	if lost := r.failed(); lost == 0 || lost > 2*atWork {
		t.Errorf("a kill with some %d calls at work there: %d failed, %v", atWork/2, lost, r.Errors)
	}

	second.stop(t, 10*time.Second)
	r = loadResult(t, b.startLoad(t, 100, "crowd", "Crowd.Wait", "{}"))
	if r.OK != 0 || r.failed() != 100 {
		t.Errorf("without an instance: %d calls succeeded, errors %v", r.OK, r.Errors)
	}
}

// awaitRequests waits until the instances of crowd have had so many.
func (b *broker) awaitRequests(t *testing.T, count int) {
	t.Helper()
	nc := b.plain(t)
	eventually(t, startup, "calls", func() error {
		m, err := nc.Request("$SRV.STATS.crowd", nil, time.Second)
		if err != nil {
			return err
		}
		for _, e := range decode[adrService](t, string(m.Data)).Endpoints {
			if e.Name == "Crowd_Wait" && e.Requests*2 >= count {
				return nil
			}
		}
		return errors.New("too few")
	})
}
