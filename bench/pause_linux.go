package main

import (
	"syscall"
	"time"
)

// pause sleeps in the kernel, which is exact to some 60 µs. The runtime's own
// timers are to a millisecond, longer than many a call.
func pause(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&left, nil) // waking early makes a call begin early, by less than d
}
