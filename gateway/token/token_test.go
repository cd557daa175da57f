package token_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway/token"
)

const issuer, audience = "https://issuer.example", "mbus"

// signers are the issuer's keys, made once: RSA takes its time.
type signers struct {
	rsa, otherRSA *rsa.PrivateKey
	ec            *ecdsa.PrivateKey
	ed            ed25519.PrivateKey
}

func newSigners(t testing.TB) signers {
	t.Helper()
	s, err := makeSigners()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var makeSigners = sync.OnceValues(func() (signers, error) {
	var s signers
	var err [4]error
	s.rsa, err[0] = rsa.GenerateKey(rand.Reader, 2048)
	s.otherRSA, err[1] = rsa.GenerateKey(rand.Reader, 2048)
	s.ec, err[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, s.ed, err[3] = ed25519.GenerateKey(rand.Reader)
	return s, errors.Join(err[:]...)
})

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (s signers) jwks() []map[string]any {
	point, err := s.ec.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return []map[string]any{
		{"kty": "RSA", "kid": "rsa", "use": "sig", "n": text(s.rsa.N.Bytes()), "e": "AQAB"},
		{"kty": "EC", "kid": "ec", "crv": "P-256", "x": text(point[1:33]), "y": text(point[33:])},
		{"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": text(s.ed.Public().(ed25519.PublicKey))},
		{"kty": "oct", "kid": "oct", "k": text([]byte("shared secret of thirty-two bytes"))},
		{"kty": "RSA", "kid": "enc", "use": "enc", "n": text(s.rsa.N.Bytes()), "e": "AQAB"},
		{"kty": "RSA", "kid": "small", "n": text(big.NewInt(0).Lsh(big.NewInt(1), 1023).Bytes()), "e": "AQAB"},
		{"kty": "RSA", "kid": "even", "n": text(s.rsa.N.Bytes()), "e": text([]byte{2})},
		{"kty": "EC", "kid": "off", "crv": "P-256", "x": text(make([]byte, 32)), "y": text(bytes.Repeat([]byte{1}, 32))},
	}
}

func set(keys []map[string]any) []byte {
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return data
}

// sign makes a token of a header and claims, signed in the way of alg.
func (s signers) sign(header, claims map[string]any) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	return s.signText(string(h), string(c))
}

func (s signers) signText(header, claims string) string {
	var h struct {
		Alg string `json:"alg"`
	}
	_ = json.Unmarshal([]byte(header), &h)
	signed := text([]byte(header)) + "." + text([]byte(claims))
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	switch h.Alg {
	case "RS256":
		signature, _ = rsa.SignPKCS1v15(nil, s.rsa, crypto.SHA256, sum[:])
	case "PS256":
		signature, _ = rsa.SignPSS(rand.Reader, s.rsa, crypto.SHA256, sum[:], nil)
	case "ES256":
		r, q, _ := ecdsa.Sign(rand.Reader, s.ec, sum[:])
		signature = append(r.FillBytes(make([]byte, 32)), q.FillBytes(make([]byte, 32))...)
	case "EdDSA":
		signature = ed25519.Sign(s.ed, []byte(signed))
	case "HS256": // with the public key as the secret, as attackers do
		mac := hmac.New(sha256.New, s.rsa.N.Bytes())
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	}
	return signed + "." + text(signature)
}

func good(now time.Time) map[string]any {
	return map[string]any{
		"iss": issuer, "aud": audience, "sub": "john", "scope": "a b", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(),
	}
}

func with(m map[string]any, pairs ...any) map[string]any {
	m = maps.Clone(m)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(m, pairs[i].(string))
		} else {
			m[pairs[i].(string)] = pairs[i+1]
		}
	}
	return m
}

// verifier has the keys of a file and runs until the end of the test.
func verifier(t testing.TB, keys []byte) *token.Verifier {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	return started(t, file)
}

func started(t testing.TB, keys string) *token.Verifier {
	t.Helper()
	v, err := token.NewVerifier(token.Config{Issuer: issuer, Audience: audience, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Stop(context.Background()) })
	return v
}

