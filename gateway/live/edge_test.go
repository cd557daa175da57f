package live_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
	"github.com/mbus-dev/mbus/gateway/token"
)

// guarded puts a room behind an Edge that asks for tokens, and returns a token
// that is good until expires.
func (r *room) guarded(expires time.Time) (authorization string) {
	r.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	keys := filepath.Join(r.t.TempDir(), "keys.json")
	jwks := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"1","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	if err := os.WriteFile(keys, []byte(jwks), 0o600); err != nil {
		r.t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.Config{Issuer: "test", Audience: "mbus", Keys: keys})
	if err != nil {
		r.t.Fatal(err)
	}
	rules, err := token.NewRules([]token.Rule{{Services: []string{lab}, Methods: []string{"*"}, Scopes: []string{"use"}}, {Topics: []string{"user.*"}, Scopes: []string{"use"}}})
	if err != nil {
		r.t.Fatal(err)
	}
	facade := gateway.NewBus(r.conn, gateway.BusConfig{From: "go.micro.api", Rules: rules})
	for _, runner := range []bus.Runner{verifier, facade} {
		if err := runner.Start(bustest.Context(r.t)); err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { stop(r.t, runner.Stop) })
	}
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.api", Hosts: []string{"mbus"}, Tokens: verifier})
	if err != nil {
		r.t.Fatal(err)
	}
	r.live = live.New(facade, live.Config{})
	r.t.Cleanup(func() { stop(r.t, r.live.Stop) })
	r.handler = edge.Wrap(r.routes())
	signed := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "test", "aud": "mbus", "sub": "john", "scope": "use", "exp": expires.Unix(), "iat": time.Now().Unix(),
	})
	signed.Header["kid"] = "1"
	text, err := signed.SignedString(private)
	if err != nil {
		r.t.Fatal(err)
	}
	return "Bearer " + text
}

func TestTheEndOfATokenIsTheEndOfItsConversations(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		const valid = 50 * time.Second
		auth := r.guarded(time.Now().Add(valid - time.Minute)) // clocks may differ by a minute
		header := "Authorization: " + auth + "\r\n"
		socket, follower := r.raw(chat, header), r.raw("/events?topic=user.*", header)
		stream := readSSE(r.do("POST", "/stream/Lab.Count", `{"n":1,"every":600000}`, "Authorization", auth, "Accept", "text/event-stream").Body)
		events := readSSE(r.do("GET", "/events?topic=user.*", "", "Authorization", auth).Body)
		if e, err := stream.next(); err != nil || e.id != "1" {
			t.Errorf("%+v, %v", e, err)
		}
		start := time.Now()
		var readers sync.WaitGroup // a pipe keeps nothing: all read at once
		for _, s := range []*rawSocket{socket, follower} {
			readers.Go(func() {
				all := s.rest()
				if len(all) != 2 || all[1] != "close 4401 unauthenticated" || !strings.Contains(all[0], `"code":401`) {
					t.Errorf("got %q", all)
				}
			})
		}
		for name, s := range map[string]*sseReader{"error": stream, "mbus.error": events} {
			readers.Go(func() {
				var f gateway.Failure
				if e, err := s.next(); err != nil || e.name != name || json.Unmarshal([]byte(e.data), &f) != nil || f.Code != 401 {
					t.Errorf("%s: %+v, %v", name, e, err)
				}
			})
		}
		readers.Wait()
		if took := time.Since(start).Round(time.Second); took != valid {
			t.Errorf("it took %v", took)
		}
		r.idle(time.Second)
	})
}

func TestRightsAreAskedBeforeAConversation(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		auth := r.guarded(time.Now().Add(time.Hour))
		tests := []struct {
			method, path, auth string
			status             int
		}{
			{"POST", "/stream/Lab.Count", "", 401},
			{"POST", "/stream/Lab.Count", auth, 200},
			{"POST", "/upload/Lab.Sum", "", 401},
			{"POST", "/upload/Lab.Sum", auth, 200},
			{"GET", "/events?topic=order.created", auth, 403},
			{"GET", "/events?topic=user.created&topic=order.created", auth, 403},
			{"GET", "/events?topic=user.created", "", 401},
			{"POST", "/events?topic=order.created", auth, 403},
			{"POST", "/events?topic=user.created", auth, 202},
			{"GET", "/broker?topic=order.created", auth, 403},
		}
		for _, test := range tests {
			header := []string{"Authorization", test.auth}
			if test.auth == "" {
				header = nil
			}
			if strings.HasPrefix(test.path, "/broker") {
				header = append(header, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
			}
			res := r.do(test.method, test.path, "", header...)
			if answer := text(t, res); res.StatusCode != test.status {
				t.Errorf("%s %s: %s %s, want %d", test.method, test.path, res.Status, answer, test.status)
			}
		}
		for origin, status := range map[string]int{"https://evil.example": http.StatusForbidden, "http://mbus": http.StatusSwitchingProtocols} {
			s := r.rawConn()
			s.write([]byte("GET " + chat + " HTTP/1.1\r\n" + handshakeHeaders + "Authorization: " + auth + "\r\nOrigin: " + origin + "\r\n\r\n"))
			res, err := s.response(http.MethodGet)
			if err != nil || res.StatusCode != status {
				t.Errorf("%s: %v, %v", origin, res, err)
			}
			_ = s.conn.Close()
		}
		r.idle(time.Second)
	})
}

func TestAnUploadBehindTheEdgeMayBeSlow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.api", Hosts: []string{"mbus"}})
		if err != nil {
			t.Fatal(err)
		}
		r.handler = edge.Wrap(r.routes())
		w, answer := r.upload(t.Context(), "Lab.Sum")
		line := `{"i":1,"pad":"` + strings.Repeat("x", 5000) + "\"}\n"
		for range 3 { // 15 KB in two minutes: no body of a call could be so slow
			if _, err := w.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(40 * time.Second)
		}
		_ = w.Close()
		res := <-answer
		if res == nil {
			t.Fatal("no answer")
		}
		if got := text(t, res); res.StatusCode != http.StatusOK || got != `{"i":3}` {
			t.Errorf("%d %s", res.StatusCode, got)
		}
		r.idle(time.Second)
	})
}
