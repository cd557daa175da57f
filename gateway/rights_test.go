package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/token"
	"github.com/mbus-dev/mbus/rpc"
)

// An issuer signs tokens, and its keys are in a file.
type issuer struct {
	key  *ecdsa.PrivateKey
	file string
}

func newIssuer(t testing.TB) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	data, err := json.Marshal(map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "kid": "1", "crv": "P-256", "x": text(point[1:33]), "y": text(point[33:]),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return issuer{key, file}
}

func (i issuer) verifier(t testing.TB) *token.Verifier {
	t.Helper()
	v, err := token.NewVerifier(token.Config{Issuer: "https://issuer.example", Audience: "mbus", Keys: i.file})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Stop(context.Background()) })
	return v
}

// bearer is the value of Authorization for a token with these scopes.
func (i issuer) bearer(t testing.TB, scope string, ttl time.Duration) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://issuer.example", "aud": "mbus", "sub": "john", "scope": scope, "exp": time.Now().Add(ttl).Unix(),
	})
	tok.Header["kid"] = "1"
	raw, err := tok.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + raw
}

func TestRightsAtTheEdge(t *testing.T) {
	const call = `{"service":"test.echo","method":"Echo.Back","request":{}}`
	iss := newIssuer(t)
	tests := []struct {
		name, rules string
		auth        []string
		status      int
		challenge   string
		calls       int32
	}{
		{"a public method, nobody", `{"services":["test.echo"],"public":true}`, nil, 200, "", 1},
		{"a public method, a wrong token", `{"services":["test.echo"],"public":true}`, []string{"Bearer x.y.z"}, 401, `Bearer error="invalid_token"`, 0},
		{"a method for tokens, nobody", `{"services":["test.echo"]}`, nil, 401, "Bearer", 0},
		{"a method for tokens, Basic", `{"services":["test.echo"]}`, []string{"Basic eDp5"}, 401, `Bearer error="invalid_token"`, 0},
		{"a method for tokens, somebody", `{"services":["test.echo"]}`, []string{iss.bearer(t, "", time.Hour)}, 200, "", 1},
		{"a method for tokens, an old one", `{"services":["test.echo"]}`, []string{iss.bearer(t, "", -61*time.Second)}, 401, `Bearer error="invalid_token"`, 0},
		{"a method for a scope, somebody", `{"services":["test.echo"],"scopes":["echo"]}`, []string{iss.bearer(t, "other", time.Hour)}, 403, `Bearer error="insufficient_scope"`, 0},
		{"a method for a scope, who has it", `{"services":["test.echo"],"scopes":["echo"]}`, []string{iss.bearer(t, "other echo", time.Hour)}, 200, "", 1},
		{"a method that no rule names", `{"services":["test.other"]}`, []string{iss.bearer(t, "echo", time.Hour)}, 403, `Bearer error="insufficient_scope"`, 0},
		{"another method of the service", `{"services":["test.echo"],"methods":["Echo.Hang"]}`, []string{iss.bearer(t, "echo", time.Hour)}, 403, `Bearer error="insufficient_scope"`, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := bustest.Start(t)
			rules, err := token.ParseRules([]byte(`{"rules":[` + test.rules + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			g := gateway.NewBus(b.Conn(t), gateway.BusConfig{Rules: rules})
			if err := g.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = g.Stop(context.Background()) }()
			e := &echo{}
			e.serve(t, b.Conn(t))
			edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.api", Tokens: iss.verifier(t)})
			if err != nil {
				t.Fatal(err)
			}
			r := ask("POST", "/rpc", "Content-Type", "application/json")
			r.Body, r.ContentLength = http.NoBody, 0
			r = r.WithContext(t.Context())
			r.Header["Authorization"] = test.auth
			r.Body = bodyOf(call)
			w := answer(edge.Wrap(gateway.RPC(g)), r)
			if w.Code != test.status || w.Header().Get("WWW-Authenticate") != test.challenge {
				t.Errorf("got %d, WWW-Authenticate %q, %s; want %d and %q", w.Code, w.Header().Get("WWW-Authenticate"), w.Body, test.status, test.challenge)
			}
			if test.status != 200 && w.Header().Get("Mbus-End") != "refused" {
				t.Errorf("it ends as %q", w.Header().Get("Mbus-End"))
			}
			if n := e.calls.Load(); n != test.calls {
				t.Errorf("%d calls reached the service, want %d", n, test.calls)
			}
		})
	}
}

