package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/mbus-dev/mbus/embedded/bind"
)

// A store is the directory of JetStream. The zero store is that of a node
// without JetStream.
type store struct {
	dir       string
	ephemeral bool
	lock      *lock
}

// openStore makes the directory and locks it.
func (c Config) openStore(port int) (store, error) {
	if c.NoJetStream {
		return store{}, nil
	}
	if c.Ephemeral {
		dir, err := os.MkdirTemp("", "mbus-")
		if err != nil {
			return store{}, fmt.Errorf("make a temporary store (%s): %w", flagEphemeral, err)
		}
		return store{dir: dir, ephemeral: true}, nil
	}
	dir, err := c.storeDir(port)
	if err != nil {
		return store{}, err
	}
	if err := prepare(dir, c.StoreDir == ""); err != nil {
		return store{}, err
	}
	l, err := lockStore(dir)
	if err != nil {
		return store{}, err
	}
	return store{dir: dir, lock: l}, nil
}

// close gives the store up: a temporary one is removed.
func (s store) close() error {
	if s.ephemeral {
		if err := os.RemoveAll(s.dir); err != nil {
			return fmt.Errorf("remove the temporary store: %w", err)
		}
	}
	if s.lock != nil {
		return s.lock.release()
	}
	return nil
}

func (c Config) storeDir(port int) (string, error) {
	if c.StoreDir != "" {
		dir, err := filepath.Abs(c.StoreDir)
		if err != nil {
			return "", bind.Errorf("%s %s: %w", flagStoreDir, c.StoreDir, err)
		}
		return dir, nil
	}
	home, err := stateHome()
	if err != nil {
		return "", bind.Errorf("there is no place for the streams (%w); name one with %s or use %s", err, flagStoreDir, flagEphemeral)
	}
	name := "in-process"
	if !c.DontListen {
		name = strconv.Itoa(port)
	}
	return filepath.Join(home, "mbus", name), nil
}

// stateHome is where programs of this user keep what must survive a restart.
func stateHome() (string, error) {
	// The specification says to ignore relative paths.
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	if runtime.GOOS == "windows" {
		return os.UserCacheDir() // %LocalAppData%
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support"), nil
	}
	return filepath.Join(home, ".local", "state"), nil
}

// prepare makes the store private. A directory that somebody else made keeps
// its mode, which may serve other purposes; what mbus puts into it is private.
func prepare(dir string, ours bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return storeError(dir, err)
	}
	private := []string{filepath.Join(dir, "jetstream")}
	if ours {
		private = append(private, dir)
	}
	for _, p := range private {
		if err := os.Mkdir(p, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return storeError(dir, err)
		}
	}
	if runtime.GOOS == "windows" {
		return nil // rights are inherited from the user's directory
	}
	info, err := os.Stat(dir)
	if err != nil {
		return storeError(dir, err)
	}
	if !ours && info.Mode()&0o002 != 0 {
		return bind.Errorf("%s %s can be written by everybody; choose a directory of your own", flagStoreDir, dir)
	}
	for _, p := range private {
		if err := os.Chmod(p, 0o700); err != nil {
			return storeError(dir, err)
		}
	}
	return nil
}

func storeError(dir string, err error) error {
	return bind.Errorf("%s %s cannot be used: %w", flagStoreDir, dir, err)
}
