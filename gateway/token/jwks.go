package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

const (
	maxKeys    = 100
	minRSABits = 2048
	maxRSABits = 8192
)

// A key verifies signatures of certain algorithms.
type key struct {
	id         string
	public     crypto.PublicKey
	algorithms []string
}

// jwk is a key of a JWKS, as far as it matters here (RFC 7517, 7518, 8037).
type jwk struct {
	Type      string   `json:"kty"`
	ID        string   `json:"kid"`
	Use       string   `json:"use"`
	Ops       []string `json:"key_ops"`
	Algorithm string   `json:"alg"`
	Curve     string   `json:"crv"`
	N         string   `json:"n"`
	E         string   `json:"e"`
	X         string   `json:"x"`
	Y         string   `json:"y"`
}

// parseJWKS reads a set of keys. Keys that are not for signatures, or of a kind
// that is not known here, are left out; a set without any other is an error.
func parseJWKS(data []byte) ([]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("no JWKS: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("a JWKS of %d keys; at most %d", len(set.Keys), maxKeys)
	}
	var keys []key
	for _, raw := range set.Keys {
		var j jwk
		if err := json.Unmarshal(raw, &j); err != nil {
			continue
		}
		if k, err := j.key(); err == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWKS has no key that verifies signatures")
	}
	return keys, nil
}

var errUnfit = errors.New("unfit")

func (j jwk) key() (key, error) {
	k := key{id: j.ID}
	if j.Use != "" && j.Use != "sig" || len(j.Ops) > 0 && !slices.Contains(j.Ops, "verify") {
		return k, errUnfit
	}
	var err error
	switch j.Type {
	case "RSA":
		k.public, err = j.rsa()
		k.algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case "EC":
		var algorithm string
		k.public, algorithm, err = j.ec()
		k.algorithms = []string{algorithm}
	case "OKP":
		k.public, err = j.ed()
		k.algorithms = []string{"EdDSA"}
	default: // a symmetric key among public ones is a mistake, or an attack
		return k, errUnfit
	}
	if err != nil {
		return k, err
	}
	if j.Algorithm != "" {
		if !slices.Contains(k.algorithms, j.Algorithm) {
			return k, errUnfit
		}
		k.algorithms = []string{j.Algorithm}
	}
	return k, nil
}

func (j jwk) rsa() (*rsa.PublicKey, error) {
	n, err := number(j.N)
	if err != nil {
		return nil, err
	}
	e, err := number(j.E)
	if err != nil {
		return nil, err
	}
	if n.BitLen() < minRSABits || n.BitLen() > maxRSABits || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0 {
		return nil, errUnfit
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (j jwk) ec() (*ecdsa.PublicKey, string, error) {
	var curve elliptic.Curve
	var algorithm string
	switch j.Curve {
	case "P-256":
		curve, algorithm = elliptic.P256(), "ES256"
	case "P-384":
		curve, algorithm = elliptic.P384(), "ES384"
	case "P-521":
		curve, algorithm = elliptic.P521(), "ES512"
	default:
		return nil, "", errUnfit
	}
	x, errX := base64.RawURLEncoding.DecodeString(j.X)
	y, errY := base64.RawURLEncoding.DecodeString(j.Y)
	size := (curve.Params().BitSize + 7) / 8
	if errX != nil || errY != nil || len(x) > size || len(y) > size {
		return nil, "", errUnfit
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed
	copy(point[1+size-len(x):], x)
	copy(point[1+2*size-len(y):], y)
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point) // refuses points off the curve
	return public, algorithm, err
}

func (j jwk) ed() (ed25519.PublicKey, error) {
	x, err := base64.RawURLEncoding.DecodeString(j.X)
	if err != nil || j.Curve != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil, errUnfit
	}
	return x, nil
}

func number(text string) (*big.Int, error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) == 0 || len(data) > maxRSABits/8+1 {
		return nil, errUnfit
	}
	return new(big.Int).SetBytes(data), nil
}
