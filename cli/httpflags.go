package cli

import (
	"cmp"
	"net/netip"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/token"
)

// httpFlags are what every command takes that listens for HTTP.
type httpFlags struct {
	AllowHost           []string `placeholder:"HOST" group:"HTTP" help:"Names besides this machine's own that requests may come for, a comma list or repeated; *.HOST stands for all names below it."`
	TrustedProxy        []string `placeholder:"NETWORK" group:"HTTP" help:"Proxies whose X-Forwarded-For and X-Forwarded-Proto count, as addresses or networks such as 10.0.0.0/8, a comma list or repeated."`
	RateLimit           []string `placeholder:"[/PATH=]N/s" group:"HTTP" help:"Requests that one client may make, such as 50/s or /rpc=600/m+20 with a burst of 20, a comma list or repeated. Default: no limit."`
	RouteLimit          []string `placeholder:"/PATH=N/s" group:"HTTP" help:"The same for all clients together."`
	MaxConnections      int      `placeholder:"N" group:"HTTP" help:"Connections that each listener takes at once. Default 16384, or a quarter of the files that the process may open."`
	InsecureAllowRemote bool     `group:"HTTP" help:"Allow other machines to connect without TLS and authentication. Anyone who reaches the port may do anything."`

	TLSClientCAFile string   `name:"tls-client-ca-file" placeholder:"FILE" group:"HTTP safety" help:"Certificate authorities; clients of the HTTP listeners must show a certificate that one of them signed."`
	EnableACME      bool     `name:"enable-acme" group:"HTTP safety" help:"Get certificates for --acme-hosts from Let's Encrypt, which has to reach the listener at port 443 of each."`
	ACMEHosts       []string `name:"acme-hosts" placeholder:"HOST" group:"HTTP safety" help:"Names to get certificates for, a comma list or repeated."`
	ACMECache       string   `name:"acme-cache" placeholder:"DIR" group:"HTTP safety" help:"Where certificates are kept. Default is the user's cache directory, under mbus/acme."`
	ACMEDirectory   string   `name:"acme-directory" placeholder:"URL" group:"HTTP safety" help:"Another authority than Let's Encrypt."`
	ACMECAFile      string   `name:"acme-ca-file" placeholder:"FILE" group:"HTTP safety" help:"Certificate authorities that --acme-directory is trusted by, in place of the system's."`
	JWTIssuer       string   `name:"jwt-issuer" placeholder:"URL" group:"HTTP safety" help:"Ask for bearer tokens of this issuer, the claim iss. Needs --jwt-audience, --jwt-keys and --auth-rules."`
	JWTAudience     string   `name:"jwt-audience" placeholder:"NAME" group:"HTTP safety" help:"What the claim aud of tokens must contain."`
	JWTKeys         string   `name:"jwt-keys" placeholder:"URL|FILE" group:"HTTP safety" help:"The issuer's keys, a JWKS."`
	AuthRules       string   `placeholder:"FILE" group:"HTTP safety" help:"JSON file that says which services, methods and topics the scopes of a token allow; what no rule names nobody may use."`
}

// An httpSetup is what the HTTP listeners of a process share, read from the flags
// and their files.
type httpSetup struct {
	flags   *httpFlags
	tls     gateway.TLS
	proxies []netip.Prefix
	limits  []gateway.Limit
	tokens  *token.Verifier // nil without tokens
	rules   *token.Rules    // likewise
}

// setup reads the flags. ownBroker says that the process has a broker, which the
// TLS files are for as well.
func (h *httpFlags) setup(s *session, ownBroker bool) (*httpSetup, error) {
	set := &httpSetup{flags: h}
	var err error
	if set.tls, err = h.listenerTLS(&s.opts, ownBroker); err != nil {
		return nil, err
	}
	if set.proxies, err = gateway.ParseProxies(h.TrustedProxy); err != nil {
		return nil, nodeError(err)
	}
	for _, text := range h.RateLimit {
		l, err := gateway.ParseLimit("--rate-limit", text)
		if err != nil {
			return nil, nodeError(err)
		}
		set.limits = append(set.limits, l)
	}
	for _, text := range h.RouteLimit {
		l, err := gateway.ParseLimit("--route-limit", text)
		if err != nil {
			return nil, nodeError(err)
		}
		l.Together = true
		set.limits = append(set.limits, l)
	}
	if h.MaxConnections < 0 {
		return nil, usagef("--max-connections %d: want a number of connections, or 0 for the usual", h.MaxConnections)
	}
	return set, h.readTokens(s, set)
}

// listenerTLS finds out how the listeners prove who they are.
func (h *httpFlags) listenerTLS(o *options, ownBroker bool) (gateway.TLS, error) {
	t := gateway.TLS{ClientCAFile: h.TLSClientCAFile}
	switch {
	case h.EnableACME != (len(h.ACMEHosts) > 0):
		return t, usagef("--enable-acme and --acme-hosts need each other; give both")
	case h.EnableACME:
		t.ACME = gateway.ACME{Hosts: h.ACMEHosts, CacheDir: h.ACMECache, Directory: h.ACMEDirectory, CAFile: h.ACMECAFile}
	case o.EnableTLS && (o.TLSCertFile == "" || o.TLSKeyFile == ""):
		return t, usagef("--enable-tls: TLS certificate and key files not specified; add --tls-cert-file and --tls-key-file")
	case o.EnableTLS || ownBroker:
		t.CertFile, t.KeyFile = o.TLSCertFile, o.TLSKeyFile
		if ownBroker && t.CertFile != "" {
			// For a node the authorities of its clients are those of --tls-ca-file.
			t.ClientCAFile = cmp.Or(t.ClientCAFile, o.TLSCAFile)
		}
	}
	return t, nil
}

// readTokens prepares the verification of tokens, if any of its flags is there.
func (h *httpFlags) readTokens(s *session, set *httpSetup) (err error) {
	if h.JWTIssuer == "" && h.JWTAudience == "" && h.JWTKeys == "" && h.AuthRules == "" {
		return nil
	}
	set.tokens, err = token.NewVerifier(token.Config{
		Issuer: h.JWTIssuer, Audience: h.JWTAudience, Keys: h.JWTKeys, Logger: s.logger(),
	})
	if err != nil {
		return usagef("%s", bus.AsError(err).Message)
	}
	if h.AuthRules == "" {
		return usagef("with tokens nobody may do what no rule allows, and there are no rules; add --auth-rules")
	}
	if set.rules, err = token.ReadRules(h.AuthRules); err != nil {
		return usagef("--auth-rules: %v", err)
	}
	return nil
}
