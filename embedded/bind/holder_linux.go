package bind

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// searchTime bounds the walk through the open files of all processes: who finds
// a port taken is to be told within a second.
const searchTime = 500 * time.Millisecond

// portHolder returns the process that listens on a port, 0 if it cannot be
// told: the sockets of other users are not shown to everybody.
func portHolder(host string, port int) (pid int, process string) {
	want, err := netip.ParseAddr(host)
	if err != nil {
		return 0, ""
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listening(table, want.Unmap(), port) {
			if pid := socketOwner(inode); pid != 0 {
				return pid, ProcessName(pid)
			}
		}
	}
	return 0, ""
}

// listening returns the inodes of the listening sockets in a table of the
// kernel that keep others from binding the address.
func listening(table string, want netip.Addr, port int) []string {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	var inodes []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		addr, ok := parseLocal(fields[1])
		if ok && int(addr.Port()) == port && conflict(addr.Addr().Unmap(), want) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

func conflict(a, b netip.Addr) bool { return a == b || a.IsUnspecified() || b.IsUnspecified() }

// parseLocal reads "0100007F:107A": the address in words of the machine's byte
// order, the port as a number.
func parseLocal(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(addr, uint16(n)), ok && err == nil
}

// socketOwner looks at the processes with the highest ids first, which are mostly
// the youngest: not all may be seen in time, and those of the system are the
// least likely.
func socketOwner(inode string) int {
	deadline := time.Now().Add(searchTime)
	var pids []int
	for _, name := range namesIn("/proc") {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range slices.Backward(pids) {
		if time.Now().After(deadline) {
			break
		}
		open := "/proc/" + strconv.Itoa(pid) + "/fd"
		for _, file := range namesIn(open) {
			if target, err := os.Readlink(open + "/" + file); err == nil && target == "socket:["+inode+"]" {
				return pid
			}
		}
	}
	return 0
}

// namesIn lists a directory in no order; nothing if it cannot be read, as that
// of another user or of a process that is gone.
func namesIn(directory string) []string {
	d, err := os.Open(directory)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }() // it was only read
	names, _ := d.Readdirnames(-1)   // those before an error are better than none
	return names
}

// ProcessName returns the name of a process, empty if it is gone.
func ProcessName(pid int) string {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}
