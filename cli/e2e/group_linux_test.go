package e2e_test

import "syscall"

// ownGroup puts a process into a group of its own. It dies with the tests even
// if they are killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
