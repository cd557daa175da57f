package bustest

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// maxStacks bounds the text of all stacks; what is beyond is cut off.
const maxStacks = 64 << 20

// stacks returns the stacks of all goroutines.
func stacks() string {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= maxStacks {
			return string(buf[:n])
		}
	}
}

var bubbleName = regexp.MustCompile(`^goroutine \d+ \[.*(synctest bubble \d+)\]`)

// inBubble reports whether the caller is in a bubble of testing/synctest.
func inBubble() bool {
	head := make([]byte, 100)
	return bubbleName.Match(head[:runtime.Stack(head, false)])
}

// bubbleGoroutines counts the other goroutines of the caller's bubble by where
// they were started.
func bubbleGoroutines() map[string]int {
	all := strings.Split(stacks(), "\n\n")
	own := bubbleName.FindStringSubmatch(all[0]) // the caller's stack comes first
	counts := map[string]int{}
	for _, g := range all[1:] {
		if m := bubbleName.FindStringSubmatch(g); m == nil || own == nil || m[1] != own[1] {
			continue
		}
		_, origin, _ := strings.Cut(g, "created by ")
		function, place, _ := strings.Cut(origin, "\n")
		function, _, _ = strings.Cut(function, " in goroutine ")
		place, _, _ = strings.Cut(strings.TrimSpace(place), " +0x")
		counts[function+" ("+place+")"]++
	}
	return counts
}

// more lists what after has more of than before.
func more(before, after map[string]int) []string {
	var lines []string
	for origin, n := range after {
		if n > before[origin] {
			lines = append(lines, fmt.Sprintf("%d instead of %d started by %s", n, before[origin], origin))
		}
	}
	slices.Sort(lines)
	return lines
}
