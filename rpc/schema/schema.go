package schema

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Dialect is the value of $schema at the root of every body.
const Dialect = "https://json-schema.org/draft/2020-12/schema"

// MaxBody is the largest schema of one type, in bytes. A type that needs more, or that nests deeper than 64 levels
// without a named type between, is described as "any value", with a $comment that says so: a service is never refused
// because it is hard to describe.
const MaxBody = 128 << 10

// maxNodes bounds the work for one type; a type with so many parts would pass MaxBody anyway.
const maxNodes = 8192

// errTooLarge ends the walk over a type that passes maxNodes.
var errTooLarge = errors.New("type too large to describe")

// Schema is the JSON Schema of one message type.
type Schema struct {
	// Hash names the body: 20 characters of lower-case base32, the first 100 bits of its SHA-256. It is what
	// announcements carry.
	Hash string `json:"hash"`
	// Body is the schema in its canonical bytes: equal types give equal bytes in every process. It must not be modified.
	Body json.RawMessage `json:"body"`
}

// Of describes what encoding/json writes for a value of type t, seen as a message: pointers around t are ignored.
//
// The error names the field that encoding/json cannot write (a chan, func, complex or unsafe.Pointer, a map whose keys are
// neither text nor whole numbers) or the jsonschema tag or JSONSchema method that makes no valid schema. Of never
// panics and may be called by several goroutines at once.
func Of(t reflect.Type) (Schema, error) {
	if t == nil {
		return Schema{}, errors.New("schema: no type given: an untyped nil has no schema")
	}
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	b := &builder{defs: map[any]*def{}}
	title := typeTitle(t)
	root, err := b.root(t, title)
	switch {
	case errors.Is(err, errTooLarge):
		return tooLarge(title), nil
	case err != nil:
		return Schema{}, fmt.Errorf("schema: %w", err)
	}
	if title != "" && !root.has("title") {
		root.set("title", title)
	}
	root.set("$schema", Dialect)
	b.nameDefs()
	if defs := b.defsObject(); len(defs.keys) > 0 {
		root.set("$defs", defs)
	}
	body := appendSchema(nil, root)
	if _, err := parseSchema(body); err != nil { // over MaxBody, or nested deeper than any reader follows
		return tooLarge(title), nil
	}
	return Schema{Hash: Hash(body), Body: body}, nil
}

// For is Of for a type known at compile time.
func For[T any]() (Schema, error) {
	return Of(reflect.TypeFor[T]())
}

// Hash is the name of a schema body. It is of the bytes as they are: one blank more is another hash.
func Hash(body []byte) string {
	sum := sha256.Sum256(body)
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:20]
}

// Verify tells whether a body that came from elsewhere is the one that hash names, is not larger than MaxBody and is JSON.
func Verify(hash string, body []byte) error {
	if len(body) > MaxBody {
		return fmt.Errorf("schema: body of %d bytes is over the limit of %d", len(body), MaxBody)
	}
	if got := Hash(body); got != hash {
		return fmt.Errorf("schema: body has hash %s, asked for %s: its sender changed or damaged it", got, hash)
	}
	if _, err := parseSchema(body); err != nil {
		return err
	}
	return nil
}

func tooLarge(title string) Schema {
	root := newObject("$schema", Dialect, "$comment", tooLargeComment)
	if title != "" {
		root.set("title", title)
	}
	body := appendSchema(nil, root)
	return Schema{Hash: Hash(body), Body: body}
}
