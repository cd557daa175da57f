package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/mbus-dev/mbus/embedded/bind"
)

const (
	// maxCertificateWaits bounds the handshakes that ask for a certificate of one
	// host at once. One that is there already takes microseconds.
	maxCertificateWaits = 64
	// authorityLimit is the time of one request to the authority.
	authorityLimit = 30 * time.Second
	// acmeWarnPause is the least time between two warnings about one host.
	acmeWarnPause = time.Minute
	// Certificates are renewed when a third of their time is left, or thirty
	// days. It has not worked when less than this is left.
	overdue, longOverdue = 4, 20 * 24 * time.Hour
)

// ACME says how to get certificates by the ACME protocol, with the challenge
// tls-alpn-01: the authority connects to port 443 of each host, which must lead
// to this listener. The zero ACME means that there is none.
type ACME struct {
	// Hosts are the names to get certificates for.
	Hosts []string
	// CacheDir is where certificates and the account's key are kept, with mode
	// 0700. "" means the user's cache directory, under mbus/acme.
	CacheDir string
	// Directory is the URL of the authority. "" means Let's Encrypt.
	Directory string
	// CAFile holds the certificate authorities that the server at Directory is
	// trusted by, in place of those of the system.
	CAFile string
}

// An issuer gets the certificates of a listener and keeps them new.
type issuer struct {
	manager *autocert.Manager
	log     zerolog.Logger
	// waiting has a slot for each handshake that asks, by host: one host that
	// cannot have a certificate keeps no other from its own. Names that are none
	// of the hosts share "".
	waiting map[string]chan struct{}

	mu     sync.Mutex
	warned map[string]time.Time // by host
}

func newIssuer(a ACME, log zerolog.Logger) (*issuer, error) {
	dir, err := a.cache()
	if err != nil {
		return nil, err
	}
	i := &issuer{log: log, warned: make(map[string]time.Time), waiting: map[string]chan struct{}{"": make(chan struct{}, maxCertificateWaits)}}
	for _, host := range a.Hosts {
		if !certifiable(host) {
			return nil, bind.Errorf("--acme-hosts %q is no name that a certificate can be had for; write a full host name such as api.example.com", host)
		}
		i.waiting[host] = make(chan struct{}, maxCertificateWaits)
	}
	client := &http.Client{Timeout: authorityLimit}
	if a.CAFile != "" {
		pool, err := authorities("--acme-ca-file", a.CAFile)
		if err != nil {
			return nil, err
		}
		client.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: idleLimit,
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		}
	}
	i.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(dir), HostPolicy: autocert.HostWhitelist(a.Hosts...),
		Client: &acme.Client{
			DirectoryURL: cmp.Or(a.Directory, autocert.DefaultACMEDirectory), UserAgent: "mbus", HTTPClient: client,
		},
	}
	return i, nil
}

// cache makes the directory of the certificates. One that does not work is to be
// known before the authority is asked: it counts what it issues.
func (a ACME) cache() (string, error) {
	dir := a.CacheDir
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", bind.Errorf("there is no place for the certificates (%w); name one with --acme-cache", err)
		}
		dir = filepath.Join(base, "mbus", "acme")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", bind.Errorf("--acme-cache: %w", err)
	}
	if info, err := os.Stat(dir); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", bind.Errorf("--acme-cache %s is open to others (mode %04o); run: chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	probe, err := os.CreateTemp(dir, "probe")
	if err != nil {
		return "", bind.Errorf("--acme-cache: %w", err)
	}
	_ = probe.Close() // nothing was written
	if err := os.Remove(probe.Name()); err != nil {
		return "", bind.Errorf("--acme-cache: %w", err)
	}
	return dir, nil
}

// certifiable reports whether an authority can find a host by its name: no
// pattern, no address, and no name of a local network.
func certifiable(host string) bool {
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	if len(host) > 253 || len(labels) < 2 || strings.Trim(last, "0123456789") == "" {
		return false
	}
	for _, label := range labels {
		if len(label) > 63 || !isAlias(label) {
			return false
		}
	}
	return host == strings.ToLower(host)
}

// wantsProof reports whether the authority asks for the proof that the host is
// ours.
func wantsProof(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
}

// get is for tls.Config. It ends the wait for a certificate with the handshake
// that needs it. The way to it goes on for up to five minutes, so that a later
// handshake finds it; the manager makes one for all.
func (i *issuer) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if wantsProof(hello) {
		// It never waits for those who wait for the certificate that it is about.
		return i.manager.GetCertificate(hello)
	}
	host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	waiting, ours := i.waiting[host]
	if !ours {
		host, waiting = "", i.waiting[""]
	}
	select {
	case waiting <- struct{}{}:
	case <-hello.Context().Done():
		return nil, context.Cause(hello.Context())
	}
	type result struct {
		cert *tls.Certificate
		err  error
	}
	got := make(chan result, 1)
	go func() { // nothing waits for it: the manager cannot be told to stop
		defer func() { <-waiting }()
		cert, err := i.manager.GetCertificate(hello)
		if host != "" {
			i.look(host, cert, err)
		}
		got <- result{cert, err}
	}()
	select {
	case r := <-got:
		return r.cert, r.err
	case <-hello.Context().Done():
		return nil, context.Cause(hello.Context())
	}
}

// look warns of a certificate that could not be had, and of one that should have
// been renewed: the manager says nothing of that.
func (i *issuer) look(host string, cert *tls.Certificate, err error) {
	var ends time.Time
	if err == nil {
		if cert.Leaf == nil {
			return
		}
		ends = cert.Leaf.NotAfter
		if time.Until(ends) > min(ends.Sub(cert.Leaf.NotBefore)/overdue, longOverdue) {
			return
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.warned[host]) < acmeWarnPause {
		return
	}
	i.warned[host] = time.Now()
	if err != nil {
		i.log.Warn().Err(err).Str("host", host).Msg("there is no certificate for a host; the authority is asked again in a minute")
		return
	}
	i.log.Warn().Str("host", host).Time("ends", ends).Msg("a certificate has not been renewed; the authority is asked again within the hour")
}
