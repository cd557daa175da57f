package cli

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// The checks of this machine.

const (
	minGo          = "v1.26"
	localListen    = "127.0.0.1:4222"
	roomForStreams = 1 << 30 // bytes that a store should have left
)

// goToolchain is only needed for building services, so its absence is a
// warning.
func (d *doctor) goToolchain(ctx context.Context) finding {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return fine("go", "no Go toolchain in PATH").warn(`services cannot be built here; install Go 1.26 from https://go.dev/dl`)
	}
	version := strings.TrimSpace(string(out))
	if semver.Compare("v"+strings.TrimPrefix(version, "go"), minGo) < 0 {
		return fine("go", "%s is too old", version).warn("mbus needs Go 1.26 or later; install it from https://go.dev/dl")
	}
	return fine("go", "%s", version)
}

// port looks whether a node could listen where it does by default, and who is
// there if it could not.
func (d *doctor) port(ctx context.Context) finding {
	var lc net.ListenConfig
	if l, err := lc.Listen(ctx, "tcp", localListen); err == nil {
		_ = l.Close() // it was only tried
		return fine("port", "%s is free for a node", localListen)
	}
	if greets(ctx, localListen) {
		return fine("port", "a NATS broker listens on %s", localListen)
	}
	return fine("port", "something that is no broker has %s", localListen).
		warn(`stop it, or start nodes with another --listen`)
}

// greets reports whether a NATS broker answers at address: it speaks first.
func greets(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: connectLimit}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }() // it was only read
	if c.SetReadDeadline(time.Now().Add(connectLimit)) != nil {
		return false
	}
	hello, err := bufio.NewReader(c).Peek(len("INFO {"))
	return err == nil && string(hello) == "INFO {"
}

// store looks whether a node could keep its streams where it does by default.
func (d *doctor) store() finding {
	home, err := d.stateHome()
	if err != nil {
		return fine("store", "no place for streams: %v", err).warn("name one with --store-dir when you start a node")
	}
	dir := filepath.Join(home, "mbus")
	there := existing(dir)
	f, err := os.CreateTemp(there, ".mbus-doctor-*")
	if err != nil {
		return fine("store", "cannot write in %s: %v", there, pathless(err)).
			fail("give yourself the right, or start nodes with another --store-dir")
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return fine("store", "others can look into %s", dir).warn("run: chmod 700 " + dir)
	}
	if free, ok := freeBytes(there); ok && free < roomForStreams {
		return fine("store", "%s has %d MiB left", there, free>>20).warn("make room, or start nodes with another --store-dir")
	}
	return fine("store", "nodes keep streams under %s", dir)
}

// stateHome is where nodes keep their streams; package embedded decides the
// same way.
func (d *doctor) stateHome() (string, error) {
	if dir := d.session.env.get("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	if runtime.GOOS == "windows" {
		return os.UserCacheDir()
	}
	home := d.session.env.get("HOME")
	switch {
	case home == "":
		return "", errors.New("HOME is not set")
	case runtime.GOOS == "darwin":
		return filepath.Join(home, "Library", "Application Support"), nil
	}
	return filepath.Join(home, ".local", "state"), nil
}

// existing is the deepest directory on the way to dir that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// files looks at the files that the options name.
func (d *doctor) files() finding {
	o := &d.session.opts
	var named []string
	for _, file := range []struct {
		flag, path string
		secret     bool
	}{
		{"--creds", o.Creds, true},
		{"--tls-key-file", o.TLSKeyFile, true},
		{"--tls-cert-file", o.TLSCertFile, false},
		{"--tls-ca-file", o.TLSCAFile, false},
	} {
		if file.path == "" {
			continue
		}
		named = append(named, file.path)
		info, err := os.Stat(file.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fine("files", "%s names %s, which does not exist", file.flag, file.path).fail("correct the path")
		case err == nil && file.secret && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
			return fine("files", "others can read %s", file.path).fail("run: chmod 600 " + file.path)
		}
		f, err := os.Open(file.path)
		if err != nil {
			return fine("files", "cannot read %s: %v", file.path, pathless(err)).fail("give yourself the right to read it")
		}
		_ = f.Close() // it was only opened
	}
	if named == nil {
		return fine("files", "no credentials or certificates are set")
	}
	return fine("files", "%s", strings.Join(named, ", "))
}

// buildClock finds a clock that is behind the making of this program.
func (d *doctor) buildClock() finding {
	now := time.Now()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			built, err := time.Parse(time.RFC3339, setting.Value)
			if setting.Key == "vcs.time" && err == nil && now.Before(built) {
				return fine("clock", "it shows %s, before this program was made", now.Format(time.RFC3339)).
					fail("set the clock; certificates and credentials with dates fail otherwise")
			}
		}
	}
	return fine("clock", "%s", now.Format(time.RFC3339))
}
