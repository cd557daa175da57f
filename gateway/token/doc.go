// Package token verifies bearer tokens and decides what their holders may do.
//
// A [Verifier] checks JSON Web Tokens against the keys of an issuer, which it
// fetches from a JWKS URL or reads from a file and keeps: an issuer that is away
// stops nobody whose key is known. A token is believed only if
//
//   - its algorithm is one of RS, PS or ES with 256, 384 or 512 bits, or EdDSA,
//     and fits the key that its header names by kid;
//   - its header asks for nothing else: crit, jku, jwk, x5u and x5c are refused;
//   - issuer and audience are those expected, and it has an end;
//   - exp, nbf and iat hold, with a minute for clocks that differ;
//   - no member of header or claims is there twice.
//
// [Rules] say what a caller may call, publish and subscribe to. What no rule
// mentions nobody may do:
//
//	{"rules": [
//	  {"services": ["go.micro.srv.greeter"], "methods": ["Say.*"], "public": true},
//	  {"services": ["go.micro.srv.*"], "scopes": ["services"]},
//	  {"topics": ["user.>"], "scopes": ["events"]},
//	  {"subscribe": ["news.*"]}
//	]}
//
//	member     | meaning
//	services   | names; * stands for any text
//	methods    | names, likewise; without it all methods of the services
//	topics     | patterns of topics that may be published and subscribed to
//	publish    | patterns of topics that may be published
//	subscribe  | patterns of topics that may be subscribed to
//	scopes     | the token must have all of these, in scope or scp
//	public     | true: no token is needed
//
// A rule without scopes that is not public is for everybody with a token. In a
// pattern of topics * stands for one part and > for all that follow.
package token
