//go:build unix

package e2e_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// A direction is a way on a cable.
type direction int

const (
	toBroker direction = 1 << iota
	toWorker
	bothWays = toBroker | toWorker
)

func (d direction) String() string {
	return map[direction]string{toBroker: "to the broker", toWorker: "to the worker", bothWays: "both ways"}[d]
}

// A cable is what lies between one worker and the broker. A cut drops whatever
// goes in a direction, without a word to either side.
type cable interface {
	// how says in the report what the cable is made of.
	how() string
	// listen is the host that the node listens on.
	listen() string
	// worker starts an instance at the far end.
	worker(l *lab, id string) *process
	cut(d direction)
	heal()
}

// openCable is a network of its own where that can be had, else a proxy.
func openCable(t *testing.T) cable {
	t.Helper()
	if why := noNamespaces(); why != "" {
		t.Logf("the cable is a proxy: %s", why)
		return newRelay(t)
	}
	return newNetwork(t)
}

// noNamespaces says what is missing for network namespaces.
func noNamespaces() string {
	switch {
	case runtime.GOOS != "linux":
		return "only Linux has network namespaces"
	case os.Getuid() != 0:
		return "only root makes network namespaces"
	}
	for _, name := range []string{"unshare", "nsenter", "ip", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Sprintf("%s is missing; Debian: apt-get install iproute2 nftables", name)
		}
	}
	const try = "ip link add name cut type veth peer name far && nft add table ip cut"
	if out, err := exec.Command("unshare", "--net", "sh", "-c", try).CombinedOutput(); err != nil {
		return fmt.Sprintf("this machine does not allow it: %v %s", err, out)
	}
	return ""
}

// A network is three network namespaces in a row: that of the tests, one in the
// middle, which forwards or drops, and one at the end for the worker. So neither
// end is told anything by its own kernel. A process holds each of the two, and
// with its end they are gone, even if the tests are killed.
type network struct {
	t           *testing.T
	middle, far *process
	// here is the address of the broker, there that of the worker.
	here, there netip.Addr
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	a := freeAddresses(t)
	n := &network{t: t, middle: holdNamespace(t), far: holdNamespace(t), here: a[1], there: a[6]}
	words := strings.NewReplacer(
		"DEV", fmt.Sprintf("mbus%08x", rand.Uint32()), // and one letter: a name has at most 15
		"MIDDLE", strconv.Itoa(n.middle.pid()), "FAR", strconv.Itoa(n.far.pid()),
		"A1", a[1].String(), "A2", a[2].String(), "A5", a[5].String(), "A6", a[6].String())
	for _, step := range []struct {
		in    *process
		lines string
	}{
		{nil, "link add DEVa type veth peer name DEVb netns MIDDLE\naddr add A1/30 dev DEVa\nlink set DEVa up\nroute add A6/32 via A2 dev DEVa\n"},
		{n.middle, "link add DEVc type veth peer name DEVd netns FAR\naddr add A2/30 dev DEVb\naddr add A5/30 dev DEVc\nlink set DEVb up\nlink set DEVc up\n"},
		{n.far, "addr add A6/30 dev DEVd\nlink set DEVd up\nlink set lo up\nroute add default via A5\n"},
	} {
		succeed(t, within(step.in, command{path: "ip", args: []string{"-batch", "-"}, stdin: words.Replace(step.lines)}))
	}
	succeed(t, within(n.middle, command{path: "sh", args: []string{"-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"}}))
	return n
}

// freeAddresses are eight addresses of the range for tests of networks, RFC
// 2544, that no interface here has a part of.
func freeAddresses(t *testing.T) (all [8]netip.Addr) {
	t.Helper()
	used, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		block := 0xc612_0000 + rand.Uint32N(1<<14)<<3 // 198.18.0.0/15
		free := true
		for i := range all {
			all[i] = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, block+uint32(i))))
			for _, u := range used {
				subnet, ok := u.(*net.IPNet)
				free = free && (!ok || !subnet.Contains(all[i].AsSlice()))
			}
		}
		if free {
			return all
		}
	}
	t.Fatal("198.18.0.0/15 is in use here")
	return all
}

// holdNamespace starts a process that has a network namespace of its own.
func holdNamespace(t *testing.T) *process {
	t.Helper()
	p := start(t, command{path: "unshare", args: []string{"--net", "sleep", "1d"}})
	mine, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, startup, "a network namespace", func() error {
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.pid()))
		if err == nil && its == mine {
			err = errors.New("it has ours")
		}
		return err
	})
	return p
}

// within is a command in the namespace that a process holds.
func within(holder *process, c command) command {
	if holder != nil {
		c.args = append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", holder.pid()), c.path}, c.args...)
		c.path = "nsenter"
	}
	return c
}

func (n *network) how() string    { return "network namespaces, nft" }
func (n *network) listen() string { return n.here.String() }

func (n *network) worker(l *lab, id string) *process {
	l.t.Helper()
	return l.launch(id, l.b, within(n.far, of(worker, l.workerArgs(id)...)))
}

func (n *network) cut(d direction) {
	n.t.Helper()
	rules := "add table ip cut\nadd chain ip cut forward { type filter hook forward priority 0; }\n"
	if d&toBroker != 0 {
		rules += fmt.Sprintf("add rule ip cut forward ip saddr %s drop\n", n.there)
	}
	if d&toWorker != 0 {
		rules += fmt.Sprintf("add rule ip cut forward ip daddr %s drop\n", n.there)
	}
	n.nft(rules)
}

func (n *network) heal() {
	n.t.Helper()
	n.nft("delete table ip cut\n")
}

func (n *network) nft(rules string) {
	n.t.Helper()
	succeed(n.t, within(n.middle, command{path: "nft", args: []string{"-f", "-"}, stdin: rules}))
}
