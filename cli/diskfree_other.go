//go:build !unix

package cli

// freeBytes cannot tell on this system.
func freeBytes(string) (free uint64, ok bool) { return 0, false }
