package token

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mbus-dev/mbus/bus"
)

const (
	// leeway is how far the clocks of issuer and gateway may differ.
	leeway = time.Minute
	// maxToken is the most bytes of a token.
	maxToken = 8 << 10
)

// algorithms are all that verify with a public key.
func algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// A Caller is who a valid token speaks for.
type Caller struct {
	// Subject is the claim sub.
	Subject string
	// Scopes are those of scope and scp.
	Scopes []string
	// Expires is when the token ends.
	Expires time.Time
}

// Has reports whether the caller has a scope.
func (c *Caller) Has(scope string) bool {
	for _, s := range c.Scopes {
		if s == scope {
			return true
		}
	}
	return false
}

// Header verifies the values of the header Authorization. None at all is a
// caller of nil: whether that is enough is for Rules to say. The error is
// unauthenticated, or unavailable while no key could be had yet.
func (v *Verifier) Header(ctx context.Context, values []string) (*Caller, error) {
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > 1 {
		return nil, refused("there are several Authorization headers")
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, refused("Authorization is not of the form: Bearer TOKEN")
	}
	return v.Verify(ctx, strings.TrimSpace(raw))
}

// Verify verifies a token, with the errors of Header.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Caller, error) {
	if len(raw) > maxToken {
		return nil, refused("the token is over 8 KiB")
	}
	// What is in the header must be right before it leads to a key.
	if err := checkSegments(raw); err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{}
	var unavailable error
	_, err := v.parser.ParseWithClaims(raw, claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, err := v.keys.find(ctx, kid, t.Method.Alg())
		if errors.Is(err, bus.Unavailable) {
			unavailable = err
		}
		return key, err
	})
	switch {
	case unavailable != nil:
		return nil, unavailable
	case ctx.Err() != nil:
		return nil, bus.AsError(ctx.Err())
	}
	if err != nil {
		return nil, refused(reason(err))
	}
	return callerOf(claims)
}

// reason says why a token is refused as far as its holder may know.
func reason(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "the token has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "the token is not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "the token is for another audience"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return "the token is from another issuer"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "the token lacks a claim that is needed"
	case errors.Is(err, errNoKey):
		return "the token is signed with a key that is not known"
	}
	return "the token is not valid"
}

func refused(text string) error {
	e := bus.Errorf(bus.Unauthenticated, "%s", text)
	e.End = bus.Refused
	return e
}

// checkSegments refuses what the library would overlook.
func checkSegments(raw string) error {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return refused("the token is not a signed JWT")
	}
	header, err := members(parts[0])
	if err != nil {
		return err
	}
	for _, name := range []string{"crit", "jku", "jwk", "x5u", "x5c"} {
		if _, ok := header[name]; ok {
			return refused("the token's header has " + name + ", which is not followed here")
		}
	}
	if kid, ok := header["kid"]; ok && (len(kid) == 0 || kid[0] != '"') {
		return refused("the token's kid is no string")
	}
	_, err = members(parts[1])
	return err
}

// members are those of a segment's object, each once.
func members(segment string) (map[string]json.RawMessage, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, refused("the token is not a signed JWT")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, refused("the token is not a signed JWT")
	}
	found := make(map[string]json.RawMessage)
	for d.More() {
		name, err := d.Token()
		text, ok := name.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, refused("the token is not a signed JWT")
		}
		if _, twice := found[text]; twice {
			return nil, refused("the token says something twice")
		}
		found[text] = value
	}
	return found, nil
}

func callerOf(claims jwt.MapClaims) (*Caller, error) {
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return nil, refused("the token has no end")
	}
	c := &Caller{Expires: expires.Add(leeway)}
	c.Subject, _ = claims["sub"].(string)
	for _, name := range []string{"scope", "scp"} {
		switch value := claims[name].(type) {
		case string:
			c.Scopes = append(c.Scopes, strings.Fields(value)...)
		case []any:
			for _, item := range value {
				if text, ok := item.(string); ok {
					c.Scopes = append(c.Scopes, text)
				}
			}
		}
	}
	return c, nil
}
