// Package schema describes message types as JSON Schema, draft 2020-12: what a service takes and gives, for people, the
// command line, the dashboard, OpenAPI and tools that fill in requests.
//
//	s, err := schema.For[HelloRequest]()   // s.Hash travels in announcements, s.Body is fetched once per hash
//	example, err := schema.Skeleton(s.Body) // {"name":""}
//	fields, err := schema.Fields(s.Body)    // name string
//
// A schema says what encoding/json writes for the type, key by key. The msgpack codec uses the same names and shapes.
//
//	Go                                    schema
//	bool, string                          boolean, string
//	int…, uint…, float32, float64         integer, number; "format" has the size; up to 32 bits with minimum and maximum
//	time.Time, time.Duration              string "date-time", integer (nanoseconds)
//	json.Number, *big.Int                 number, integer
//	[]byte                                string with contentEncoding base64, or null
//	[]T, map[K]T                          array, object, or null: nil is written as null
//	[N]T                                  array of exactly N
//	*T                                    T or null
//	any, json.RawMessage                  any value: {}
//	struct                                object with the keys encoding/json chooses, embedded structs flattened
//	method MarshalText                    string
//	method MarshalJSON or UnmarshalJSON   any value
//	option ,string                        string with a pattern
//	generated protobuf message            the message as protojson writes it (as a message itself, not inside a struct)
//
// # Choices
//
// Objects are open: unknown keys are allowed, so that a later version may add some. Nothing is required unless its
// tag says so (jsonschema:"required"), because encoding/json accepts what is missing. Null is allowed where Go has a nil, with or without omitempty.
//
// The tags jsonschema, jsonschema_description and jsonschema_extras of github.com/invopop/jsonschema are honoured
// (description, title, enum, minimum, maximum, minLength, maxLength, pattern, format, default, example, minItems,
// oneof_required and the rest; jsonschema:"-" hides a field), and so is its method JSONSchema, if the schema it returns
// stands alone.
//
// # Form
//
// The root is the message itself, in place, with $schema and the type's name as title. Other types with a name are in
// $defs, under names that are legal OpenAPI component names: Page[User] is Page_User; where two packages
// have a User they are auth.User and billing.User. A reference is "#/$defs/NAME", or "#" for the message itself;
// there are no others, so a schema never needs anything but itself.
//
// Bodies are canonical: equal types give equal bytes in every process, keys stand in the order they are declared, and
// the hash is of these bytes. A body that came from elsewhere is checked with [Verify] before it is believed.
//
// # Checking
//
// [Compile] prepares a schema and [Checker.Check] holds messages against it, names what is wrong and where, and stops
// after [MaxProblems]. It reads the text as it stands, without building anything of it: a body made to hurt costs time in
// proportion to its length. Numbers are compared exactly, however long. A field whose name differs from a known one only
// in case is refused, because encoding/json would read it past the schema.
//
// # Limits
//
// A body has at most [MaxBody] bytes; a [Set] holds at most [MaxSet] schemas in [MaxSetBytes]. Skeleton and Fields read
// schemas of other people and are bounded whatever these say: see there.
package schema
