package sidecar

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
)

// HostID names the host of this process: programs that share a loopback address
// have the same one. It is the host's name and a hash that tells apart hosts,
// and containers, which go by the same name. It outlives a restart of the
// process.
func HostID() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "localhost"
	}
	// Where one of them does not exist, as outside Linux, the rest has to do.
	machine, _ := os.ReadFile("/etc/machine-id")
	network, _ := os.Readlink("/proc/self/ns/net")
	sum := sha256.Sum256([]byte(name + "\n" + string(machine) + "\n" + network))
	return name + "-" + hex.EncodeToString(sum[:4])
}
