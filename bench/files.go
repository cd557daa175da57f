package main

import "syscall"

// spareFiles is what a process opens beside its connections.
const spareFiles = 64

// openFiles raises the limit of open files, for this process and those that it
// starts, so that one can have so many connections, if that is allowed. It
// returns how many connections the limit leaves room for.
func openFiles(connections int) int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return connections
	}
	need := uint64(connections + spareFiles)
	if l.Cur < need {
		raised := syscall.Rlimit{Cur: need, Max: max(l.Max, need)}
		if l.Max < need && syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) != nil {
			raised = syscall.Rlimit{Cur: l.Max, Max: l.Max}
		}
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) // then it stays as it is
		if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
			return connections
		}
	}
	return min(connections, max(int(l.Cur)-spareFiles, 0))
}
