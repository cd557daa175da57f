//go:build unix

package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// startAPI runs mbus api alone and returns where it is.
func (b *broker) startAPI(t testing.TB, args ...string) (p *process, url string) {
	t.Helper()
	p = b.start(t, of(mbus, append([]string{"api", "--log-level", "warn"}, args...)...))
	line, _ := p.await(t, startup, `"ready":true`)
	var ready struct {
		API string `json:"api"`
	}
	if err := json.Unmarshal([]byte(line), &ready); err != nil || ready.API == "" {
		t.Fatalf("the ready line names no API (%v): %s", err, line)
	}
	return p, ready.API
}

// A reply is the answer to a request, read whole.
type reply struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

// ask makes a request on a connection of its own: POST if there is a body.
func ask(t testing.TB, url, body string) (reply, error) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Close = true
	start := time.Now()
	res, err := (&http.Client{Timeout: 15 * time.Second}).Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(text), time.Since(start)}, err
}

// answers fails while a request is not answered with 200.
func answers(t testing.TB, url, body string) error {
	r, err := ask(t, url, body)
	if err == nil && r.status != http.StatusOK {
		err = fmt.Errorf("%d %s", r.status, r.body)
	}
	return err
}

func TestAGatewayAloneTellsOfADeadBrokerAndFindsTheNext(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	node := []string{"--listen", "127.0.0.1:" + port, "--ephemeral", "--no-jetstream", "--demo", "--api-address", "off", "--sidecar-address", "off"}
	b := startNode(t, node...)
	_, api := b.startAPI(t)
	_, side := b.startSidecar(t)
	const hello = "/greeter/say/hello?name=John"
	eventually(t, 10*time.Second, "a call", func() error { return answers(t, api+hello, "") })
	b.node.kill(t)
	gone := func(r reply) error {
		if r.status != 503 || r.header.Get("Retry-After") != "1" || r.header.Get("Mbus-End") != "broker" || !strings.Contains(r.body, "broker") {
			return fmt.Errorf("got %d %v %s", r.status, r.header, r.body)
		}
		return nil
	}
	for _, c := range []struct{ url, body string }{
		{api + hello, ""},
		{api + "/go.micro.srv.greeter/Say.Hello", `{"name":"John"}`},
		{api + "/go.micro.srv.lab/Lab.Count", `{"n":3}`},
		{api + "/rpc", `{"service":"go.micro.srv.greeter","method":"Say.Hello","request":{}}`},
		{api + "/events?topic=a.b", ""},
		{api + "/events?topic=a.b", `{"a":1}`},
		{side + "/greeter/say/hello", `{"name":"John"}`},
	} {
		eventually(t, 5*time.Second, "the word of the broker's end, from "+c.url, func() error {
			r, err := ask(t, c.url, c.body)
			if err == nil {
				err = gone(r)
			}
			if err == nil && r.took > time.Second { // those who wait for the broker wait for five
				err = fmt.Errorf("it took %v", r.took)
			}
			return err
		})
	}
	if r, err := ask(t, api+"/readyz", ""); err != nil || r.status != 503 {
		t.Errorf("/readyz: %d, %v", r.status, err)
	}
	if r, err := ask(t, api+"/healthz", ""); err != nil || r.status != 200 {
		t.Errorf("/healthz: %d, %v", r.status, err)
	}
	startNode(t, node...)
	took := eventually(t, 10*time.Second, "a call through the next broker", func() error { return answers(t, api+hello, "") })
	t.Logf("the gateway served %v after the next broker was ready", took)
	eventually(t, 10*time.Second, "a call of the sidecar", func() error { return answers(t, side+"/greeter/say/hello", `{"name":"John"}`) })
}

func TestTheSuccessorOfAKilledGatewayServesWithinASecond(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral", "--no-jetstream", "--demo", "--api-address", "off", "--sidecar-address", "off")
	address := "127.0.0.1:" + freePort(t)
	p, url := b.startAPI(t, "--api-address", address)
	var times []time.Duration
	for range rounds(3) {
		if err := answers(t, url+"/greeter/say/hello?name=John", ""); err != nil {
			t.Fatal(err)
		}
		at := p.kill(t)
		p, url = b.startAPI(t, "--api-address", address) // nothing of the dead one is in its way
		eventually(t, 10*time.Second, "a call through the successor", func() error {
			return answers(t, url+"/greeter/say/hello?name=John", "")
		})
		times = append(times, time.Since(at))
	}
	keepsPromise(t, "from kill -9 of a gateway to a call through its successor", time.Second, 5*time.Second, times)
}

// The certificate is that of the gateway's listener. A broker without TLS is not
// asked for any on its account.
func TestAGatewayAloneServesTLSAgainstAPlainBroker(t *testing.T) {
	t.Parallel()
	certs := newCertificates(t)
	b := startNode(t, "--ephemeral", "--no-jetstream", "--demo")
	_, api := b.startAPI(t, "--enable-tls", "--tls-cert-file", certs.cert, "--tls-key-file", certs.key)
	pem, err := os.ReadFile(certs.ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	eventually(t, 10*time.Second, "a call by HTTPS", func() error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api+"/greeter/say/hello?name=John", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(api, "https://") {
			return fmt.Errorf("%s answers %s", api, res.Status)
		}
		return nil
	})
}

