package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/embedded/bind"
)

// hosts are the names that requests may come for. A page of another site can
// make its own name lead to this machine; it cannot make the browser say
// another name than its own.
type hosts struct {
	names map[string]bool
	below []string // ".example.com": all names below it
}

func newHosts(allowed []string) (hosts, error) {
	h := hosts{names: map[string]bool{"localhost": true}}
	for _, text := range allowed {
		bare, wild := strings.CutPrefix(text, "*.")
		name, ok := hostName(bare)
		if !ok || strings.ContainsAny(name, "*/ ") {
			return hosts{}, bind.Errorf("--allow-host %q is no host name; write example.com, or *.example.com for all names below it", text)
		}
		if wild {
			h.below = append(h.below, "."+name)
		} else {
			h.names[name] = true
		}
	}
	return h, nil
}

// hostName is the host without its port, in lower case and without a final dot.
func hostName(hostport string) (string, bool) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]"), ""
	}
	if strings.Trim(port, "0123456789") != "" {
		return "", false
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", false
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host, host != ""
}

// check refuses a request for a name that is not this gateway's. An address is
// always: who can name it needs no trick to get here.
func (h hosts) check(w http.ResponseWriter, r *http.Request) error {
	name, ok := hostName(r.Host)
	if ok && h.allow(name, r) {
		return nil
	}
	return broken(w, http.StatusMisdirectedRequest, "this gateway is not called %q; --allow-host adds a name", cut(r.Host))
}

func (h hosts) allow(name string, r *http.Request) bool {
	if h.names[name] {
		return true
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr == localAddr(r)
	}
	for _, suffix := range h.below {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// localAddr is the address of this machine that the request came to.
func localAddr(r *http.Request) netip.Addr {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// proxies are the networks whose word about the client counts.
type proxies []netip.Prefix

// ParseProxies reads what --trusted-proxy takes: addresses and networks such as
// 10.0.0.0/8.
func ParseProxies(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, bind.Errorf("--trusted-proxy %q is no network; write 10.0.0.0/8 or an address", text)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

func (p proxies) trust(addr netip.Addr) bool {
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// forwarding are the headers in which proxies speak about the client.
var forwarding = [...]string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
	"X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip",
}

// client finds who a request is from, and drops what a peer that is no trusted
// proxy says about that.
func (p proxies) client(r *http.Request) (addr netip.Addr, secure bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	addr, secure = peer.Addr().Unmap(), r.TLS != nil
	if err != nil || !p.trust(addr) {
		for name := range r.Header { // mostly fewer than those
			if (name[0] == 'X' || name[0] == 'F' || name[0] == 'T') && slices.Contains(forwarding[:], name) {
				delete(r.Header, name)
			}
		}
		return addr, secure
	}
	if scheme := r.Header.Get("X-Forwarded-Proto"); scheme != "" {
		secure = strings.EqualFold(scheme, "https")
	}
	// From the right: each trusted proxy vouches for the one before it.
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trust(addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap()
	}
	return addr, secure
}