func TestRightsOfTheBus(t *testing.T) {
	b := bustest.Start(t)
	rules, err := token.ParseRules([]byte(`{"rules":[{"topics":["user.>"]},{"services":["test.echo"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	guarded, open := gateway.NewBus(b.Conn(t), gateway.BusConfig{Rules: rules}), gateway.NewBus(b.Conn(t), gateway.BusConfig{})
	e := &echo{}
	e.serve(t, b.Conn(t))
	ctx := t.Context()
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"call", guarded.MayCall(ctx, "test.echo", "Echo.Back"), bus.Unauthenticated},
		{"publish", guarded.MayPublish(ctx, "user.created"), bus.Unauthenticated},
		{"subscribe", guarded.MaySubscribe(ctx, "user.*"), bus.Unauthenticated},
		{"own call", guarded.MayCall(gateway.Own(ctx), "any.service", "Any.Method"), nil},
		{"own publish", guarded.MayPublish(gateway.Own(ctx), "any.topic"), nil},
		{"own publish to the bus", guarded.MayPublish(gateway.Own(ctx), "mbus.rpc.x.Y"), bus.InvalidArgument},
		{"open call", open.MayCall(ctx, "any.service", "Any.Method"), nil},
		{"open publish", open.MayPublish(ctx, "any.topic"), nil},
		{"open publish to the bus", open.MayPublish(ctx, "mbus.rpc.x.Y"), bus.InvalidArgument},
		{"open publish to the broker", open.MayPublish(ctx, "$SYS.x"), bus.InvalidArgument},
		{"open publish to an inbox", open.MayPublish(ctx, "_INBOX.x"), bus.InvalidArgument},
		{"open publish to a pattern", open.MayPublish(ctx, "user.*"), bus.InvalidArgument},
		{"open subscribe to all", open.MaySubscribe(ctx, ">"), bus.InvalidArgument},
		{"open subscribe to any", open.MaySubscribe(ctx, "*.x"), bus.InvalidArgument},
		{"open subscribe to a pattern", open.MaySubscribe(ctx, "user.>"), nil},
	} {
		if test.want == nil && test.err != nil || test.want != nil && !errors.Is(test.err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, test.err, test.want)
		}
	}
	// Streams are opened by the same rights.
	if _, err := guarded.Client.Open(ctx, &rpc.Request{Service: "test.echo", Method: "Echo.Back"}); !errors.Is(err, bus.Unauthenticated) {
		t.Errorf("a stream: %v", err)
	}
	if _, err := guarded.Client.Do(gateway.Own(ctx), &rpc.Request{Service: "test.echo", Method: "Echo.Back", Body: []byte("{}")}); err != nil {
		t.Errorf("the gateway's own call: %v", err)
	}
	if n := e.calls.Load(); n != 1 {
		t.Errorf("%d calls, want the gateway's own", n)
	}
}

func TestTheSubjectOfATokenHasTheRate(t *testing.T) {
	iss := newIssuer(t)
	h, c := edge(t, gateway.EdgeConfig{Tokens: iss.verifier(t), Limits: []gateway.Limit{{Rate: 0.001}}})
	c.serve = func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(gateway.Subject(r.Context()))) }
	john := iss.bearer(t, "", time.Hour)
	for i, step := range []struct {
		addr, auth string
		status     int
	}{
		{"10.0.0.1", john, 200},
		{"10.0.0.2", john, 429},           // from elsewhere he is the same
		{"10.0.0.3", "", 200},             // nobody, by the address
		{"10.0.0.3", "", 429},             //
		{"10.0.0.4", "Bearer wrong", 401}, // whoever guesses has the rate of the address
		{"10.0.0.4", "Bearer wrong", 429},
	} {
		r := ask("GET", "/a")
		if step.auth != "" {
			r.Header.Set("Authorization", step.auth)
		}
		r.RemoteAddr = step.addr + ":1"
		if w := answer(h, r); w.Code != step.status {
			t.Errorf("step %d: got %d %s, want %d", i, w.Code, w.Body, step.status)
		}
	}
	if n := c.calls.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	iss := newIssuer(t)
	h, c := edge(t, gateway.EdgeConfig{Tokens: iss.verifier(t)})
	c.serve = func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := gateway.Stream(w, r)
		defer cancel()
		select {
		case <-ctx.Done():
			gateway.WriteError(w, r, "go.micro.api", context.Cause(ctx))
		case <-time.After(patience):
		}
	}
	r := ask("GET", "/a")
	r.Header.Set("Authorization", iss.bearer(t, "", -58*time.Second)) // and a minute for clocks
	if w := answer(h, r); w.Code != 401 || !strings.Contains(w.Body.String(), "expired") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestStatisticsNeedATokenWhereThereAreTokens(t *testing.T) {
	iss := newIssuer(t)
	h, _ := edge(t, gateway.EdgeConfig{Tokens: iss.verifier(t), Stats: true})
	if w := answer(h, ask("GET", "/stats")); w.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", w.Code)
	}
	if w := answer(h, ask("GET", "/stats", "Authorization", iss.bearer(t, "", time.Hour))); w.Code != http.StatusOK {
		t.Errorf("with one: %d %s", w.Code, w.Body)
	}
}
