package embedded

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockedAt is far behind the process id, since others cannot read a range that
// is locked.
const lockedAt = 1 << 30

// tryLock locks one byte of the open file.
func tryLock(f *os.File) error {
	at := windows.Overlapped{Offset: lockedAt}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}
