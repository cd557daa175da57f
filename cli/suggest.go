package cli

import (
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/discovery"
)

// nearest returns at most three of names that someone who typed word may have
// meant: those that it begins, then those that it is a typing error of.
func nearest(word string, names []string) []string {
	var near []string
	for _, name := range names {
		if len(word) > 1 && strings.HasPrefix(name, strings.ToLower(word)) {
			near = append(near, name)
		}
	}
	slices.Sort(near)
	for _, name := range discovery.Near(word, names) {
		if !slices.Contains(near, name) {
			near = append(near, name)
		}
	}
	return near[:min(len(near), 3)]
}

// didYouMean ends a message with the nearest names, or with nothing.
func didYouMean(word string, names []string) string {
	near := nearest(word, names)
	if len(near) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(near, " or ") + "?"
}
