package embedded_test

import (
	"testing"
	"time"

	"github.com/mbus-dev/mbus/embedded"
)

// BenchmarkStart measures the time until clients can connect and JetStream
// takes messages; the stop is not in it.
func BenchmarkStart(b *testing.B) {
	for name, cfg := range map[string]embedded.Config{
		"store":       {Listen: "127.0.0.1:0", StoreDir: b.TempDir()},
		"ephemeral":   {Listen: "127.0.0.1:0", Ephemeral: true},
		"nojetstream": {Listen: "127.0.0.1:0", NoJetStream: true},
	} {
		b.Run(name, func(b *testing.B) {
			var worst time.Duration
			for b.Loop() {
				begin := time.Now()
				node, err := embedded.Start(b.Context(), cfg)
				if err != nil {
					b.Fatal(err)
				}
				worst = max(worst, time.Since(begin))
				b.StopTimer()
				if err := node.Stop(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
		})
	}
}
