//go:build !unix

package e2e_test

import "testing"

func TestProcesses(t *testing.T) {
	t.Skip("the process tests need Unix signals and process groups")
}
