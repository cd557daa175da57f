package gateway_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/gateway"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// A certificate is one with its key, as PEM.
type certificate struct{ cert, key []byte }

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) issue(t testing.TB, name string) certificate {
	t.Helper()
	return a.issueFor(t, name, time.Time{}, time.Now().Add(time.Hour))
}

// issueFor makes a certificate for a time.
func (a *authority) issueFor(t testing.TB, name string, from, to time.Time) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		DNSNames: []string{"localhost", name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// files writes the pair to files of its own.
func (c certificate) files(t testing.TB) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, c.cert)
	write(t, key, c.key)
	return cert, key
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// client makes a client that keeps no connections.
func (a *authority) client(protocols string, certs ...tls.Certificate) *http.Client {
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: a.pool(), Certificates: certs},
		DisableKeepAlives: true, ForceAttemptHTTP2: protocols == "h2",
	}
	return &http.Client{Transport: tr, Timeout: patience}
}

func TestTLSServesBothProtocols(t *testing.T) {
	b, _ := realBus(t)
	ca := newAuthority(t)
	s, c := serve(t, b, func(c *gateway.ServerConfig) { c.TLS.CertFile, c.TLS.KeyFile = ca.issue(t, "a").files(t) })
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("the URL is %s", s.URL())
	}
	for protocols, want := range map[string]string{"h2": "HTTP/2.0", "": "HTTP/1.1"} {
		res, err := ca.client(protocols).Get(s.URL() + "/a")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.Proto != want || res.StatusCode != http.StatusOK || c.last.Load().TLS == nil {
			t.Errorf("got %s %s, want %s; the room sees TLS: %v", res.Proto, res.Status, want, c.last.Load().TLS != nil)
		}
	}
	if n := c.calls.Load(); n != 2 {
		t.Errorf("%d calls", n)
	}
	if got, _ := raw(t, s.Address(), "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.Contains(got, "400") || !strings.Contains(got, "https") {
		t.Errorf("a request without TLS gets %q", got)
	}
	conn, err := tls.Dial("tcp", s.Address(), &tls.Config{RootCAs: ca.pool(), MaxVersion: tls.VersionTLS11})
	if err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

func TestRequestsThatHideAnotherInTLS(t *testing.T) {
	b, _ := realBus(t)
	ca := newAuthority(t)
	s, c := serve(t, b, func(c *gateway.ServerConfig) { c.TLS.CertFile, c.TLS.KeyFile = ca.issue(t, "a").files(t) })
	conn, err := tls.Dial("tcp", s.Address(), &tls.Config{RootCAs: ca.pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, open := exchange(t, conn, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 400") || open || c.calls.Load() != 0 {
		t.Errorf("%d calls, open %v: %s", c.calls.Load(), open, got)
	}
}

func TestANewCertificateIsUsedWithoutARestart(t *testing.T) {
	b, _ := realBus(t)
	ca := newAuthority(t)
	var log logBuffer
	cert, key := ca.issue(t, "first").files(t)
	s, _ := serve(t, b, func(c *gateway.ServerConfig) {
		c.TLS.CertFile, c.TLS.KeyFile, c.Logger = cert, key, zerolog.New(&log)
	})
	name := func() string {
		conn, err := tls.Dial("tcp", s.Address(), &tls.Config{RootCAs: ca.pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "first" {
		t.Fatalf("it is %q", got)
	}
	// Half of a pair has come: the old pair stays.
	second := ca.issue(t, "second")
	write(t, cert, second.cert)
	eventually(t, "a warning", func() bool {
		if got := name(); got != "first" {
			t.Fatalf("with half a pair it is %q", got)
		}
		return strings.Contains(log.String(), "the one before stays")
	})
	write(t, key, second.key)
	eventually(t, "the new certificate", func() bool { return name() == "second" })
	if n := strings.Count(log.String(), "the one before stays"); n != 1 {
		t.Errorf("it warned %d times of one change:\n%s", n, log.String())
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a warning about the key", func() bool {
		return name() == "second" && strings.Count(log.String(), "the one before stays") == 2
	})
}

func TestClientsMustShowACertificate(t *testing.T) {
	b, _ := realBus(t)
	ca, other := newAuthority(t), newAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, ca.pem())
	s, c := serve(t, b, func(c *gateway.ServerConfig) {
		c.TLS.CertFile, c.TLS.KeyFile = ca.issue(t, "a").files(t)
		c.TLS.ClientCAFile = file
	})
	load := func(c certificate) tls.Certificate {
		pair, err := tls.X509KeyPair(c.cert, c.key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	if res, err := ca.client("").Get(s.URL() + "/a"); err == nil {
		_ = res.Body.Close()
		t.Error("nobody gets in without a certificate, and did")
	}
	if res, err := ca.client("", load(other.issue(t, "x"))).Get(s.URL() + "/a"); err == nil {
		_ = res.Body.Close()
		t.Error("another authority's client got in")
	}
	if n := c.calls.Load(); n != 0 {
		t.Errorf("%d calls", n)
	}
	res, err := ca.client("", load(ca.issue(t, "x"))).Get(s.URL() + "/a")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if c.calls.Load() != 1 {
		t.Error("the right client did not get in")
	}
}

func TestTLSThatCannotBe(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "a").files(t)
	_, otherKey := ca.issue(t, "b").files(t)
	open := filepath.Join(t.TempDir(), "open.pem")
	write(t, open, ca.issue(t, "c").key)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		tls  gateway.TLS
		want string
	}{
		{"no key", gateway.TLS{CertFile: cert}, "--tls-key-file"},
		{"no certificate", gateway.TLS{KeyFile: key}, "--tls-cert-file"},
		{"missing files", gateway.TLS{CertFile: "nowhere", KeyFile: key}, "nowhere"},
		{"no pair", gateway.TLS{CertFile: cert, KeyFile: otherKey}, "no pair"},
		{"a key for everybody", gateway.TLS{CertFile: cert, KeyFile: open}, "chmod 600"},
		{"a folder", gateway.TLS{CertFile: filepath.Dir(cert), KeyFile: key}, "is not a file"},
		{"clients without TLS", gateway.TLS{ClientCAFile: cert}, "needs TLS"},
		{"no authorities", gateway.TLS{CertFile: cert, KeyFile: key, ClientCAFile: key}, "holds no PEM certificate"},
		{"two ways", gateway.TLS{CertFile: cert, KeyFile: key, ACME: gateway.ACME{Hosts: []string{"a.example"}}}, "exclude each other"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := gateway.ServerConfig{Address: "127.0.0.1:0", TLS: test.tls}.Check(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// A logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

var _ io.Writer = (*logBuffer)(nil)
