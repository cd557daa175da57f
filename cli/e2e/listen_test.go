//go:build unix

package e2e_test

import (
	"strings"
	"testing"
	"time"
)

func TestNodeListensOnThisMachineOnly(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	b := startNode(t, "--ephemeral", "--demo")
	addresses := listeners(t, b.node)
	if len(addresses) == 0 {
		t.Fatal("no listener found, though the node listens")
	}
	for _, a := range addresses {
		if !a.Addr().Unmap().IsLoopback() {
			t.Errorf("the node listens on %s", a)
		}
	}
}

func TestNodeRefusesToListenUnsafely(t *testing.T) {
	t.Parallel()
	c := newCertificates(t)
	users := c.write(t, "users.json", []byte(`{"users":[{"user":"ann","password":"secret"}]}`))
	for name, args := range map[string][]string{
		"every address":            {"--listen", "0.0.0.0:0"},
		"every address, no host":   {"--listen", ":0"},
		"every IPv6 address":       {"--listen", "[::]:0"},
		"TLS alone":                {"--listen", "0.0.0.0:0", "--tls-cert-file", c.cert, "--tls-key-file", c.key},
		"authentication alone":     {"--listen", "0.0.0.0:0", "--auth-file", users},
		"a cluster on any address": {"--listen", "127.0.0.1:0", "--cluster-listen", "0.0.0.0:0", "--no-jetstream"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, of(mbus, append([]string{"node", "--ephemeral"}, args...)...))
			if r.code != 2 || r.stdout != "" {
				t.Errorf("got exit code %d, want 2; it printed %q", r.code, r.stdout)
			}
			if !containsAll(r.stderr, []string{"--tls-cert-file", "--tls-key-file", "--auth-file"}) {
				t.Errorf("the flags that would make it safe are not named: %q", r.stderr)
			}
			// The promise is a second, of which an idle machine needs a tenth.
			if r.took > 3*time.Second {
				t.Errorf("it took %v", r.took)
			}
		})
	}
}

func TestNodeServesOtherMachinesWithTLSAndUsers(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	c := newCertificates(t)
	users := c.write(t, "users.json", []byte(`{"users":[{"user":"ann","password":"secret"}]}`))
	b := startNode(t, "--listen", "0.0.0.0:0", "--ephemeral", "--demo",
		"--tls-cert-file", c.cert, "--tls-key-file", c.key, "--auth-file", users)

	// The control of the first test here: the same reader sees this listener.
	open := false
	for _, a := range listeners(t, b.node) {
		open = open || !a.Addr().Unmap().IsLoopback()
	}
	if !open {
		t.Error("the node was told to listen on every address and does not")
	}

	query := []string{"query", "go.micro.srv.greeter", "Say.Hello", `{"name":"John"}`}
	for name, access := range map[string]struct {
		args []string
		env  []string
		code int
	}{
		"the right user":               {[]string{"--user", "ann", "--password", "secret", "--tls-ca-file", c.ca}, nil, 0},
		"the right user, by variables": {nil, []string{"MBUS_USER=ann", "MBUS_PASSWORD=secret", "MBUS_TLS_CA_FILE=" + c.ca}, 0},
		"a wrong password":             {[]string{"--user", "ann", "--password", "guess", "--tls-ca-file", c.ca}, nil, 4},
		"no user":                      {[]string{"--tls-ca-file", c.ca}, nil, 4},
		"an unknown authority":         {[]string{"--user", "ann", "--password", "secret"}, nil, 4},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, b.mbus(append(query, access.args...)...).with(access.env...))
			if r.code != access.code {
				t.Errorf("got exit code %d, want %d: %s%s", r.code, access.code, r.stdout, r.stderr)
			}
			if r.took > 5*time.Second {
				t.Errorf("it took %v", r.took)
			}
		})
	}
}

func TestNodeAsksForACertificateIfItHasAnAuthority(t *testing.T) {
	t.Parallel()
	c := newCertificates(t)
	users := c.write(t, "users.json", []byte(`{"users":[{"user":"ann","password":"secret"}]}`))
	b := startNode(t, "--listen", "0.0.0.0:0", "--ephemeral", "--demo",
		"--tls-cert-file", c.cert, "--tls-key-file", c.key, "--tls-ca-file", c.ca, "--auth-file", users)
	list := []string{"list", "services", "--user", "ann", "--password", "secret", "--tls-ca-file", c.ca}
	succeed(t, b.mbus(append(list, "--tls-cert-file", c.cert, "--tls-key-file", c.key)...))
	for range 10 { // the broker hangs up, at times before it has said why
		r := run(t, b.mbus(list...))
		t.Logf("without a certificate: exit code %d, %s", r.code, strings.TrimSpace(r.stderr))
		if r.code != 4 || r.stderr == "" || r.stdout != "" {
			t.Errorf("without a certificate: exit code %d, %q; want 4 and why", r.code, r.stdout+r.stderr)
		}
	}
}