func TestTokens(t *testing.T) {
	s := newSigners(t)
	v := verifier(t, set(s.jwks()))
	now := time.Now()
	rs := map[string]any{"alg": "RS256", "kid": "rsa"}
	es := map[string]any{"alg": "ES256", "kid": "ec"}
	plain := s.sign(rs, good(now))
	cut := func(raw string, n int) string { return raw[:len(raw)-n] }
	zero := func() string {
		raw := s.sign(es, good(now))
		return raw[:strings.LastIndexByte(raw, '.')+1] + text(make([]byte, 64))
	}
	other := signers{rsa: s.otherRSA}
	header := func(pairs ...any) string { return s.sign(with(rs, pairs...), good(now)) }
	claims := func(pairs ...any) string { return s.sign(rs, with(good(now), pairs...)) }
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	tests := []struct {
		name  string
		value []string // of Authorization
		want  string   // of the refusal; "" means that it is right
	}{
		{"RS256", []string{"Bearer " + plain}, ""},
		{"PS256", []string{"Bearer " + s.sign(map[string]any{"alg": "PS256", "kid": "rsa"}, good(now))}, ""},
		{"ES256", []string{"Bearer " + s.sign(es, good(now))}, ""},
		{"EdDSA", []string{"bearer " + s.sign(map[string]any{"alg": "EdDSA", "kid": "ed"}, good(now))}, ""},
		{"no kid where one key fits", []string{"Bearer " + s.sign(map[string]any{"alg": "ES256"}, good(now))}, ""},
		{"several audiences", []string{"Bearer " + claims("aud", []string{"x", audience})}, ""},
		{"expired 59 s ago", []string{"Bearer " + claims("exp", at(-58*time.Second))}, ""},
		{"valid in 59 s", []string{"Bearer " + claims("nbf", at(58*time.Second))}, ""},
		{"two headers", []string{"Bearer " + plain, "Bearer " + plain}, "several"},
		{"empty", []string{""}, "Bearer TOKEN"},
		{"no token", []string{"Bearer "}, "not a signed JWT"},
		{"Basic", []string{"Basic am9objpzZWNyZXQ="}, "Bearer TOKEN"},
		{"64 KiB", []string{"Bearer " + strings.Repeat("a", 64<<10)}, "8 KiB"},
		{"garbage", []string{"Bearer a.b.c"}, "not a signed JWT"},
		{"two segments", []string{"Bearer " + plain[:strings.LastIndexByte(plain, '.')]}, "not a signed JWT"},
		{"five segments, as JWE", []string{"Bearer " + plain + ".a.b"}, "not a signed JWT"},
		{"another word behind it", []string{"Bearer " + plain + " x"}, "not valid"},
		{"no algorithm", []string{"Bearer " + s.sign(map[string]any{"alg": "none"}, good(now))}, "not valid"},
		{"None", []string{"Bearer " + s.sign(map[string]any{"alg": "None"}, good(now))}, "not valid"},
		{"none with a kid", []string{"Bearer " + s.sign(with(rs, "alg", "none"), good(now))}, "not valid"},
		{"HS256 with the public key", []string{"Bearer " + header("alg", "HS256")}, "not valid"},
		{"HS256 with the key of the set", []string{"Bearer " + s.sign(map[string]any{"alg": "HS256", "kid": "oct"}, good(now))}, "not valid"},
		{"ES256 under the key of RSA", []string{"Bearer " + s.sign(with(es, "kid", "rsa"), good(now))}, "not known"},
		{"ES384 with a key of P-256", []string{"Bearer " + s.sign(map[string]any{"alg": "ES384", "kid": "ec"}, good(now))}, "not known"},
		{"another issuer's key", []string{"Bearer " + other.sign(rs, good(now))}, "not valid"},
		{"a kid that is a path", []string{"Bearer " + header("kid", "../../etc/passwd")}, "not known"},
		{"a kid that is SQL", []string{"Bearer " + header("kid", "' OR 1=1 --")}, "not known"},
		{"a kid that is a URL", []string{"Bearer " + header("kid", "http://127.0.0.1:1/keys")}, "not known"},
		{"a kid that is a number", []string{"Bearer " + header("kid", 7)}, "no string"},
		{"a kid that is null", []string{"Bearer " + s.signText(`{"alg":"RS256","kid":null}`, `{}`)}, "no string"},
		{"a key for encryption", []string{"Bearer " + header("kid", "enc")}, "not known"},
		{"a key that is too small", []string{"Bearer " + header("kid", "small")}, "not known"},
		{"an even exponent", []string{"Bearer " + header("kid", "even")}, "not known"},
		{"a point off the curve", []string{"Bearer " + s.sign(with(es, "kid", "off"), good(now))}, "not known"},
		{"expired 61 s ago", []string{"Bearer " + claims("exp", at(-62*time.Second))}, "expired"},
		{"no end", []string{"Bearer " + claims("exp", nil)}, "lacks a claim"},
		{"an end that is text", []string{"Bearer " + claims("exp", "tomorrow")}, "not valid"},
		{"valid later", []string{"Bearer " + claims("nbf", at(62*time.Second))}, "not valid yet"},
		{"issued later", []string{"Bearer " + claims("iat", at(62*time.Second))}, "not valid yet"},
		{"another audience", []string{"Bearer " + claims("aud", "other")}, "audience"},
		{"other audiences", []string{"Bearer " + claims("aud", []string{"other", "mbus2"})}, "audience"},
		{"no audience", []string{"Bearer " + claims("aud", nil)}, "lacks a claim"},
		{"another issuer", []string{"Bearer " + claims("iss", issuer+".evil.example")}, "issuer"},
		{"no issuer", []string{"Bearer " + claims("iss", nil)}, "lacks a claim"},
		{"crit", []string{"Bearer " + header("crit", []string{"exp"})}, "crit"},
		{"an empty crit", []string{"Bearer " + header("crit", []string{})}, "crit"},
		{"jku", []string{"Bearer " + header("jku", "http://127.0.0.1:1/")}, "jku"},
		{"x5u", []string{"Bearer " + header("x5u", "http://127.0.0.1:1/")}, "x5u"},
		{"jwk", []string{"Bearer " + header("jwk", map[string]any{"kty": "RSA"})}, "jwk"},
		{"x5c", []string{"Bearer " + header("x5c", []string{"x"})}, "x5c"},
		{"a claim twice", []string{"Bearer " + s.signText(`{"alg":"RS256","kid":"rsa"}`, `{"iss":"`+issuer+`","aud":"mbus","exp":1,"exp":99999999999}`)}, "twice"},
		{"a header twice", []string{"Bearer " + s.signText(`{"alg":"none","alg":"RS256","kid":"rsa"}`, `{}`)}, "twice"},
		{"claims in other letters", []string{"Bearer " + s.signText(`{"alg":"RS256","kid":"rsa"}`, `{"ISS":"`+issuer+`","Aud":"mbus","EXP":99999999999}`)}, "lacks a claim"},
		{"claims that are a list", []string{"Bearer " + s.signText(`{"alg":"RS256","kid":"rsa"}`, `[]`)}, "not a signed JWT"},
		{"a signature of zeros", []string{"Bearer " + zero()}, "not valid"},
		{"a signature that is cut", []string{"Bearer " + cut(plain, 8)}, "not valid"},
		{"no signature", []string{"Bearer " + plain[:strings.LastIndexByte(plain, '.')+1]}, "not valid"},
		{"other claims under the signature", []string{"Bearer " + swap(plain, claims("sub", "root"))}, "not valid"},
		{"padding", []string{"Bearer " + plain + "=="}, "not valid"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := v.Header(t.Context(), test.value)
			if test.want == "" {
				if err != nil || c.Subject != "john" || !c.Has("a") || !c.Has("b") || c.Has("c") {
					t.Errorf("got %+v, %v", c, err)
				}
				return
			}
			e, ok := errors.AsType[*bus.Error](err)
			if !ok || e.Code != bus.Unauthenticated || e.End != bus.Refused || !strings.Contains(e.Message, test.want) || c != nil {
				t.Errorf("got %+v, %v; want unauthenticated: %s", c, err, test.want)
			}
		})
	}
}

