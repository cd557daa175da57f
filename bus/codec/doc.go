// Package codec turns Go values into message bodies and back, and keeps hostile bodies out.
//
// A body is JSON, MessagePack, protobuf or raw bytes. A JSON caller and a MessagePack caller who
// send the same value are the same to a handler: what a body means is defined by its JSON form and
// the rules of encoding/json, and MessagePack is a faster spelling of that. This comment is the
// specification.
//
// # Which codec
//
// [Plan.For] decides once per Go type. A protobuf message is sent as protobuf, []byte raw, and what
// MessagePack carries faithfully as MessagePack. A type is sent as JSON if it is, or anywhere holds,
// one of these, whose rules only encoding/json has:
//
//   - a type with MarshalJSON, UnmarshalJSON, MarshalText or UnmarshalText, unless it has methods for
//     MessagePack too or is [time.Time]; json.RawMessage and json.Number
//   - a field with the option string or omitzero, or with the tag `json:"-,"`
//   - a struct or time with omitempty
//   - an embedded field with a tag, a field that shadows another, an embedded pointer to an unexported
//     struct, a struct that embeds itself
//   - a map whose keys are not plain strings
//   - a protobuf message inside of another value
//   - a function, channel, complex number or pointer to itself, which nothing can carry
//
// What an interface holds does not count: it is looked at when it is sent, and what only JSON can
// carry is written as its JSON form would be.
//
// Every type can be received in JSON and in MessagePack: a MessagePack body for a type of the list
// above goes through its JSON form, and so does a value of such a type for a caller who wants
// MessagePack. A protobuf message in these two codecs has the JSON form that protobuf defines.
//
// # MessagePack
//
//	Go                           written as                read from
//	bool                         true, false               the same; nil leaves the zero value, here and below
//	integers                     the shortest integer      an integer in the range of the type
//	floats                       the integer JSON would    any integer; float 32, meaning its shortest
//	                             write, if it fits 64      decimal; float 64 in the range of the type
//	                             bits; else float 32 or 64
//	string                       str, invalid UTF-8        str; bin as its base64, a timestamp as RFC 3339
//	                             replaced by U+FFFD
//	[]byte                       bin; nil if nil           bin; str as base64; an array of integers
//	time.Time                    the timestamp extension,  a timestamp or RFC 3339 text; always in UTC
//	                             years 0 to 9999
//	pointer                      nil, or what it leads to  nil, or that
//	slice, array                 array; nil if nil         an array; too long or short for a Go array is
//	                                                       cut or filled with zeros
//	[N]byte                      array of integers         that, or bin of N bytes
//	map                          map with sorted keys,     a map
//	                             nil if nil
//	struct                       map of its fields, named  a map; names are matched exactly, then without
//	                             as in JSON                regard to case; unknown ones are ignored
//	interface                    what it holds             see below, for the empty interface; only nil
//	                                                       for any other
//	types with methods           what these write          what these read
//
// In a place without a type, both codecs give nil, bool, string, []any, map[string]any, and for
// numbers int64, uint64 for what only that holds, and float64 for the rest: a number is an integer if
// it is spelled as one, or if JSON would spell the float as one. Binary is base64 text and a time is
// RFC 3339 text there, as in JSON.
//
// MessagePack is written by github.com/vmihailenco/msgpack/v5, which types with EncodeMsgpack and
// DecodeMsgpack (or MarshalMsgpack and UnmarshalMsgpack) meet too. It is read by this package: the
// library wraps integers that do not fit, believes any length, and starts a goroutine that never ends
// for each type with an embedded pointer. The generated methods MarshalMsg and UnmarshalMsg of
// github.com/tinylib/msgp are used, and are several times faster, if they write and read samples of
// the type just as encoding/json does; to generate them so, give each field its json name as msg tag,
// and slices and maps the option allownil.
//
// # What is refused
//
// Bodies from outside are checked before they are decoded, without recursion, by [Guard] and by every
// Unmarshal: at most [MaxDepth] arrays and objects in each other, at most [MaxValues] values, no length
// beyond the body, nothing behind the value, valid UTF-8, no key twice in an object. JSON must keep to
// RFC 8259 and have no byte order mark and no half of a surrogate pair. In MessagePack keys are
// strings, floats are finite, and the only extension is the timestamp. Decoding takes at most
// [MaxMemoryBase] bytes of memory and [MaxMemoryFactor] for each byte of the body; in JSON, slices and
// maps that grow leave up to twice as much behind for the collector. The same memory bound and depth
// hold for protobuf.
//
// # What still differs
//
//   - The text of a time keeps its zone in JSON; MessagePack carries UTC. A time.Time is in UTC in the
//     handler either way, but a handler that takes the text sees the difference. JSON drops the seconds
//     of a zone's offset.
//   - json.RawMessage and json.Number keep how JSON spells a number or a string; after MessagePack it
//     is the spelling of encoding/json.
//   - JSON refuses 1.0 and 1e3 for an integer type. MessagePack refuses a float for one as well, even
//     without a fraction; but Go's floats are sent as integers where they have none, so this concerns
//     generated methods and other programs only.
//   - A float 32 sent by other programs into a float64 is its shortest decimal, not its exact value.
//   - What a type's own methods for MessagePack write and read is up to them: they may refuse what its
//     JSON methods take, be blind to case, or wrap integers, as the library does.
//   - Two names of one field that differ only in case: the last one counts; encoding/json merges maps
//     and objects.
package codec
