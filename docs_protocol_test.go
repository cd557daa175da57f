package main_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

const protocolPage = "docs/protocol.md"

func TestProtocolNames(t *testing.T) {
	p := readPage(t, protocolPage)
	for _, row := range p.table(t, "Names", "kind") {
		kind, text, result := row[0], bare(row[1]), row[2]
		check := map[string]func(string) error{
			"service": wire.CheckService, "method": wire.CheckMethod, "id": wire.CheckID, "topic": wire.CheckTopic, "pattern": wire.CheckPattern,
		}[kind]
		if check == nil {
			t.Errorf("a row of the kind %q", kind)
			continue
		}
		err := check(text)
		if token := bare(result); token == result { // a row of the second table: why not
			if err == nil {
				t.Errorf("the %s %q is said to be refused and is not", kind, text)
			}
			continue
		} else if err != nil {
			t.Errorf("the %s %q: %v", kind, text, err)
		} else if got := map[bool]func(string) string{true: wire.EscapeID, false: wire.Escape}[kind == "id"](text); got != token {
			t.Errorf("the %s %q is said to be %q and is %q", kind, text, token, got)
		}
	}
}

func TestProtocolSubjects(t *testing.T) {
	p := readPage(t, protocolPage)
	var documented, queued []string
	for _, row := range p.table(t, "Subjects", "subject") {
		for _, subject := range expand(strings.NewReplacer("<", "", ">", "", "`", "").Replace(row[0])) {
			documented = append(documented, subject)
			if row[3] == "`"+wire.Queue+"`" {
				queued = append(queued, subject)
			}
		}
	}
	code := []string{
		wire.CallSubject("svc", "Method"), wire.NodeSubject("svc", "id", "Method"), wire.CancelSubject("conn"), wire.ClaimSubject("svc"), wire.StreamSubject("svc", "id", "sid"),
		wire.ProbeSubject(""), wire.ProbeSubject("svc"), wire.ProbeSubject("svc") + ".id", wire.PaceSubject, "_INBOX.conn.*", "any other",
	}
	inQueue := code[:1:1]
	source := readPackage(t, "bus/wire")
	for _, verb := range source.strings(t, "Verb") {
		code = append(code, wire.SrvSubject(verb, "", ""), wire.SrvSubject(verb, "svc", ""), wire.SrvSubject(verb, "svc", "id"))
	}
	for _, event := range source.strings(t, "Event") {
		code = append(code, wire.AnnounceSubject("svc", "id", event))
	}
	for _, op := range source.strings(t, "Registry") {
		code = append(code, wire.RegistrySubject(op))
		inQueue = append(inQueue, wire.RegistrySubject(op))
	}
	sameSet(t, "subjects", documented, code)
	sameSet(t, "subjects with a queue group", queued, inQueue)
	sameSet(t, "events", column(p.table(t, "Announcements", "event"), 0), source.strings(t, "Event"))
}

func TestProtocolHeaders(t *testing.T) {
	p := readPage(t, protocolPage)
	source := readPackage(t, "bus/wire")
	sameSet(t, "headers", column(p.table(t, "Plain spelling", "header"), 0), source.strings(t, "Header"))
}

func TestProtocolFrames(t *testing.T) {
	p := readPage(t, protocolPage)
	var documented, code []string
	for _, row := range p.table(t, "Frame spelling", "type") {
		documented = append(documented, row[0]+" "+row[1])
	}
	for n := wire.FrameType(1); !strings.HasPrefix(n.String(), "type("); n++ {
		code = append(code, fmt.Sprintf("%d %s", n, n))
	}
	sameSet(t, "frame types", documented, code)
	source := readPackage(t, "bus/wire")
	layout := strings.Join(p.section(t, "Frame spelling"), "\n")
	for name, word := range map[string]string{"flagMeta": "metadata", "flagTimeout": "timeout", "flagMore": "more"} {
		if flag := fmt.Sprintf("`0x%02x` %s", source.number(t, name), word); !strings.Contains(layout, flag) {
			t.Errorf("the layout does not say %s", flag)
		}
	}
	for _, want := range []string{
		fmt.Sprintf("| byte 0 | 1 | `0x%X` |", wire.Magic), fmt.Sprintf("| byte 1 | 1 | version: %d |", wire.Version),
		fmt.Sprintf("0 none, %d JSON, %d msgpack, %d protobuf, %d raw", wire.CodecJSON, wire.CodecMsgpack, wire.CodecProtobuf, wire.CodecRaw),
		fmt.Sprintf("1 to %d)", wire.MaxMetaPairs), fmt.Sprintf("%d KiB of keys and values", wire.MaxMetaBytes>>10),
	} {
		if !strings.Contains(layout, want) {
			t.Errorf("the layout does not say %q", want)
		}
	}
}

