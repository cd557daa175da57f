package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// makeCerts writes ca.pem, and cert.pem with key.pem for 127.0.0.1 that it has
// signed.
func makeCerts(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 0, "certs")
	ts.Check(writeCerts(ts.MkAbs(".")))
}

func writeCerts(dir string) error {
	caKey, err := newKey()
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	var errs []error
	write := func(name, kind string, data []byte, err error) {
		file := filepath.Join(dir, name)
		errs = append(errs, err, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
	}
	data, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	write("ca.pem", "CERTIFICATE", data, err)
	data, err = x509.CreateCertificate(rand.Reader, cert, ca, key.Public(), caKey)
	write("cert.pem", "CERTIFICATE", data, err)
	data, err = x509.MarshalPKCS8PrivateKey(key)
	write("key.pem", "PRIVATE KEY", data, err)
	return errors.Join(errs...)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
