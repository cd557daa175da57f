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
// It takes 8 bytes and, in large objects, at most 16 more for each key of the open objects, and
// nothing on the heap while there are few.
type keySet struct {
	data   []byte // the body
	side   []byte // keys that are not in the body as they are, because they were escaped
	few    [4 * fewKeys]span
	more   []span
	count  int                 // of the keys in few and more
	first  [MaxDepth + 1]int32 // number of the first key of each open object
	open   int                 // objects
	tables [][]int32           // for each open object 1 + number of its keys, by hash; nil while they are few
	seed   maphash.Seed
}

// A span is where a key is: from start in data, or from -start-1 in side if start is negative.
type span struct{ start, size int32 }

func (k *keySet) bytes(s span) []byte {
	if s.start < 0 {
		start := -s.start - 1
		return k.side[start : start+s.size]
	}
	return k.data[s.start : s.start+s.size]
}

// span is that of the key with number i.
func (k *keySet) span(i int) span {
	if i < len(k.few) {
		return k.few[i]
	}
	return k.more[i-len(k.few)]
}

func (k *keySet) equal(a, b span) bool {
	return a.size == b.size && bytes.Equal(k.bytes(a), k.bytes(b))
}

func (k *keySet) push() {
	k.open++
	k.first[k.open] = int32(k.count)
	if len(k.tables) > k.open {
		k.tables[k.open] = nil
	}
}

func (k *keySet) pop() {
	k.count = int(k.first[k.open])
	k.more = k.more[:max(0, k.count-len(k.few))]
	k.open--
}

// add adds a key that is in the body as it is; false means the object has it.
func (k *keySet) add(start, end int) bool { return k.insert(span{int32(start), int32(end - start)}) }

// addCopy adds a key that the body holds in another spelling.
func (k *keySet) addCopy(key []byte) bool {
	start := len(k.side)
	k.side = append(k.side, key...)
	return k.insert(span{int32(-start - 1), int32(len(key))})
}

func (k *keySet) insert(s span) bool {
	first := int(k.first[k.open])
	if len(k.tables) <= k.open || k.tables[k.open] == nil {
		for i := first; i < k.count; i++ {
			if k.equal(k.span(i), s) {
				return false
			}
		}
		k.keep(s)
		if k.count-first > fewKeys {
			k.rehash(8 * fewKeys)
		}
		return true
	}
	table := k.tables[k.open]
	mask := len(table) - 1
	slot := int(maphash.Bytes(k.seed, k.bytes(s))) & mask
	for ; table[slot] != 0; slot = (slot + 1) & mask {
		if k.equal(k.span(int(table[slot]-1)), s) {
			return false
		}
	}
	k.keep(s)
	table[slot] = int32(k.count)
	if 2*(k.count-first) > len(table) {
		k.rehash(2 * len(table))
	}
	return true
}

func (k *keySet) keep(s span) {
	if k.count < len(k.few) {
		k.few[k.count] = s
	} else {
		k.more = append(k.more, s)
	}
	k.count++
}

// rehash gives the innermost object a table of the given size, a power of two over twice the number
// of its keys.
func (k *keySet) rehash(size int) {
	if k.tables == nil {
		k.seed = maphash.MakeSeed()
	}
	for len(k.tables) <= k.open {
		k.tables = append(k.tables, nil)
	}
	table := make([]int32, size)
	for i := int(k.first[k.open]); i < k.count; i++ {
		slot := int(maphash.Bytes(k.seed, k.bytes(k.span(i)))) & (size - 1)
		for table[slot] != 0 {
			slot = (slot + 1) & (size - 1)
		}
		table[slot] = int32(i + 1)
	}
	k.tables[k.open] = table
}
