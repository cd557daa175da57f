//go:build unix

package cli

import "golang.org/x/sys/unix"

// freeBytes is the room that is left where dir is. ok is false if that cannot
// be told.
func freeBytes(dir string) (free uint64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true //nolint:unconvert // Bavail is signed on some systems
}