// swap puts the claims of one token under the signature of another.
func swap(signed, claims string) string {
	a, b := strings.Split(signed, "."), strings.Split(claims, ".")
	return a[0] + "." + b[1] + "." + a[2]
}

func TestNoHeaderIsNobody(t *testing.T) {
	s := newSigners(t)
	if c, err := verifier(t, set(s.jwks())).Header(t.Context(), nil); c != nil || err != nil {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestWithoutAKidThereMustBeNoChoice(t *testing.T) {
	s := newSigners(t)
	keys := s.jwks()
	v := verifier(t, set(append(keys[:1:1], with(keys[0], "kid", "second"))))
	_, err := v.Verify(t.Context(), s.sign(map[string]any{"alg": "RS256"}, good(time.Now())))
	if !errors.Is(err, bus.Unauthenticated) {
		t.Errorf("got %v", err)
	}
}

func TestScopesInEitherClaim(t *testing.T) {
	s := newSigners(t)
	v := verifier(t, set(s.jwks()))
	claims := with(good(time.Now()), "scope", "a", "scp", []any{"b", 7, "c"})
	c, err := v.Verify(t.Context(), s.sign(map[string]any{"alg": "RS256", "kid": "rsa"}, claims))
	if err != nil || fmt.Sprint(c.Scopes) != "[a b c]" {
		t.Errorf("got %+v, %v", c, err)
	}
}

// An authority serves keys, or what goes wrong there.
type authority struct {
	asked  atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked.Add(1)
	(*a.answer.Load())(w, r)
}

func (a *authority) say(f http.HandlerFunc) { a.answer.Store(&f) }

func bytesOf(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }
}

func TestKeysOfAnIssuerThatIsAway(t *testing.T) {
	s := newSigners(t)
	a := &authority{}
	a.say(bytesOf(set(s.jwks()[:1])))
	server := httptest.NewServer(a)
	defer server.Close()
	v := started(t, server.URL)
	raw := s.sign(map[string]any{"alg": "RS256", "kid": "rsa"}, good(time.Now()))
	for name, wrong := range map[string]http.HandlerFunc{
		"an error":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"garbage":    bytesOf([]byte("<html>")),
		"no keys":    bytesOf([]byte(`{"keys":[]}`)),
		"2 MiB":      bytesOf(bytes.Repeat([]byte(" "), 2<<20)),
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) },
	} {
		a.say(wrong)
		if _, err := v.Verify(t.Context(), raw); err != nil {
			t.Errorf("%s: the key that is known does not work: %v", name, err)
		}
	}
	// Unknown keys do not make it ask more often than it should.
	before := a.asked.Load()
	for i := range 50 {
		_, err := v.Verify(t.Context(), s.sign(map[string]any{"alg": "RS256", "kid": fmt.Sprint("x", i)}, good(time.Now())))
		if !errors.Is(err, bus.Unauthenticated) {
			t.Errorf("got %v", err)
		}
	}
	if n := a.asked.Load() - before; n != 0 {
		t.Errorf("50 unknown keys led to %d requests within ten seconds of the last", n)
	}
}