// A model's client, the official library, speaks to the gateway by HTTP; the
// documents and the tools change when a service comes and goes.
func TestToolsAndDocumentsFollowTheServices(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral", "--no-jetstream", "--api-address", "127.0.0.1:0")
	shows := func(want bool) error {
		for _, path := range []string{"/openapi.json", "/"} {
			r, err := ask(t, b.api+path, "")
			if err != nil {
				return err
			}
			if got := strings.Contains(r.body, "go.micro.srv.greeter"); got != want || r.status != 200 {
				return fmt.Errorf("%s: %d, and the greeter is there: %t", path, r.status, got)
			}
		}
		session, err := sdk.NewClient(&sdk.Implementation{Name: "e2e", Version: "1"}, nil).
			Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: b.api + "/mcp"}, nil)
		if err != nil {
			return err
		}
		defer func() { _ = session.Close() }()
		list, err := session.ListTools(t.Context(), nil)
		if err != nil {
			return err
		}
		for _, tool := range list.Tools {
			if tool.Title != "go.micro.srv.greeter Say.Hello" {
				continue
			}
			if !want {
				return fmt.Errorf("there is the tool %s", tool.Name)
			}
			res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: tool.Name, Arguments: map[string]any{"name": "John"}})
			if err != nil || res.IsError || !strings.Contains(res.Content[0].(*sdk.TextContent).Text, "Hello John") {
				return fmt.Errorf("got %+v, %w", res, err)
			}
			return nil
		}
		if want {
			return fmt.Errorf("no tool of the greeter among %d", len(list.Tools))
		}
		return nil
	}
	eventually(t, 10*time.Second, "an empty bus", func() error { return shows(false) })
	greeter := b.start(t, of(greeterServer))
	eventually(t, 10*time.Second, "the greeter", func() error { return shows(true) })
	greeter.kill(t)
	eventually(t, 10*time.Second, "the end of the killed greeter", func() error { return shows(false) })
}

func TestListenersRefuseWhatTheyCannotObey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules, broken := write("rules.json", `{}`), write("broken.json", "broken")
	b := startNode(t, "--ephemeral", "--no-jetstream", "--api-address", "127.0.0.1:0")
	busy := strings.TrimPrefix(b.api, "http://")
	for _, c := range []struct {
		args  string
		code  int
		words []string
	}{
		{"api --api-address " + busy, 1, []string{busy, "in use", "mbus", "--api-address"}},
		{"sidecar --sidecar-address " + busy, 1, []string{busy, "in use", "--sidecar-address"}},
		{"api --api-address 0.0.0.0:0", 2, []string{"--api-address", "TLS and authentication", "--insecure-allow-remote"}},
		{"sidecar --sidecar-address :0", 2, []string{"--sidecar-address", "TLS and authentication", "--insecure-allow-remote"}},
		{"api --api-address 127.0.0.1:70000", 2, []string{"--api-address", "0 to 65535"}},
		{"api --api-address nonsense", 2, []string{"HOST:PORT"}},
		{"api --api-address off", 2, []string{"nothing to run"}},
		{"api --allow-host a/b", 2, []string{"--allow-host"}},
		{"api --trusted-proxy foo", 2, []string{"--trusted-proxy"}},
		{"api --rate-limit 0/s", 2, []string{"--rate-limit"}},
		{"api --route-limit x", 2, []string{"--route-limit"}},
		{"api --max-connections -1", 2, []string{"--max-connections"}},
		{"api --max-upload -1", 2, []string{"upload"}},
		{"api --api-cors nonsense", 2, []string{"--api-cors", "https://example.com"}},
		{"api --api-handler nope", 2, []string{"nope", "cloudevents"}},
		{"api --api-namespace a/b", 2, []string{"a/b"}},
		{"api --mcp-allow a/b/c", 2, []string{"a/b/c"}},
		{"api --jwt-issuer https://x", 2, []string{"--jwt-audience"}},
		{"api --jwt-issuer https://x --jwt-audience a --jwt-keys " + rules, 2, []string{"--auth-rules"}},
		{"api --jwt-issuer https://x --jwt-audience a --jwt-keys " + broken + " --auth-rules " + rules, 2, []string{"--jwt-keys"}},
		{"api --jwt-issuer https://x --jwt-audience a --jwt-keys " + rules + " --auth-rules " + broken, 2, []string{"--auth-rules"}},
		{"api --enable-tls", 2, []string{"--tls-cert-file"}},
		{"api --enable-acme", 2, []string{"--acme-hosts"}},
		{"api --tls-client-ca-file " + broken, 2, []string{"--enable-tls"}},
		{"sidecar --server-name foo", 2, []string{"Require server address"}},
		{"sidecar --server-address 127.0.0.1:9", 2, []string{"Require server name"}},
		{"sidecar --server-name foo --server-address 10.0.0.1:9", 2, []string{"10.0.0.1"}},
		{"sidecar --server-name foo --server-address 127.0.0.1:9 --healthcheck-url http://169.254.169.254/", 2, []string{"169.254.169.254"}},
		{"sidecar --server-name foo --server-address 127.0.0.1:9 --healthcheck-url file:///etc/passwd", 2, []string{"scheme"}},
		{"sidecar --sidecar-handler nope", 2, []string{"nope", "proxy"}},
		{"list services --proxy-address ftp://x", 2, []string{"--proxy-address"}},
		{"list services --proxy-address http://127.0.0.1:1", 3, []string{"no sidecar", "--proxy-address"}},
		{"mcp --allow a/b/c", 2, []string{"--allow"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := run(t, b.mbus(strings.Fields(c.args)...))
			if r.code != c.code || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" || !containsAll(r.stderr, c.words) {
				t.Errorf("got exit code %d, want %d and one line with %q; got\n%s%s", r.code, c.code, c.words, r.stderr, r.stdout)
			}
			if r.took > 3*time.Second { // a second, on a quiet machine
				t.Errorf("it took %v", r.took)
			}
		})
	}
}