// TestProtocolFrameBytes holds the examples against the golden files: what is
// documented is what travels.
func TestProtocolFrameBytes(t *testing.T) {
	p := readPage(t, protocolPage)
	golden := goldenHex(t, "bus/wire/testdata/wire/frames.txt", "bus/wire/testdata/wire/errorframes.txt")
	n := 0
	for _, b := range p.blocks {
		if b.lang != "frame" {
			continue
		}
		n++
		if data := annotated(t, p, b); !golden[hex.EncodeToString(data)] {
			t.Errorf("%s:%d: %x is in no golden file", p.path, b.line, data)
		}
	}
	if n < 8 {
		t.Errorf("only %d frames are shown", n)
	}
}

func goldenHex(t *testing.T, files ...string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if line[0] != '#' && line[0] != '\t' {
				all[strings.TrimSpace(line)] = true
			}
		}
	}
	return all
}

// annotated reads a block whose lines are bytes in hex, in groups with one
// blank between them, and after two blanks what they mean.
func annotated(t *testing.T, p *page, b block) []byte {
	t.Helper()
	var out []byte
	for i, line := range b.lines {
		code, _, _ := strings.Cut(line, "  ")
		data, err := hex.DecodeString(strings.ReplaceAll(code, " ", ""))
		if err != nil {
			t.Fatalf("%s:%d: %v", p.path, b.line+i, err)
		}
		out = append(out, data...)
	}
	return out
}

// TestProtocolAnnouncements holds the examples of discovery against its golden
// file, and the JSON of each beside the msgpack.
func TestProtocolAnnouncements(t *testing.T) {
	p := readPage(t, protocolPage)
	archive, err := txtar.ParseFile("discovery/testdata/wire/announce.txtar")
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string][]byte{}
	for _, f := range archive.Files {
		golden[f.Name] = f.Data
	}
	n := 0
	for _, b := range p.blocks {
		want, ok := golden[b.name]
		if b.name == "" || !ok {
			continue
		}
		n++
		where := fmt.Sprintf("%s:%d: %s", p.path, b.line, b.name)
		if want[0] != '{' {
			data, err := hex.DecodeString(string(bytes.ReplaceAll(want, []byte("\n"), nil)))
			if err != nil {
				t.Fatal(err)
			}
			if b.lang == "msgpack" {
				if got := annotated(t, p, b); !bytes.Equal(got, data) {
					t.Errorf("%s: %x, want %x", where, got, data)
				}
				continue
			}
			if want, err = codec.Transcode(codec.Msgpack, codec.JSON, data); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := decodeAny(t, where, []byte(b.text())), decodeAny(t, where, want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", where, got, want)
		}
	}
	if n < 9 {
		t.Errorf("found only %d examples", n)
	}
}

func decodeAny(t *testing.T, where string, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return v
}

