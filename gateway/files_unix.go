//go:build unix

package gateway

import "golang.org/x/sys/unix"

// openFiles is how many files and connections the process may have open. ok is
// false if that cannot be told.
func openFiles() (n uint64, ok bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return uint64(limit.Cur), true //nolint:unconvert // it is signed on some systems
}
