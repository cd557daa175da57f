package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"

	"github.com/mbus-dev/mbus/embedded/bind"
)

const (
	// lookPause is the least time between two looks at the certificate files.
	lookPause = time.Second
	maxPEM    = 1 << 20
)

// TLS says how a listener proves who it is. The zero TLS means plain HTTP.
type TLS struct {
	// CertFile and KeyFile are PEM files. They are read again when they change;
	// while they are no pair the one before stays. The key must not be readable
	// by group or others.
	CertFile, KeyFile string
	// ClientCAFile holds certificate authorities. With it, clients must show a
	// certificate that one of them signed.
	ClientCAFile string
	// ACME gets certificates from an authority on the network.
	ACME ACME
}

func (t TLS) on() bool { return t.CertFile != "" || t.KeyFile != "" || len(t.ACME.Hosts) > 0 }

// config checks t and reads its files; nil without TLS.
func (t TLS) config(log zerolog.Logger) (*tls.Config, error) {
	if !t.on() {
		if t.ClientCAFile != "" {
			return nil, bind.Errorf("--tls-client-ca-file asks clients for certificates, which needs TLS; add --enable-tls --tls-cert-file --tls-key-file")
		}
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	switch {
	case len(t.ACME.Hosts) > 0 && (t.CertFile != "" || t.KeyFile != ""):
		return nil, bind.Errorf("--enable-acme and --tls-cert-file exclude each other; give one")
	case len(t.ACME.Hosts) > 0:
		i, err := newIssuer(t.ACME, log)
		if err != nil {
			return nil, err
		}
		config.GetCertificate = i.get
		config.NextProtos = append(config.NextProtos, acme.ALPNProto)
	case t.CertFile == "" || t.KeyFile == "":
		return nil, bind.Errorf("--tls-cert-file and --tls-key-file need each other; give both")
	default:
		p := &pair{cert: t.CertFile, key: t.KeyFile, log: log}
		if err := p.load(); err != nil {
			return nil, err
		}
		config.GetCertificate = p.get
	}
	if t.ClientCAFile == "" {
		return config, nil
	}
	open := config.Clone()
	var err error
	if config.ClientCAs, err = authorities("--tls-client-ca-file", t.ClientCAFile); err != nil {
		return nil, err
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if len(t.ACME.Hosts) > 0 {
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if wantsProof(hello) {
				return open, nil // the authority of ACME has none to show, and gets nothing but the proof
			}
			return nil, nil
		}
	}
	return config, nil
}

// authorities reads a file of certificates to trust.
func authorities(flag, path string) (*x509.CertPool, error) {
	pem, err := readPEM(flag, path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, bind.Errorf("%s %s holds no PEM certificate", flag, path)
	}
	return pool, nil
}

// A pair is a certificate and its key in two files, which others may replace.
type pair struct {
	cert, key string
	log       zerolog.Logger

	mu     sync.Mutex
	looked time.Time
	stamp  [2]stamp
	now    *tls.Certificate
}

// A stamp changes when a file does.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// get is for tls.Config.
func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) < lookPause {
		return p.now, nil
	}
	p.looked = time.Now()
	if [2]stamp{stampOf(p.cert), stampOf(p.key)} != p.stamp {
		if err := p.load(); err != nil {
			p.log.Warn().Err(err).Msg("the certificate has changed and cannot be used; the one before stays")
		} else {
			p.log.Info().Str("file", p.cert).Msg("a new certificate is used")
		}
	}
	return p.now, nil
}

// load reads the files. A failure leaves what was there.
func (p *pair) load() error {
	p.stamp = [2]stamp{stampOf(p.cert), stampOf(p.key)}
	cert, err := readPEM("--tls-cert-file", p.cert)
	if err != nil {
		return err
	}
	if info, err := os.Stat(p.key); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return bind.Errorf("--tls-key-file %s can be read by others (mode %04o); run: chmod 600 %s", p.key, info.Mode().Perm(), p.key)
	}
	key, err := readPEM("--tls-key-file", p.key)
	if err != nil {
		return err
	}
	loaded, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return bind.Errorf("--tls-cert-file %s and --tls-key-file %s are no pair of PEM files: %w", p.cert, p.key, err)
	}
	p.now = &loaded
	return nil
}

func readPEM(flag, path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, bind.Errorf("%s %s is not a file", flag, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bind.Errorf("%s: %w", flag, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxPEM))
	if err != nil {
		return nil, bind.Errorf("%s: %w", flag, err)
	}
	return data, nil
}