func TestProtocolKeys(t *testing.T) {
	p := readPage(t, protocolPage)
	source := readPackage(t, "discovery")
	var documented []string
	for _, row := range p.table(t, "Announcements", "key") {
		documented = append(documented, codeIn(row[0])...)
	}
	sameSet(t, "keys of an announcement", documented, source.keys(t, "announcement"))
	text := strings.Join(p.section(t, "Announcements"), "\n")
	for _, of := range []string{"Endpoint", "beat", "leave"} {
		for _, key := range source.keys(t, of) {
			if key != "subject" && !strings.Contains(text, "`"+key+"`") { // only readers fill it in
				t.Errorf("the key %s of %s is not documented", key, of)
			}
		}
	}
	sameSet(t, "metadata of mbus", column(p.table(t, "Services API", "where"), 1), slices.DeleteFunc(source.strings(t, "meta"), func(s string) bool {
		return s == "mbus." // the prefix
	}))
	registrar := readPackage(t, "discovery/registrar")
	documented = nil
	for _, row := range p.table(t, "Registry", "key") {
		documented = append(documented, codeIn(row[0])...)
	}
	sameSet(t, "keys of a watch", documented, registrar.keys(t, "watchMessage"))
	text = strings.Join(p.section(t, "Registry"), "\n")
	for _, of := range []string{"watchRequest", "getRequest", "getReply", "absence", "registration", "done", "listed"} {
		for _, key := range registrar.keys(t, of) {
			if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, `"`+key+`"`) {
				t.Errorf("Registry: the key %s of %s is not documented", key, of)
			}
		}
	}
	stats := readPackage(t, "rpc")
	sameSet(t, "keys of Debug.Stats", column(p.table(t, "Debug methods", "key"), 0), stats.keys(t, "Stats"))
	text = strings.Join(p.section(t, "Debug methods"), "\n")
	keys := append(stats.keys(t, "EndpointStats"), stats.keys(t, "Schemas")...)
	for _, key := range append(keys, append(stats.keys(t, "SchemaRequest"), stats.keys(t, "Health")...)...) {
		if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, `"`+key+`"`) {
			t.Errorf("Debug methods: the key %s is not documented", key)
		}
	}
	for _, method := range stats.strings(t, "Method") {
		if !strings.Contains(text, "`"+method+"`") {
			t.Errorf("%s is not documented", method)
		}
	}
}

func TestProtocolCodesAndEnds(t *testing.T) {
	p := readPage(t, protocolPage)
	rows := p.table(t, "Codes", "code")
	for i, row := range rows {
		code, ok := bus.CodeOf(bare(row[0]))
		if !ok || int(code) != i+1 || strconv.Itoa(code.Status()) != row[1] {
			t.Errorf("row %d is %s %s; in the code that is number %d with %d", i+1, row[0], row[1], code, code.Status())
		}
	}
	if after := bus.Code(len(rows) + 1); after.String() != "internal" {
		t.Errorf("the code %s is not documented", after)
	}
	for status, want := range map[int]bus.Code{404: bus.NotFound, 418: bus.InvalidArgument, 502: bus.Internal} {
		if got := bus.CodeOfStatus(status); got != want {
			t.Errorf("%d is %s, the text says %s", status, got, want)
		}
	}
	var ends []string
	for end := bus.End(1); end.String() != ""; end++ {
		ends = append(ends, end.String())
	}
	sameSet(t, "ends", column(p.table(t, "Ends", "end"), 0), ends)
}

func TestProtocolCodecs(t *testing.T) {
	p := readPage(t, protocolPage)
	rows := p.table(t, "Codecs", "codec")
	for i, row := range rows {
		c := codec.Codec(i + 1)
		if row[1] != strconv.Itoa(i+1) || bare(row[2]) != c.String() || bare(row[3]) != c.ContentType() {
			t.Errorf("row %v; in the code %d is %s, %s", row, c, c, c.ContentType())
		}
		for _, name := range append(codeIn(row[4]), bare(row[3]), bare(row[3])+"; charset=utf-8") {
			if got, err := codec.Parse(name); err != nil || got != c {
				t.Errorf("%s is %v, %v; want %s", name, got, err, c)
			}
		}
	}
	if after := codec.Codec(len(rows) + 1); after.Valid() {
		t.Errorf("the codec %s is not documented", after)
	}
	for contentType, want := range map[string]bus.Code{
		"application/json; charset=latin1": bus.Unimplemented, "text/html": bus.Unimplemented, "application/json, application/msgpack": bus.InvalidArgument,
	} {
		if _, err := codec.Parse(contentType); err == nil || bus.AsError(err).Code != want {
			t.Errorf("%s: %v, want %s", contentType, err, want)
		}
	}
}

// TestProtocolRegistry holds what is said to registrars against their golden
// file.
func TestProtocolRegistry(t *testing.T) {
	p := readPage(t, protocolPage)
	golden, err := os.ReadFile("discovery/registrar/testdata/wire/registry.txtar")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range p.blocks {
		if b.lang != "registry" {
			continue
		}
		n++
		if !strings.Contains(string(golden), "--\n"+b.text()+"--") {
			t.Errorf("%s:%d: the golden file has no such exchange", p.path, b.line)
		}
	}
	if n < 6 {
		t.Errorf("only %d exchanges are shown", n)
	}
}

