package codec

import (
	"bytes"
	"hash/maphash"
)

// fewKeys is up to where comparing each key with each other beats hashing.
const fewKeys = 8

// keySet finds the second use of a key in one object, for all objects open at once. Which of two
// values is meant differs between parsers, and where parsers differ, checks are passed by: so a
// body must not repeat a key.
//
// It holds 8 bytes and, in large objects, at most 16 more for each key of the open objects.
type keySet struct {
	data  []byte // the body
	side  []byte // keys that are not in the body as they are, because they were escaped
	spans []span
	open  []keyFrame
	seed  maphash.Seed

	fewSpans [2 * fewKeys]span // where spans and open begin, to spare small bodies the heap
	fewOpen  [4]keyFrame
}

func (k *keySet) reset(data []byte) {
	k.data, k.spans, k.open = data, k.fewSpans[:0], k.fewOpen[:0]
}

// A span is a key: data[start:end], or side[-start-1:end] if start is negative.
type span struct{ start, end int32 }

type keyFrame struct {
	first int     // of its keys in spans
	table []int32 // 1 + position in spans, by hash; nil while the keys are few
}

func (k *keySet) bytes(s span) []byte {
	if s.start < 0 {
		return k.side[-s.start-1 : s.end]
	}
	return k.data[s.start:s.end]
}

func (k *keySet) push() { k.open = append(k.open, keyFrame{first: len(k.spans)}) }

func (k *keySet) pop() {
	last := len(k.open) - 1
	k.spans = k.spans[:k.open[last].first]
	k.open[last].table = nil
	k.open = k.open[:last]
}

// add adds a key that is in the body as it is; false means the object has it.
func (k *keySet) add(start, end int) bool { return k.insert(span{int32(start), int32(end)}) }

// addCopy adds a key that the body holds in another spelling.
func (k *keySet) addCopy(key []byte) bool {
	start := len(k.side)
	k.side = append(k.side, key...)
	return k.insert(span{int32(-start - 1), int32(len(k.side))})
}

func (k *keySet) insert(s span) bool {
	key := k.bytes(s)
	f := &k.open[len(k.open)-1]
	mine := k.spans[f.first:]
	if f.table == nil {
		for _, other := range mine {
			if bytes.Equal(k.bytes(other), key) {
				return false
			}
		}
		k.spans = append(k.spans, s)
		if len(mine)+1 > fewKeys {
			k.rehash(f, 8*fewKeys)
		}
		return true
	}
	mask := len(f.table) - 1
	slot := int(maphash.Bytes(k.seed, key)) & mask
	for ; f.table[slot] != 0; slot = (slot + 1) & mask {
		if bytes.Equal(k.bytes(k.spans[f.table[slot]-1]), key) {
			return false
		}
	}
	k.spans = append(k.spans, s)
	f.table[slot] = int32(len(k.spans))
	if 2*len(k.spans[f.first:]) > len(f.table) {
		k.rehash(f, 2*len(f.table))
	}
	return true
}

// rehash gives f a table of the given size, a power of two over twice the number of its keys.
func (k *keySet) rehash(f *keyFrame, size int) {
	if k.seed == (maphash.Seed{}) {
		k.seed = maphash.MakeSeed()
	}
	f.table = make([]int32, size)
	for i := f.first; i < len(k.spans); i++ {
		slot := int(maphash.Bytes(k.seed, k.bytes(k.spans[i]))) & (size - 1)
		for f.table[slot] != 0 {
			slot = (slot + 1) & (size - 1)
		}
		f.table[slot] = int32(i + 1)
	}
}
