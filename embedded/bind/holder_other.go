//go:build !linux

package bind

// portHolder cannot tell on this system without running other programs.
func portHolder(string, int) (pid int, process string) { return 0, "" }

// ProcessName cannot tell either.
func ProcessName(int) string { return "" }
