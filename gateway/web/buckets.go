package web

import (
	"math"
	"slices"
	"time"

	"github.com/mbus-dev/mbus/rpc"
)

// buckets are how many calls took how long: numbers of [rpc.LatencyBucket], in
// order, each with a count.
type buckets []bucket

type bucket struct {
	number int
	count  uint64
}

// maxBuckets is how many a service may tell of: those that there are.
const maxBuckets = rpc.LatencyBuckets

// readBuckets reads pairs of number and count.
func readBuckets(pairs []uint64) buckets {
	b := make(buckets, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs) && len(b) < maxBuckets; i += 2 {
		if pairs[i] < maxBuckets && (len(b) == 0 || int(pairs[i]) > b[len(b)-1].number) {
			b = append(b, bucket{int(pairs[i]), pairs[i+1]})
		}
	}
	return b
}

// since is what has come to b after it was like before. A count that has
// shrunk was reset.
func (b buckets) since(before buckets) buckets {
	var out buckets
	i := 0
	for _, one := range b {
		for i < len(before) && before[i].number < one.number {
			i++
		}
		if i < len(before) && before[i].number == one.number {
			one.count = grown(before[i].count, one.count)
		}
		if one.count > 0 {
			out = append(out, one)
		}
	}
	return out
}

// plus adds up.
func (b buckets) plus(more buckets) buckets {
	for _, one := range more {
		i, found := slices.BinarySearchFunc(b, one.number, func(x bucket, n int) int { return x.number - n })
		if found {
			b[i].count += one.count
		} else {
			b = slices.Insert(b, i, one)
		}
	}
	return b
}

func (b buckets) total() (n uint64) {
	for _, one := range b {
		n += one.count
	}
	return n
}

// quantile is an upper bound of the q-quantile in milliseconds, unknown without
// any calls.
func (b buckets) quantile(q float64) numeral {
	total := b.total()
	if total == 0 {
		return unknownNumber()
	}
	rank := max(1, uint64(math.Ceil(q*float64(total))))
	for _, one := range b {
		if one.count >= rank {
			return milliseconds(rpc.LatencyBucket(one.number))
		}
		rank -= one.count
	}
	return unknownNumber()
}

// bucketFor holds a duration that a service tells without buckets.
func bucketFor(d time.Duration) int {
	lo, hi := 0, maxBuckets-1
	for lo < hi {
		if mid := (lo + hi) / 2; rpc.LatencyBucket(mid) < d {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// grown is by how much a counter has grown; one that was reset has grown from
// zero.
func grown(then, now uint64) uint64 {
	if now < then {
		return now
	}
	return now - then
}
