package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
)

// isTLS reports whether a handshake failed for a reason that trying again does
// not cure.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	// A broker that wants a client certificate and gets none closes the
	// connection once the handshake is over.
	return errors.Is(err, nats.ErrTLS) || strings.Contains(err.Error(), "remote error: tls:")
}

// isConfig reports whether the configuration itself cannot be used, such as a
// file that is not there.
func isConfig(err error) bool {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	return errors.Is(err, nats.ErrClientCertOrRootCAsRequired) ||
		strings.HasPrefix(err.Error(), "nats: error parsing") ||
		strings.HasPrefix(err.Error(), "nats: failed to parse") ||
		strings.HasPrefix(err.Error(), "nats: error loading") ||
		strings.HasPrefix(err.Error(), "nats: invalid")
}

// redact removes passwords and tokens from a list of broker addresses.
func redact(list string) string {
	urls := strings.Split(list, ",")
	for i, s := range urls {
		s = strings.TrimSpace(s)
		if u, err := url.Parse(s); err == nil && u.User != nil {
			u.User = url.User("xxxxx")
			s = u.String()
		} else if at := strings.LastIndex(s, "@"); at >= 0 {
			s = "xxxxx" + s[at:]
		}
		urls[i] = s
	}
	return strings.Join(urls, ",")
}
