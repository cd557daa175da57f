// Command load calls a service at a fixed rate for the fault lab, or publishes
// at one. It is an open loop: a call begins when it is due, whatever became of
// those before, and its latency is counted from then. Every call is written
// down with its end.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

type settings struct {
	service, method, request string

	plain      bool
	idempotent bool
	retries    int
	clients    int
	timeout    time.Duration

	prefix, history string
	streams         int
	count, skip     int
	stuck, idle     bool
	gulp            bool
	topic           string
}

// A phase is a time at one rate; 0 lasts until the process is asked to end.
type phase struct {
	rate   float64
	lasts  time.Duration
	number int
}

func main() {
	var s settings
	var plan string
	flag.StringVar(&s.service, "service", "worker", "service to call")
	flag.StringVar(&s.method, "method", "Work.Do", "method of it")
	flag.StringVar(&s.request, "request", "", `fields of the request beside its id, such as "millis":20`)
	flag.BoolVar(&s.plain, "plain", false, "send plain NATS requests, without mbus")
	flag.BoolVar(&s.idempotent, "idempotent", false, "say that the calls may run twice")
	flag.IntVar(&s.retries, "retries", 0, "how often a call is sent again; 0 is the default of the library, negative is never")
	flag.IntVar(&s.clients, "clients", 1, "number of connections, which take turns")
	flag.DurationVar(&s.timeout, "timeout", 5*time.Second, "time that a call gets")
	flag.StringVar(&s.prefix, "prefix", "call", "begin of the ids of the calls")
	flag.StringVar(&s.history, "history", "", "file that the calls are written to")
	flag.IntVar(&s.streams, "streams", 0, "keep this many streams open instead, on one connection")
	flag.IntVar(&s.count, "count", 0, "with -streams: read so many messages from each, once, and tell how long that takes")
	flag.IntVar(&s.skip, "skip", 0, "with -count: a message that is left out, so that there is something to find; 0 is none")
	flag.BoolVar(&s.stuck, "stuck", false, "with -count: one of the streams is not read until all others have ended")
	flag.BoolVar(&s.idle, "idle", false, "with -streams: use none of them")
	flag.StringVar(&s.topic, "topic", "", "publish events to this topic instead; with -count, so many with plain NATS")
	flag.BoolVar(&s.gulp, "gulp", false, "with -topic and -count: read them")
	flag.StringVar(&plan, "plan", "500:0s", "phases RATE:DURATION[,…]; 0s lasts until the process is asked to end")
	flag.Parse()

	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	phases, err := parse(plan)
	if err == nil {
		switch {
		case s.gulp:
			err = gulp(ctx, s)
		case s.topic != "" && s.count > 0:
			err = flood(ctx, s)
		case s.topic != "":
			err = publish(ctx, s, phases)
		case s.idle:
			err = idle(ctx, s)
		case s.count > 0:
			err = drink(ctx, s)
		case s.streams > 0:
			err = talk(ctx, s)
		default:
			err = call(ctx, s, phases)
		}
	}
	if err != nil {
		stop()
		log.Fatal().Err(err).Msg("the load ends")
	}
}

// ready says that the load begins, and what the time is here.
func ready() { fmt.Printf("{\"ready\":true,\"clock\":%d}\n", time.Now().Unix()) }

func parse(plan string) ([]phase, error) {
	var all []phase
	for i, text := range strings.Split(plan, ",") {
		rate, lasts, _ := strings.Cut(text, ":")
		r, err := strconv.ParseFloat(rate, 64)
		if err != nil || r <= 0 {
			return nil, fmt.Errorf("phase %q: the rate is no positive number", text)
		}
		d, err := time.ParseDuration(lasts)
		if err != nil {
			return nil, fmt.Errorf("phase %q: %w", text, err)
		}
		all = append(all, phase{r, d, i})
	}
	return all, nil
}

// pace does something at the rate of the phases until they or ctx end. due is
// when it should happen.
func pace(ctx context.Context, phases []phase, do func(n int, p phase, due time.Time)) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	<-wait.C
	n := 0
	begin := time.Now()
	for _, p := range phases {
		end := begin.Add(p.lasts)
		for i := 0; ; i++ {
			due := begin.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
			if p.lasts > 0 && !due.Before(end) {
				break
			}
			if early := time.Until(due); early > 0 {
				wait.Reset(early)
				select {
				case <-wait.C:
				case <-ctx.Done():
					return
				}
			} else if ctx.Err() != nil {
				return
			}
			do(n, p, due)
			n++
		}
		begin = end
	}
}
