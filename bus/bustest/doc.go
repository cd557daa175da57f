// Package bustest tests code that uses the bus against the real broker, in
// virtual time.
package bustest
