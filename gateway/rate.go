package gateway

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded/bind"
)

// maxBuckets is how many clients a limit keeps apart. Those that have not come
// for the longest time are forgotten first, and begin anew.
const maxBuckets = 16384

// A Limit is a rate of requests.
type Limit struct {
	// Path restricts the limit to this path and those below it. "" means all.
	Path string
	// Rate is requests a second.
	Rate float64
	// Burst is how many may come at once. 0 means those of a second, at least
	// one.
	Burst int
	// Together counts all clients together, else each has the rate for itself:
	// each subject of a token, and without one each address (of IPv6 the first 64
	// bits).
	Together bool
}

// ParseLimit reads [/PATH=]NUMBER[/s|/m|/h][+BURST], such as "50/s" or
// "/rpc=10/s+20".
func ParseLimit(flag, text string) (Limit, error) {
	wrong := bind.Errorf(`%s %q is no limit; write [/PATH=]NUMBER/s, also /m and /h, and +BURST behind it if need be, such as 50/s or /rpc=600/m+20`, flag, text)
	var l Limit
	rest := text
	if strings.HasPrefix(rest, "/") {
		path, after, ok := strings.Cut(rest, "=")
		if !ok {
			return l, wrong
		}
		l.Path, rest = path, after
	}
	rest, burst, ok := strings.Cut(rest, "+")
	if ok {
		n, err := strconv.Atoi(burst)
		if err != nil || n < 1 {
			return l, wrong
		}
		l.Burst = n
	}
	number, unit, ok := strings.Cut(rest, "/")
	per := 1.0
	if ok {
		switch unit {
		case "s":
		case "m":
			per = 60
		case "h":
			per = 3600
		default:
			return l, wrong
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n > 0) || n > 1e9 {
		return l, wrong
	}
	l.Rate = n / per
	return l, nil
}

// limits are the rates that an edge keeps.
type limits []*buckets

type buckets struct {
	limit Limit
	all   *rate.Limiter // with Together
	each  *lru.Cache[string, *rate.Limiter]
}

func newLimits(all []Limit) (limits, error) {
	var ls limits
	for _, l := range all {
		if !(l.Rate > 0) || l.Burst < 0 || l.Path != "" && l.Path[0] != '/' {
			return nil, bind.Errorf("a limit of %v requests a second, burst %d, path %q cannot be kept", l.Rate, l.Burst, l.Path)
		}
		l.Path = strings.TrimSuffix(l.Path, "/")
		if l.Burst == 0 {
			l.Burst = max(1, int(l.Rate))
		}
		b := &buckets{limit: l}
		if l.Together {
			b.all = rate.NewLimiter(rate.Limit(l.Rate), l.Burst)
		} else {
			each, err := lru.New[string, *rate.Limiter](maxBuckets)
			if err != nil {
				return nil, err
			}
			b.each = each
		}
		ls = append(ls, b)
	}
	return ls, nil
}

// check takes one request from every bucket that counts for it, or refuses it
// and takes none from those after the empty one.
func (ls limits) check(path, who string, now time.Time) error {
	for _, b := range ls {
		if !b.covers(path) {
			continue
		}
		if wait := b.take(who, now); wait > 0 {
			err := bus.Errorf(bus.ResourceExhausted, "too many requests: %s; come back in %v", b, wait.Round(time.Millisecond))
			err.End, err.Retry = bus.Refused, bus.RetryAfter(wait)
			return err
		}
	}
	return nil
}

func (b *buckets) covers(path string) bool {
	rest, ok := strings.CutPrefix(path, b.limit.Path)
	return ok && (rest == "" || rest[0] == '/' || b.limit.Path == "")
}

// take takes one request, or returns how long to wait for it.
func (b *buckets) take(who string, now time.Time) time.Duration {
	bucket := b.all
	if bucket == nil {
		var ok bool
		if bucket, ok = b.each.Get(who); !ok {
			bucket = rate.NewLimiter(rate.Limit(b.limit.Rate), b.limit.Burst)
			if first, raced, _ := b.each.PeekOrAdd(who, bucket); raced {
				bucket = first
			}
		}
	}
	r := bucket.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// String is the limit as a client may know it.
func (b *buckets) String() string {
	text := fmt.Sprintf("%g a second", b.limit.Rate)
	if b.limit.Path != "" {
		text += " at " + b.limit.Path
	}
	return text
}

// whoOf names the bucket of an address.
func whoOf(addr netip.Addr) string {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
