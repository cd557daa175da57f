package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/embedded"
)

// TestEveryHolderKeepsOpenWhatItOpens opens a few units of each kind and uses
// all of them again and again.
func TestEveryHolderKeepsOpenWhatItOpens(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(node.Stop)
	for _, h := range holders() {
		t.Run(h.name(), func(t *testing.T) {
			address, stop, err := h.serve(ctx, node.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			open, err := h.dial(ctx, node.URL(), address)
			if err != nil {
				t.Fatal(err)
			}
			g := &growth{open: open}
			for _, o := range []order{{Grow: 3, Use: true}, {Grow: 40}, {Use: true}} {
				if _, err := g.grow(ctx, o); err != nil {
					t.Fatalf("%+v: %v", o, err)
				}
			}
			if len(g.units) != 40 {
				t.Errorf("%d units are open, want 40", len(g.units))
			}
		})
	}
}

func TestAUnitThatFailsEndsTheGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		broken := errors.New("no more")
		g := &growth{open: func(context.Context, int) (unit, error) {
			time.Sleep(time.Millisecond)
			if opened.Add(1) == 2*together {
				return nil, broken
			}
			return func(context.Context) error { return nil }, nil
		}}
		if err := g.to(t.Context(), 10_000); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if n := opened.Load(); n > 4*together {
			t.Errorf("%d were opened, the one that failed was number %d", n, 2*together)
		}
	})
}

func atCount(contender, kind string, count int, figures map[string]float64) record {
	return record{Contender: contender, Case: kind, Count: count, Figures: figures, title: contender, scale: true}
}

func TestACountThatWasNotReachedStaysInTheTableWithTheReason(t *testing.T) {
	failed := atCount("mbus", kindStreams, 10_000, nil)
	failed.NotRun = "number 7: away"
	fewer := atCount("mbus", kindConnections, 900, map[string]float64{openTime: 1})
	fewer.Note = "in place of 1000: no more open files"
	records := []record{atCount("mbus", kindStreams, 100, map[string]float64{clientIdle: 3.25}), failed, fewer}
	var out strings.Builder
	if err := writeTables(&out, records); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3.2", "not run: 10000: number 7: away", "900 in place of 1000: no more open files"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if got, _ := reached(kindStreams)(records); got != 100 {
		t.Errorf("%g streams were reached, want 100", got)
	}
}

func TestTheChartOfGrowthIsWellFormedWhateverIsMissing(t *testing.T) {
	figures := map[string]float64{clientUsed: 3, openTime: 40, clientRest: 0}
	instance := record{Contender: "mbus", Fact: instanceItself, Instances: 100, Value: 27}
	for name, records := range map[string][]record{
		"nothing":   nil,
		"one":       {atCount("mbus", kindStreams, 100, figures)},
		"some":      {atCount("mbus", kindStreams, 100, figures), atCount("mbus", kindStreams, 1000, figures), atCount("raw", kindConnections, 1000, figures), instance},
		"only ours": {instance},
	} {
		svg := growthChart(records)
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: a figure is none:\n%s", name, svg)
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}