// limits names, for each row of the tables of limits, the constant that says
// the same; rows without one are the broker's.
var limits = []struct{ table, row, dir, name, unit string }{
	{"names and messages", "service or method name", "bus/wire", "MaxNameBytes", "bytes"},
	{"names and messages", "tokens of a name", "bus/wire", "MaxNameTokens", ""},
	{"names and messages", "instance id", "bus/wire", "MaxIDBytes", "bytes"},
	{"names and messages", "topic, pattern or inbox prefix", "bus/wire", "MaxTopicBytes", "bytes"},
	{"names and messages", "headers, or pairs of metadata", "bus/wire", "MaxMetaPairs", ""},
	{"names and messages", "their names and values together", "bus/wire", "MaxMetaBytes", "bytes"},
	{"names and messages", "time that travels", "bus/wire", "MaxTimeout", "time"},
	{"names and messages", "message of an error", "bus/wire", "MaxMessageBytes", "bytes"},
	{"names and messages", "name of a code in an error frame", "bus/wire", "MaxCodeBytes", "bytes"},
	{"names and messages", "message with its headers", "", "", ""},
	{"names and messages", "depth of a body", "bus/codec", "MaxDepth", ""},
	{"names and messages", "values in a body, keys not counted", "bus/codec", "MaxValues", ""},
	{"names and messages", "memory that decoding a body may take, to begin with", "bus/codec", "MaxMemoryBase", "bytes"},
	{"names and messages", "and more for each byte of the body", "bus/codec", "MaxMemoryFactor", "bytes"},
	{"discovery", "announcement", "discovery", "maxAnnouncement", "bytes"},
	{"discovery", "beat", "discovery", "maxBeat", "bytes"},
	{"discovery", "drain, down or pace", "discovery", "maxLeave", "bytes"},
	{"discovery", "body of a probe", "discovery", "maxProbe", "bytes"},
	{"discovery", "endpoints", "discovery", "maxEndpoints", ""},
	{"discovery", "codecs", "discovery", "maxCodecs", ""},
	{"discovery", "version, address, state, hash or kind", "discovery", "maxText", "bytes"},
	{"discovery", "levels of a value", "discovery", "maxValueDepth", ""},
	{"discovery", "shortest interval of beats", "discovery", "minInterval", "time"},
	{"discovery", "longest interval of beats", "discovery", "maxInterval", "time"},
	{"discovery", "shortest pace", "discovery", "paceFloor", "time"},
	{"discovery", "how long a pace holds", "discovery", "paceTrust", "time"},
	{"discovery", "PING or INFO, as sent", "discovery", "maxInfo", "bytes"},
	{"discovery", "STATS, as sent", "discovery", "maxStats", "bytes"},
	{"discovery", "answer to `$SRV`, as read", "discovery", "maxSrvReply", "bytes"},
	{"discovery", "answers to one question", "discovery", "maxAnswers", ""},
	{"discovery", "schema", "rpc/schema", "MaxBody", "bytes"},
	{"registry", "request", "discovery/registrar", "maxBody", "bytes"},
	{"registry", "request that registers", "discovery/registrar", "maxRegistration", "bytes"},
	{"registry", "nodes in one registration", "discovery/registrar", "maxNodes", ""},
	{"registry", "ttl", "discovery/registrar", "maxTTL", "time"},
	{"registry", "object of a list", "discovery/registrar", "maxListed", "bytes"},
	{"registry", "lease of a watch", "discovery/registrar", "lease", "time"},
	{"registry", "messages of a watch that may be unread", "discovery/registrar", "window", ""},
	{"registry", "nodes that one registrar announces", "discovery/registrar", "defaultMaxEntries", ""},
	{"registry", "watches that one registrar serves", "discovery/registrar", "defaultMaxWatches", ""},
	{"registry", "instances that one registrar knows", "discovery/registrar", "defaultMaxInstances", ""},
	{"usual values of mbus in Go", "time that a server gives a call", "rpc", "defaultCap", "time"},
	{"usual values of mbus in Go", "time that a caller waits", "rpc", "defaultTimeout", "time"},
	{"usual values of mbus in Go", "tries after the first", "rpc", "defaultRetries", ""},
	{"usual values of mbus in Go", "calls at work in one instance", "rpc", "defaultConcurrency", ""},
	{"usual values of mbus in Go", "calls in one message", "bus/wire", "MaxBatch", ""},
	{"usual values of mbus in Go", "bytes of a message that calls or answers share", "bus", "maxBatchBytes", "bytes"},
	{"usual values of mbus in Go", "bytes of a call or an answer in it", "rpc", "maxBatchedCall", "bytes"},
	{"usual values of mbus in Go", "calls of `Debug.*` beyond these", "rpc", "spareForDebug", ""},
	{"usual values of mbus in Go", "calls that wait on one connection", "bus", "defaultMaxCalls", ""},
	{"usual values of mbus in Go", "callers whose cancels one server hears", "rpc", "maxCallers", ""},
	{"streams and large bodies of mbus in Go", "frames of a window", "rpc/pipe", "streamFrames", ""},
	{"streams and large bodies of mbus in Go", "bytes of a window", "rpc/pipe", "streamWindow", "bytes"},
	{"streams and large bodies of mbus in Go", "frames of all windows of a connection", "rpc/pipe", "connFrames", ""},
	{"streams and large bodies of mbus in Go", "bytes of all windows of a connection", "rpc/pipe", "connWindow", "bytes"},
	{"streams and large bodies of mbus in Go", "frames of the smallest window", "rpc/pipe", "leastFrames", ""},
	{"streams and large bodies of mbus in Go", "bytes of the smallest window", "rpc/pipe", "leastWindow", "bytes"},
	{"streams and large bodies of mbus in Go", "bytes of a data frame", "rpc/pipe", "Fragment", "bytes"},
	{"streams and large bodies of mbus in Go", "messages of a stream-batch", "bus/wire", "MaxStreamBatch", ""},
	{"streams and large bodies of mbus in Go", "bytes of a stream-batch, lengths included", "bus/wire", "MaxStreamBatchBytes", "bytes"},
	{"streams and large bodies of mbus in Go", "silence before a ping", "rpc/pipe", "Idle", "time"},
	{"streams and large bodies of mbus in Go", "streams open in one instance", "rpc", "defaultStreams", ""},
	{"streams and large bodies of mbus in Go", "body of a request or an answer in one message", "rpc", "defaultChunkAbove", "bytes"},
	{"streams and large bodies of mbus in Go", "body in parts, or message of a stream", "rpc", "defaultMaxBody", "bytes"},
	{"streams and large bodies of mbus in Go", "bytes that one server puts together of parts", "rpc", "maxAssembling", "bytes"},
	{"streams and large bodies of mbus in Go", "messages of a stream to a plain caller", "rpc", "maxPlainMessages", ""},
	{"streams and large bodies of mbus in Go", "their bytes", "rpc", "maxPlainBytes", "bytes"},
}

