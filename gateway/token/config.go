package token

import (
	"context"
	"net/netip"
	"net/url"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
)

// Config configures a Verifier. Issuer, Audience and Keys are required.
type Config struct {
	// Issuer is what the claim iss must be.
	Issuer string
	// Audience is what the claim aud must be or contain.
	Audience string
	// Keys is where the issuer's keys are: the URL of a JWKS, https unless it is
	// on this machine, or a file.
	Keys string
	// Logger gets what no caller can be told. The zero value is silent.
	Logger zerolog.Logger
}

// A Verifier verifies tokens. It is a bus.Runner; Verify may be called from any
// goroutine between Start and Stop.
type Verifier struct {
	keys   *keys
	parser *jwt.Parser
}

var _ bus.Runner = (*Verifier)(nil)

// NewVerifier returns a verifier that has no keys before Start. The error is
// invalid_argument and names the flag of the mbus command.
func NewVerifier(cfg Config) (*Verifier, error) {
	for _, f := range []struct{ flag, value string }{
		{"--jwt-issuer", cfg.Issuer}, {"--jwt-audience", cfg.Audience}, {"--jwt-keys", cfg.Keys},
	} {
		if f.value == "" {
			return nil, bus.Errorf(bus.InvalidArgument, "tokens need --jwt-issuer, --jwt-audience and --jwt-keys; add %s", f.flag)
		}
	}
	k := newKeys(cfg.Keys, cfg.Logger)
	if strings.Contains(cfg.Keys, "://") {
		if err := checkURL(cfg.Keys); err != nil {
			return nil, err
		}
		k.fetch = k.fetchURL
	} else {
		k.fetch, k.pause = k.readFile, filePause
	}
	return &Verifier{keys: k, parser: jwt.NewParser(
		jwt.WithValidMethods(algorithms()), jwt.WithStrictDecoding(), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway), jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience),
	)}, nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return bus.Errorf(bus.InvalidArgument, "--jwt-keys is no URL of keys and no file")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return bus.Errorf(bus.InvalidArgument, "--jwt-keys %s: keys of another machine come by https only", u.Redacted())
	}
	return nil
}

// Start gets the keys for the first time and keeps them fresh from then on. An
// issuer that is away does not hold it up for more than three seconds: tokens
// are refused as unavailable until it is back. A file must be there.
func (v *Verifier) Start(ctx context.Context) error { return v.keys.start(ctx) }

// Stop ends the refreshing.
func (v *Verifier) Stop(context.Context) error {
	v.keys.stop()
	return nil
}
