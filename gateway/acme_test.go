package gateway_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/gateway"
)

func TestACMEAsksItsAuthorityForItsHostsOnly(t *testing.T) {
	b, _ := realBus(t)
	asked := make(chan string, 16)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	authority := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default:
		}
		w.WriteHeader(http.StatusTeapot)
	})}
	go func() { _ = authority.Serve(l) }()
	defer authority.Close()
	s, _ := serve(t, b, func(c *gateway.ServerConfig) {
		c.TLS.ACME = gateway.ACME{Hosts: []string{"a.example"}, CacheDir: private(t), Directory: "http://" + l.Addr().String() + "/directory"}
	})
	for _, name := range []string{"b.example", "a.example"} {
		conn, err := tls.Dial("tcp", s.Address(), &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // there is no certificate to verify
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s has a certificate", name)
		}
		if name == "b.example" && len(asked) > 0 {
			t.Errorf("the authority was asked %s for another host", <-asked)
		}
	}
	select {
	case path := <-asked:
		if path != "/directory" {
			t.Errorf("the authority was asked for %s", path)
		}
	case <-time.After(patience):
		t.Error("the authority was not asked")
	}
}

// A crowd at the door before there is a certificate must not keep the authority
// from looking whether the host is ours: then there would never be one.
func TestTheProofForACMEWaitsForNobody(t *testing.T) {
	b, _ := realBus(t)
	ca := newAuthority(t)
	asked, finish := make(chan struct{}, 1), make(chan struct{})
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		select {
		case <-finish:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	defer authority.Close()
	defer close(finish)
	dir, file := private(t), filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, ca.pem())
	// What the manager keeps while its order runs, for whoever has the port.
	proof := ca.issue(t, "a.example")
	write(t, filepath.Join(dir, "a.example+token"), append(key(t, proof), proof.cert...))
	s, _ := serve(t, b, func(c *gateway.ServerConfig) {
		c.TLS.ACME = gateway.ACME{Hosts: []string{"a.example"}, CacheDir: dir, Directory: authority.URL}
		c.TLS.ClientCAFile = file // the authority has no certificate to show
	})
	for range 100 {
		raw, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		go func() { // until the connection is closed
			_ = tls.Client(raw, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}).Handshake() //nolint:gosec // there is no certificate to verify
		}()
	}
	<-asked
	time.Sleep(quiet) // the crowd has come
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience / 4}, "tcp", s.Address(), &tls.Config{
			ServerName: "a.example", NextProtos: []string{"acme-tls/1"}, MaxVersion: version, InsecureSkipVerify: true, //nolint:gosec // the authority does not verify it
		})
		if err != nil {
			t.Fatalf("the authority gets no proof with TLS %x: %v", version, err)
		}
		state := conn.ConnectionState()
		_ = conn.Close()
		if state.NegotiatedProtocol != "acme-tls/1" || state.PeerCertificates[0].Subject.CommonName != "a.example" {
			t.Errorf("the authority gets %q by %q", state.PeerCertificates[0].Subject.CommonName, state.NegotiatedProtocol)
		}
	}
}

func TestACertificateThatCannotBeHadIsToldOnceAMinute(t *testing.T) {
	b, _ := realBus(t)
	authority := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer authority.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw}))
	for trusted, reason := range map[string]string{"": "unknown authority", file: "418"} {
		var log logBuffer
		s, _ := serve(t, b, func(c *gateway.ServerConfig) {
			c.Logger = zerolog.New(&log).Level(zerolog.WarnLevel)
			c.TLS.ACME = gateway.ACME{Hosts: []string{"a.example"}, CacheDir: private(t), Directory: authority.URL, CAFile: trusted}
		})
		for _, name := range []string{"b.example", "a.example", "a.example", "A.example"} {
			if conn, err := tls.Dial("tcp", s.Address(), &tls.Config{ServerName: name, InsecureSkipVerify: true}); err == nil { //nolint:gosec // there is no certificate to verify
				_ = conn.Close()
				t.Errorf("%s has a certificate", name)
			}
		}
		got := log.String()
		if strings.Count(got, "there is no certificate for a host") != 1 || !strings.Contains(got, `"host":"a.example"`) || !strings.Contains(got, reason) {
			t.Errorf("the log says %q, want one warning with %q", got, reason)
		}
	}
}

