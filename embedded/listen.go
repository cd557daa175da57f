package embedded

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

// An endpoint is an address to listen on, looked up once: what was judged to
// be loopback is also what is bound.
type endpoint struct {
	flag string // the flag that set it
	text string // as it was given
	name string // the host as it was given
	host string // the IP address to bind
	port int    // 0 is any free port
}

// resolve parses HOST:PORT. A host name is looked up within ctx and a second.
func resolve(ctx context.Context, flag, text string) (endpoint, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return endpoint{}, configError("%s wants HOST:PORT, not %q", flag, text)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		return endpoint{}, configError("%s %q: a port is a number from 0 to 65535", flag, text)
	}
	e := endpoint{flag: flag, text: text, name: host, host: host, port: n}
	if host == "" {
		e.host = "0.0.0.0"
		return e, nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return e, nil
	}
	return e.lookup(ctx)
}

// lookup replaces a host name by an address, of the ones that other machines
// can reach if there is any: the name counts as what is the least safe of it.
func (e endpoint) lookup(ctx context.Context) (endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", e.name)
	if err != nil || len(found) == 0 {
		return endpoint{}, configError("%s %q: this host name has no address; give an IP address (%w)", e.flag, e.text, err)
	}
	best := found[0].Unmap()
	for _, addr := range found[1:] {
		if addr = addr.Unmap(); preferred(addr, best) {
			best = addr
		}
	}
	e.host = best.String()
	return e, nil
}

func preferred(a, b netip.Addr) bool {
	if a.IsLoopback() != b.IsLoopback() {
		return b.IsLoopback()
	}
	return a.Is4() && !b.Is4()
}

// loopback reports whether only this machine can reach e.
func (e endpoint) loopback() bool {
	addr, err := netip.ParseAddr(e.host)
	return err == nil && addr.Unmap().IsLoopback()
}

// reachable returns where a client on this machine connects when the listener
// has the given port.
func (e endpoint) reachable(port uint16) string {
	host := e.name
	if addr, err := netip.ParseAddr(e.host); err == nil && addr.Unmap().IsUnspecified() {
		host = "127.0.0.1"
		if addr.Is6() && !addr.Is4In6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// serverPort is e.port as nats-server spells it.
func (e endpoint) serverPort() int {
	if e.port == 0 {
		return -1
	}
	return e.port
}

// checkFree binds e for a moment. It finds a busy port before JetStream reads
// its store, which can take long, and who holds it.
func (e endpoint) checkFree(ctx context.Context) error {
	if e.port == 0 {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(e.host, strconv.Itoa(e.port)))
	if err == nil {
		return l.Close()
	}
	return e.bindError(err)
}

func (e endpoint) bindError(err error) error {
	switch {
	case addressInUse(err):
		pid, process := portHolder(e.host, e.port)
		return &InUseError{Name: e.text, Flag: e.flag, PID: pid, Process: process}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return configError("%s %s is no address of this machine", e.flag, e.text)
	}
	return fmt.Errorf("listen on %s (%s): %w", e.text, e.flag, err)
}

func addressInUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) ||
		strings.Contains(err.Error(), "Only one usage of each socket address") // Windows has its own number
}

// checkSafe refuses listeners that other machines can reach without TLS and
// authentication. It returns those that the configuration allows all the same.
func (c Config) checkSafe(endpoints []endpoint, users authFile) (exposed []string, err error) {
	for _, e := range endpoints {
		if e.loopback() {
			continue
		}
		missing := c.missing(e, users)
		if len(missing) == 0 {
			continue
		}
		if !c.InsecureAllowRemote {
			unsafe := configError("%s %s can be reached from other machines and lacks %s; add %s %s %s %s, or choose 127.0.0.1, or accept the risk with %s",
				e.flag, e.text, strings.Join(missing, " and "), flagTLSCert, flagTLSKey, flagTLSCA, flagAuth, flagInsecure)
			unsafe.cause = ErrUnsafe
			return nil, unsafe
		}
		exposed = append(exposed, e.flag+" "+e.text)
	}
	return exposed, nil
}

func (c Config) missing(e endpoint, users authFile) []string {
	var missing []string
	if c.TLSCertFile == "" {
		missing = append(missing, "TLS")
	}
	if c.AuthFile == "" {
		missing = append(missing, "authentication")
	} else if e.flag == flagClusterListen && users.Cluster == nil {
		missing = append(missing, `a "cluster" entry in the auth file`)
	}
	return missing
}
