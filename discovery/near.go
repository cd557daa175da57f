package discovery

import (
	"cmp"
	"slices"
	"strings"
)

// maxNear is how many names Near returns at most.
const maxNear = 3

// Near returns the candidates that name was probably meant to be, the likeliest
// first, at most three: those that differ by few typing errors or by case, as a
// whole or in their last parts (greeter for go.micro.srv.greeter).
func Near(name string, candidates []string) []string {
	type near struct {
		name  string
		score int
	}
	var found []near
	lower := strings.ToLower(name)
	for _, c := range candidates {
		other := strings.ToLower(c)
		whole, end := distance(lower, other), distance(lower, lastParts(other, strings.Count(lower, ".")+1))
		if lower != "" && min(whole, end) <= max(1, len(name)/4) {
			found = append(found, near{c, min(2*whole, 2*end+1)})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.name, b.name))
	})
	found = slices.Compact(found)
	var names []string
	for _, n := range found[:min(len(found), maxNear)] {
		names = append(names, n.name)
	}
	return names
}

// lastParts returns the last n of the parts of a dotted name.
func lastParts(name string, n int) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			if n--; n == 0 {
				return name[i+1:]
			}
		}
	}
	return name
}

// distance counts the insertions, deletions, changes and swaps of neighbours
// that turn a into b. Names are short ASCII; what is longer is far from
// everything.
func distance(a, b string) int {
	if len(a) > maxText || len(b) > maxText {
		return len(a) + len(b)
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