func TestAnIssuerThatWasNeverThere(t *testing.T) {
	a := &authority{}
	a.say(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	server := httptest.NewServer(a)
	defer server.Close()
	s := newSigners(t)
	v := started(t, server.URL)
	_, err := v.Verify(t.Context(), s.sign(map[string]any{"alg": "RS256", "kid": "rsa"}, good(time.Now())))
	if !errors.Is(err, bus.Unavailable) {
		t.Errorf("got %v, want unavailable: nobody knows whether the token is right", err)
	}
}

// A file takes the place of a URL here: there is no network in virtual time.
func TestNewKeysAreFoundAndOldOnesForgotten(t *testing.T) {
	s := newSigners(t)
	keys := s.jwks()
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys.json")
		write := func(data []byte) {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(set(keys[:1]))
		v := started(t, file)
		old := func() error {
			_, err := v.Verify(t.Context(), s.sign(map[string]any{"alg": "RS256", "kid": "rsa"}, good(time.Now())))
			return err
		}
		fresh := func() error {
			_, err := v.Verify(t.Context(), s.sign(map[string]any{"alg": "ES256", "kid": "ec"}, good(time.Now())))
			return err
		}
		if old() != nil || fresh() == nil {
			t.Fatalf("at first: %v, %v", old(), fresh())
		}
		write(set(keys[1:2]))
		time.Sleep(9 * time.Second)
		if err := fresh(); !errors.Is(err, bus.Unauthenticated) {
			t.Errorf("within ten seconds of the last look: %v", err)
		}
		time.Sleep(2 * time.Second)
		if old() == nil || fresh() != nil {
			t.Errorf("afterwards: %v, %v", old(), fresh())
		}
		write([]byte("{"))
		time.Sleep(time.Minute)
		if err := fresh(); err != nil {
			t.Errorf("with a broken file: %v", err)
		}
	})
}

func TestAVerifierThatCannotBe(t *testing.T) {
	for _, cfg := range []token.Config{
		{},
		{Issuer: issuer, Audience: audience},
		{Issuer: issuer, Keys: "k"},
		{Audience: audience, Keys: "k"},
		{Issuer: issuer, Audience: audience, Keys: "http://issuer.example/keys"},
		{Issuer: issuer, Audience: audience, Keys: "ftp://issuer.example/keys"},
		{Issuer: issuer, Audience: audience, Keys: "https://user:word@issuer.example/keys"},
		{Issuer: issuer, Audience: audience, Keys: "https://"},
	} {
		if _, err := token.NewVerifier(cfg); !errors.Is(err, bus.InvalidArgument) || !strings.Contains(err.Error(), "--jwt-") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	v, err := token.NewVerifier(token.Config{Issuer: issuer, Audience: audience, Keys: filepath.Join(t.TempDir(), "none")})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "--jwt-keys") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzTokens(f *testing.F) {
	s := newSigners(f)
	v := verifier(f, set(s.jwks()))
	f.Add(s.sign(map[string]any{"alg": "RS256", "kid": "rsa"}, good(time.Now())))
	f.Add(s.sign(map[string]any{"alg": "none"}, good(time.Now())))
	f.Add("a.b.c")
	f.Add(text([]byte(`{"alg":"ES256","kid":"ec"}`)) + "." + text([]byte(`{}`)) + "." + text(make([]byte, 64)))
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := v.Verify(t.Context(), raw)
		if (c == nil) == (err == nil) {
			t.Fatalf("%q: %+v, %v", raw, c, err)
		}
		if err == nil {
			// Whatever is believed the library believes too.
			if _, _, err := jwt.NewParser().ParseUnverified(raw, jwt.MapClaims{}); err != nil {
				t.Errorf("%q is believed and broken: %v", raw, err)
			}
		}
	})
}