func TestProtocolLimits(t *testing.T) {
	p := readPage(t, protocolPage)
	documented := map[string]map[string]string{}
	rows := 0
	for _, l := range limits {
		if documented[l.table] == nil {
			documented[l.table] = map[string]string{}
			for _, row := range p.table(t, "Limits", l.table) {
				documented[l.table][row[0]] = row[1]
				rows++
			}
		}
		value, ok := documented[l.table][l.row]
		switch {
		case !ok:
			t.Errorf("the table %q has no row %q", l.table, l.row)
		case l.name == "":
		default:
			if want := formatted(readPackage(t, l.dir).number(t, l.name), l.unit); value != want {
				t.Errorf("%s, %s: documented as %s, %s.%s is %s", l.table, l.row, value, l.dir, l.name, want)
			}
		}
	}
	if rows != len(limits) {
		t.Errorf("the tables have %d rows, this test knows %d", rows, len(limits))
	}
}

// formatted writes a limit as the table does.
func formatted(n int64, unit string) string {
	switch {
	case unit == "bytes" && n >= 4096 && n%1024 == 0:
		if n%(1<<20) == 0 {
			return fmt.Sprintf("%d MiB", n>>20)
		}
		return fmt.Sprintf("%d KiB", n>>10)
	case unit == "time":
		d := time.Duration(n)
		switch {
		case d%(24*time.Hour) == 0:
			return fmt.Sprintf("%d days", d/(24*time.Hour))
		case d%time.Minute == 0:
			return fmt.Sprintf("%d min", d/time.Minute)
		case d%time.Second == 0:
			return fmt.Sprintf("%d s", d/time.Second)
		}
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return strings.TrimSpace(text + " " + unit)
}
