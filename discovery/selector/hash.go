package selector

// Hash is the weight of an instance for a key. A call with a key goes to the
// candidate with the highest weight, of equal ones to the one whose id comes
// first; so when an instance leaves, only the keys move that it had, and when
// one comes, only those that it gets. It is the same in every program: the
// FNV-1a hashes of key and id, 64 bits each, are combined by exclusive or, and
// the bits mixed as SplitMix64 does.
func Hash(key, id string) uint64 { return mix(fnv(key) ^ fnv(id)) }

func fnv(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