func TestACertificateThatIsNotRenewedIsTold(t *testing.T) {
	b, _ := realBus(t)
	dir, ca := private(t), newAuthority(t)
	for name, left := range map[string]time.Duration{"a.example": time.Hour, "b.example": 10 * time.Minute} {
		cert := ca.issueFor(t, name, time.Now().Add(left-time.Hour), time.Now().Add(left))
		write(t, filepath.Join(dir, name), append(key(t, cert), cert.cert...))
	}
	var log logBuffer
	s, _ := serve(t, b, func(c *gateway.ServerConfig) {
		c.Logger = zerolog.New(&log).Level(zerolog.WarnLevel)
		c.TLS.ACME = gateway.ACME{Hosts: []string{"a.example", "b.example"}, CacheDir: dir, Directory: "http://127.0.0.1:1/"}
	})
	for _, name := range []string{"a.example", "b.example", "b.example"} {
		conn, err := tls.Dial("tcp", s.Address(), &tls.Config{ServerName: name, RootCAs: ca.pool()})
		if err != nil {
			t.Fatalf("%s: %v", name, err) // the authority is away: what is there is served
		}
		_ = conn.Close()
	}
	if got := log.String(); strings.Count(got, "has not been renewed") != 1 || !strings.Contains(got, `"host":"b.example"`) {
		t.Errorf("the log says %q", got)
	}
}

func TestACMEThatCannotBe(t *testing.T) {
	open, taken := private(t), filepath.Join(private(t), "file")
	if err := os.Chmod(open, 0o750); err != nil { //nolint:gosec // that is what is wrong
		t.Fatal(err)
	}
	write(t, taken, nil)
	tests := []struct {
		name string
		acme gateway.ACME
		want string
	}{
		{"a port", gateway.ACME{Hosts: []string{"a.example:443"}}, "--acme-hosts"},
		{"a pattern", gateway.ACME{Hosts: []string{"*.example.com"}}, "--acme-hosts"},
		{"an address", gateway.ACME{Hosts: []string{"192.0.2.1"}}, "--acme-hosts"},
		{"another address", gateway.ACME{Hosts: []string{"2001:db8::1"}}, "--acme-hosts"},
		{"a local name", gateway.ACME{Hosts: []string{"localhost"}}, "--acme-hosts"},
		{"capitals", gateway.ACME{Hosts: []string{"A.example"}}, "--acme-hosts"},
		{"a dot at the end", gateway.ACME{Hosts: []string{"a.example."}}, "--acme-hosts"},
		{"a cache that others read", gateway.ACME{Hosts: []string{"a.example"}, CacheDir: open}, "chmod 700 " + open},
		{"a cache that is a file", gateway.ACME{Hosts: []string{"a.example"}, CacheDir: taken}, "--acme-cache"},
		{"an authority of nobody", gateway.ACME{Hosts: []string{"a.example"}, CAFile: taken}, "--acme-ca-file " + taken + " holds no PEM certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.acme.CacheDir == "" {
				test.acme.CacheDir = private(t)
			}
			err := gateway.ServerConfig{Address: "127.0.0.1:0", TLS: gateway.TLS{ACME: test.acme}}.Check(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	made := filepath.Join(private(t), "a", "b")
	if err := (gateway.ServerConfig{Address: "127.0.0.1:0", TLS: gateway.TLS{ACME: gateway.ACME{Hosts: []string{"a.example"}, CacheDir: made}}}).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the cache is made with %v, %v", info.Mode(), err)
	}
}

// private is a directory that is open to nobody else, as the cache has to be.
func private(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // it is a directory
		t.Fatal(err)
	}
	return dir
}

// key is that of a certificate in the form in which the cache keeps it.
func key(t testing.TB, c certificate) []byte {
	t.Helper()
	block, _ := pem.Decode(c.key)
	secret, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(secret.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}
