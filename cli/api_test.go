package cli_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/cli"
)

// node runs a node with the greeter until the end of the test.
func node(t *testing.T, args ...string) (addresses map[string]any, stderr *screen) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "addresses")
	signals, done, stderr := make(chan os.Signal, 1), make(chan int, 1), &screen{}
	args = append([]string{
		"node", "--demo", "--listen", "127.0.0.1:0", "--api-address", "127.0.0.1:0", "--no-jetstream", "--addresses-file", file,
	}, args...)
	env := []string{"MBUS_SIDECAR_ADDRESS=off", "MBUS_WEB_ADDRESS=off"}
	go func() {
		done <- cli.Main(context.Background(), cli.Process{Args: args, Env: env, Stdout: io.Discard, Stderr: stderr, Signals: signals})
	}()
	t.Cleanup(func() {
		signals <- syscall.SIGTERM
		if code := <-done; code != 0 {
			t.Errorf("exit %d: %s", code, stderr.text())
		}
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &addresses) == nil {
			return addresses, stderr
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the node is not ready: %s", stderr.text())
		}
	}
}

// post calls Say.Hello of the greeter.
func post(t *testing.T, client *http.Client, url string, fields ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/go.micro.srv.greeter/Say.Hello", strings.NewReader(`{"name": "John"}`))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func TestANodeServesHTTP(t *testing.T) {
	addresses, stderr := node(t, "--rate-limit", "/go.micro.srv.greeter=1/h+3", "--api-cors", "https://good.example", "--enable-stats")
	url, _ := addresses["api"].(string)
	client := http.DefaultClient
	for _, test := range []struct {
		name   string
		fields []string
		status int
		want   string
	}{
		{"a program", nil, 200, "Hello John"},
		{"another name", []string{"Host", "evil.example"}, 421, "--allow-host"},
		{"another site", []string{"Origin", "https://evil.example"}, 403, "--api-cors"},
		{"the listed site", []string{"Origin", "https://good.example", "Content-Type", "application/json"}, 200, "Hello John"},
		{"the third", nil, 200, "Hello John"},
		{"too many", nil, 429, "at /go.micro.srv.greeter"},
	} {
		if status, body := post(t, client, url, test.fields...); status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: got %d %s, want %d %s", test.name, status, body, test.status, test.want)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/stats"} {
		res, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C { // its lines wait for a moment
		log := stderr.text()
		if strings.Contains(log, `"endpoint":"Say.Hello"`) && strings.Contains(log, `"status":421`) {
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatalf("the access log lacks something:\n%s", log)
		}
	}
}

func TestANodeServesHTTPSAndAsksForTokens(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := writeCerts(dir); err != nil {
		t.Fatal(err)
	}
	rules := write("rules.json", `{"rules": [{"services": ["go.micro.srv.greeter"], "scopes": ["hello"]}]}`)
	keys := write("keys.json", `{"keys": [{"kty": "OKP", "kid": "1", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	addresses, _ := node(t, "--tls-cert-file", filepath.Join(dir, "cert.pem"), "--tls-key-file", filepath.Join(dir, "key.pem"),
		"--jwt-issuer", "https://issuer.example", "--jwt-audience", "mbus", "--jwt-keys", keys, "--auth-rules", rules)
	url, _ := addresses["api"].(string)
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("the API is at %s", url)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if status, body := post(t, client, url); status != 401 || !strings.Contains(body, "needs a token") {
		t.Errorf("without a token: %d %s", status, body)
	}
	if status, body := post(t, client, url, "Authorization", "Bearer a.b.c"); status != 401 || !strings.Contains(body, "not a signed JWT") {
		t.Errorf("with a wrong token: %d %s", status, body)
	}
}

// A screen is what a process in this one has printed so far.
type screen struct {
	mu  sync.Mutex
	all strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}
