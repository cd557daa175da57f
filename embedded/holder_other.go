//go:build !linux

package embedded

// portHolder cannot tell on this system without running other programs.
func portHolder(string, int) (pid int, process string) { return 0, "" }

// processName cannot tell either.
func processName(int) string { return "" }
