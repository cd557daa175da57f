package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/mbus-dev/mbus/embedded/bind"
)

// errLocked is what tryLock returns when somebody else has the lock.
var errLocked = errors.New("locked")

// A lock keeps a second node out of a store. The operating system lets go of
// it when the process ends, however it ends. The file is never removed: who
// opened it before the removal would lock nothing.
type lock struct{ file *os.File }

func lockStore(dir string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, storeError(dir, err)
	}
	if err := tryLock(f); err != nil {
		pid := readPID(f)
		_ = f.Close() // it was only read
		if errors.Is(err, errLocked) {
			return nil, &InUseError{Name: dir, Flag: flagStoreDir, PID: pid, Process: bind.ProcessName(pid)}
		}
		return nil, storeError(dir, err)
	}
	l := &lock{file: f}
	if err := l.writePID(); err != nil {
		return nil, errors.Join(storeError(dir, err), l.release())
	}
	return l, nil
}

func (l *lock) writePID() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// release empties the file, so that it never names a process that is gone
// after an orderly stop, and lets go of it.
func (l *lock) release() error {
	if err := errors.Join(l.file.Truncate(0), l.file.Close()); err != nil {
		return fmt.Errorf("unlock the store: %w", err)
	}
	return nil
}

// readPID returns the process id in the file, or 0.
func readPID(f io.ReaderAt) int {
	var data [32]byte
	n, err := f.ReadAt(data[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(data[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
