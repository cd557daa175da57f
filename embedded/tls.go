package embedded

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"

	"github.com/mbus-dev/mbus/embedded/bind"
)

// material is what the TLS files hold.
type material struct {
	certificate *tls.Certificate // nil without a certificate file
	authorities *x509.CertPool   // nil without an authority file
}

func (c Config) readTLS() (material, error) {
	var m material
	if c.TLSCertFile != "" {
		cert, err := readPublic(flagTLSCert, c.TLSCertFile)
		if err != nil {
			return m, err
		}
		key, err := readSecret(flagTLSKey, c.TLSKeyFile)
		if err != nil {
			return m, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return m, bind.Errorf("%s %s and %s %s are no pair of PEM files: %w", flagTLSCert, c.TLSCertFile, flagTLSKey, c.TLSKeyFile, err)
		}
		m.certificate = &pair
	}
	if c.TLSCAFile != "" {
		pem, err := readPublic(flagTLSCA, c.TLSCAFile)
		if err != nil {
			return m, err
		}
		m.authorities = x509.NewCertPool()
		if !m.authorities.AppendCertsFromPEM(pem) {
			return m, bind.Errorf("%s %s holds no PEM certificate", flagTLSCA, c.TLSCAFile)
		}
	}
	return m, nil
}

func readPublic(flag, path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, bind.Errorf("%s %s is not a file", flag, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bind.Errorf("%s: %w", flag, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return nil, bind.Errorf("%s: %w", flag, err)
	}
	return data, nil
}

// server returns the configuration for listeners, nil without a certificate.
// Routes use it in both directions, hence RootCAs.
func (m material) server() *tls.Config {
	if m.certificate == nil {
		return nil
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*m.certificate},
	}
	if m.authorities != nil {
		config.RootCAs = m.authorities
		config.ClientCAs = m.authorities
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

// client returns the configuration for connections that the node makes.
func (m material) client() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: m.authorities}
	if m.certificate != nil {
		config.Certificates = []tls.Certificate{*m.certificate}
	}
	return config
}
