package main

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usedCPU is the processor time that this process has used.
func usedCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// endedCPU is the processor time of the processes that this one has started and
// that have ended.
func endedCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentBytes is the memory of a process that is in RAM; 0 if unknown.
func residentBytes(pid int) int64 {
	resident, _ := pages(strconv.Itoa(pid))
	return resident
}

// ownBytes is the memory of this process that is in RAM, without what it shares
// with files, such as its code; 0 if unknown.
func ownBytes() int64 {
	resident, shared := pages("self")
	return resident - shared
}

// pages are the bytes of a process that are in RAM, and those of them that are
// shared.
func pages(process string) (resident, shared int64) {
	data, err := os.ReadFile("/proc/" + process + "/statm")
	if err != nil {
		return 0, 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 3 {
		return 0, 0
	}
	resident, _ = strconv.ParseInt(string(fields[1]), 10, 64)
	shared, _ = strconv.ParseInt(string(fields[2]), 10, 64)
	size := int64(os.Getpagesize())
	return resident * size, shared * size
}

// tick is the unit of /proc/stat.
const tick = 10 * time.Millisecond

// busy is the processor time that anybody on this machine has used, what the
// hypervisor took included. It is false where that cannot be known.
func busy() (time.Duration, bool) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(first)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, false
	}
	var ticks int64
	for _, n := range []int{1, 2, 3, 8} { // user, nice, system, steal; interrupts are mostly our own
		v, _ := strconv.ParseInt(fields[n], 10, 64)
		ticks += v
	}
	return time.Duration(ticks) * tick, true
}

// A machine is where and with what a run was made.
type machine struct {
	Processor, Kernel, Commit string
	Cores                     int
	Memory                    string
}

func thisMachine() machine {
	return machine{
		Processor: field("/proc/cpuinfo", "model name"),
		Kernel:    runtime.GOOS + "/" + runtime.GOARCH + " " + release(output("uname", "-r")),
		Commit:    output("git", "describe", "--always", "--dirty", "--exclude=*"),
		Cores:     runtime.NumCPU(),
		Memory:    memory(),
	}
}

func field(file, name string) string {
	data, _ := os.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memory() string {
	kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return "unknown"
	}
	return strconv.FormatInt((kib+1<<19)>>20, 10) + " GiB"
}

// output is the first line that a command prints; "unknown" if it fails.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// release is a kernel's version without what its builder has added.
func release(full string) string {
	parts := strings.SplitN(full, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}
