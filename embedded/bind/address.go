package bind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lookupTimeout keeps a slow name server from holding up the answer that a
// bind is unsafe.
const lookupTimeout = 900 * time.Millisecond

// An Address is one to listen on, looked up once.
type Address struct {
	Flag string // the flag that set it
	Text string // as it was given
	Name string // the host as it was given
	Host string // the IP address to bind
	Port int    // 0 is any free port
}

// Resolve parses HOST:PORT. No host means all addresses of this machine. A host
// name is looked up within ctx and a second; it counts as the least safe of its
// addresses. The error is a [*ConfigError].
func Resolve(ctx context.Context, flag, text string) (Address, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Address{}, Errorf("%s wants HOST:PORT, not %q", flag, text)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		return Address{}, Errorf("%s %q: a port is a number from 0 to 65535", flag, text)
	}
	a := Address{Flag: flag, Text: text, Name: host, Host: host, Port: n}
	if host == "" {
		a.Host = "0.0.0.0"
		return a, nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	return a.lookup(ctx)
}

// lookup replaces a host name by an address, of the ones that other machines
// can reach if there is any: the name counts as what is the least safe of it.
func (a Address) lookup(ctx context.Context) (Address, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.Name)
	if err != nil || len(found) == 0 {
		return Address{}, Errorf("%s %q: this host name has no address; give an IP address (%w)", a.Flag, a.Text, err)
	}
	best := found[0].Unmap()
	for _, addr := range found[1:] {
		if addr = addr.Unmap(); preferred(addr, best) {
			best = addr
		}
	}
	a.Host = best.String()
	return a, nil
}

func preferred(a, b netip.Addr) bool {
	if a.IsLoopback() != b.IsLoopback() {
		return b.IsLoopback()
	}
	return a.Is4() && !b.Is4()
}

// Loopback reports whether only this machine can reach a.
func (a Address) Loopback() bool {
	addr, err := netip.ParseAddr(a.Host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Reachable returns where a client on this machine connects when the listener
// has the given port.
func (a Address) Reachable(port uint16) string {
	host := a.Name
	if addr, err := netip.ParseAddr(a.Host); err == nil && addr.Unmap().IsUnspecified() {
		host = "127.0.0.1"
		if addr.Is6() && !addr.Is4In6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// Listen opens the listener. The error is an [*InUseError] if somebody else has
// the address, a [*ConfigError] if this machine does not have it.
func (a Address) Listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(a.Host, strconv.Itoa(a.Port)))
	if err != nil {
		return nil, a.bindError(err)
	}
	return l, nil
}

// CheckFree binds a for a moment, with the errors of Listen.
func (a Address) CheckFree(ctx context.Context) error {
	if a.Port == 0 {
		return nil
	}
	l, err := a.Listen(ctx)
	if err != nil {
		return err
	}
	return l.Close()
}

// InUse is the error for an address that somebody else has.
func (a Address) InUse() *InUseError {
	pid, process := portHolder(a.Host, a.Port)
	return &InUseError{Name: a.Text, Flag: a.Flag, PID: pid, Process: process}
}

func (a Address) bindError(err error) error {
	switch {
	case addressInUse(err):
		return a.InUse()
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return Errorf("%s %s is no address of this machine", a.Flag, a.Text)
	}
	return fmt.Errorf("listen on %s (%s): %w", a.Text, a.Flag, err)
}

func addressInUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) ||
		strings.Contains(err.Error(), "Only one usage of each socket address") // Windows has its own number
}
