//go:build unix

package e2e_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// onlyOnLinux skips a test that reads /proc.
func onlyOnLinux(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc, which only Linux has")
	}
}

func procFile(t testing.TB, p *process, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid()), name))
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return string(data)
}

// memory is the resident memory of a process in bytes.
func memory(t testing.TB, p *process) int64 { return memoryLine(t, p, "VmRSS:") }

// peakMemory is the most it ever was, or since resetPeak.
func peakMemory(t testing.TB, p *process) int64 { return memoryLine(t, p, "VmHWM:") }

func memoryLine(t testing.TB, p *process, key string) int64 {
	t.Helper()
	for line := range strings.Lines(procFile(t, p, "status")) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("%s has no %s", p.name, key)
	return 0
}

// resetPeak makes the peak memory of a process what it has now.
func resetPeak(t testing.TB, p *process) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(p.pid()), "clear_refs"), []byte("5"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// processorTime is what a process has used of the processors so far.
func processorTime(t testing.TB, p *process) time.Duration {
	t.Helper()
	stat := procFile(t, p, "stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	const ticksPerSecond = 100 // what Linux shows to programs, on every machine
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// listeners are the TCP addresses that a process listens on.
func listeners(t testing.TB, p *process) []netip.AddrPort {
	t.Helper()
	fds := filepath.Join("/proc", strconv.Itoa(p.pid()), "fd")
	entries, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	var sockets []string
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil {
			if inode, ok := strings.CutPrefix(link, "socket:["); ok {
				sockets = append(sockets, strings.TrimSuffix(inode, "]"))
			}
		}
	}
	var found []netip.AddrPort
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		for line := range strings.Lines(procFile(t, p, table)) {
			f := strings.Fields(line)
			const state, listening, inode = 3, "0A", 9
			if len(f) <= inode || f[state] != listening || !slices.Contains(sockets, f[inode]) {
				continue
			}
			addr, err := kernelAddress(f[1])
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, addr)
		}
	}
	return found
}

// kernelAddress reads an address of /proc/net/tcp: words of four bytes in the
// order of the machine, then the port.
func kernelAddress(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("no address: %q", s)
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}
