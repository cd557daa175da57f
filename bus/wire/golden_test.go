package wire_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata/wire")

// golden compares got with a file that a change of the protocol must change, and nothing else may.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "wire", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(file), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(want) || line != want[i] {
			t.Fatalf("%s:%d differs: the bytes on the wire have changed\n got %s\nwant %s", path, i+1, line, strings.Join(want[min(i, len(want)):min(i+1, len(want))], ""))
		}
	}
	if got != string(file) {
		t.Fatalf("%s has more lines than the protocol writes", path)
	}
}

func TestGoldenFrames(t *testing.T) {
	meta := []wire.Pair{{wire.HeaderID, "42"}, {"X-User", "ada"}}
	var b strings.Builder
	b.WriteString("# frames of protocol version 1: hex of the whole body, then what it means\n")
	for _, f := range []wire.Frame{
		{Type: wire.FrameCall, Seq: 1, Codec: wire.CodecJSON, Payload: []byte(`{"name":"John"}`)},
		{Type: wire.FrameCall, Seq: 127, Codec: wire.CodecMsgpack, Timeout: 5 * time.Second, Payload: []byte("\x81\xa4name\xa4John")},
		{Type: wire.FrameCall, Seq: 128, Codec: wire.CodecProtobuf, Timeout: wire.Expired},
		{Type: wire.FrameCall, Seq: 1<<64 - 1, Codec: wire.CodecRaw, Timeout: wire.MaxTimeout, Meta: meta, Payload: []byte("raw")},
		{Type: wire.FrameReply, Seq: 1, Codec: wire.CodecMsgpack, Payload: []byte("\x81\xa3msg\xaaHello John")},
		{Type: wire.FrameOpen, Seq: 0, Codec: wire.CodecMsgpack, Timeout: time.Second, Meta: meta, Payload: []byte("\x80")},
		{Type: wire.FrameAccept, Meta: []wire.Pair{{"K", ""}}},
		{Type: wire.FrameData, Seq: 1, Codec: wire.CodecJSON, More: true, Payload: []byte(`{"a":`)},
		{Type: wire.FrameData, Seq: 2, Codec: wire.CodecJSON, Payload: []byte(`1}`)},
		{Type: wire.FrameCredit, Seq: 3},
		{Type: wire.FrameHalf, Seq: 300},
		{Type: wire.FrameEnd, Seq: 16384},
		{Type: wire.FrameCancel, Seq: 7},
		{Type: wire.FramePing, Seq: 8},
		{Type: wire.FramePong, Seq: 8},
		{Type: wire.FrameOpen, Seq: 1, Codec: wire.CodecMsgpack, Meta: []wire.Pair{{wire.MetaStreamBatch, wire.StreamBatchVersion}}, Payload: wire.AppendOpen(nil, &wire.Open{Window: wire.Credit{Seq: 1024, Bytes: 1 << 20}})},
		{Type: wire.FrameStreamBatch, Seq: 3, Codec: wire.CodecJSON, Payload: wire.AppendStreamBatch(wire.AppendStreamBatch(nil, []byte(`{"n":3}`)), []byte(`{"n":4}`))},
	} {
		fmt.Fprintf(&b, "%s\n\t%s more=%t seq=%d codec=%d timeout=%s meta=%q payload=%q\n",
			hex.EncodeToString(wire.AppendFrame(nil, &f)), f.Type, f.More, f.Seq, f.Codec, f.Timeout, f.Meta, f.Payload)
	}
	for _, batch := range [][][]byte{
		{frame(wire.FrameCall, 1, `{"name":"John"}`), frame(wire.FrameCall, 2, `{}`)},
		{frame(wire.FrameReply, 2, `{}`), wire.AppendErrorFrame(nil, &wire.ErrorFrame{Seq: 1, Status: 404, Code: "not_found", Message: "no"})},
	} {
		fmt.Fprintf(&b, "%s\n\tbatch of %q\n", hex.EncodeToString(batchOf(batch...)), batch)
	}
	golden(t, "frames.txt", b.String())
}

func TestGoldenErrorFrames(t *testing.T) {
	var b strings.Builder
	b.WriteString("# error frames, the same in every version: hex of the whole body, then what it means\n")
	for _, e := range []wire.ErrorFrame{
		{},
		{Seq: 1, Status: 404, Code: "not_found", Message: "no user 7", Detail: []byte(`{"id":7}`)},
		{Seq: 300, Status: 429, Retry: wire.RetrySafe, Code: "resource_exhausted", Message: "1024 calls are running"},
		{Seq: 1<<64 - 1, Status: 503, Retry: wire.RetryAfter(1500 * time.Millisecond), Code: "unavailable", Message: "größer"},
		{Status: 501, Code: "unimplemented", Message: "frame version 2, this side speaks 1"},
	} {
		fmt.Fprintf(&b, "%s\n\tseq=%d status=%d retry=%s code=%q message=%q detail=%q\n",
			hex.EncodeToString(wire.AppendErrorFrame(nil, &e)), e.Seq, e.Status, e.Retry, e.Code, e.Message, e.Detail)
	}
	golden(t, "errorframes.txt", b.String())
}

func TestGoldenSubjects(t *testing.T) {
	var b strings.Builder
	line := func(subject, format string, args ...any) {
		fmt.Fprintf(&b, "%s\n\t%s\n", subject, fmt.Sprintf(format, args...))
	}
	b.WriteString("# subjects of protocol version 1, then what they mean\n")
	line(wire.Queue, "the queue group")
	for _, svc := range []string{"greeter", "go.micro.srv.greeter", "my_srv.a-b"} {
		line(wire.CallSubject(svc, "Say.Hello"), "call %s Say.Hello", svc)
		line(wire.AnnouncePattern(svc), "watch %s", svc)
		line(wire.ProbeSubject(svc), "probe %s", svc)
		for _, id := range []string{"GKQ3W8MZ4NP0X1Y2Z3A4B5", "10.0.0.1:80 a_b"} {
			line(wire.NodeSubject(svc, id, "Say.Hello"), "call instance %q of %s, Say.Hello", id, svc)
			line(wire.NodeWildcard(svc, id), "every call to instance %q of %s", id, svc)
			line(wire.StreamSubject(svc, id, "7"), "frames for stream 7 of instance %q of %s", id, svc)
			line(wire.StreamWildcard(svc, id), "frames for all streams of instance %q of %s", id, svc)
			for _, event := range []string{wire.EventUp, wire.EventBeat, wire.EventChange, wire.EventDrain, wire.EventDown} {
				line(wire.AnnounceSubject(svc, id, event), "instance %q of %s: %s", id, svc, event)
			}
		}
	}
	line(wire.AnnounceAll, "watch everything")
	line(wire.ProbeSubject(""), "probe everything")
	for _, verb := range []string{wire.VerbPing, wire.VerbInfo, wire.VerbStats} {
		line(wire.SrvSubject(verb, "", ""), "%s of every service", verb)
		line(wire.SrvSubject(verb, "", "ignored"), "%s of every service", verb)
		line(wire.SrvSubject(verb, "go_micro_srv_greeter", ""), "%s of every instance of a service", verb)
		line(wire.SrvSubject(verb, "Foreign__x", "abc"), "%s of one instance", verb)
	}
	for _, op := range []string{wire.RegistryList, wire.RegistryGet, wire.RegistryRegister, wire.RegistryDeregister, wire.RegistryWatch} {
		line(wire.RegistrySubject(op), "registrar: %s", op)
	}
	line(wire.PaceSubject, "registrars say how often to beat")
	line(wire.CancelSubject("Xy7"), "cancel calls of connection Xy7")
	golden(t, "subjects.txt", b.String())
}

func TestGoldenHeaders(t *testing.T) {
	var b strings.Builder
	b.WriteString("# headers of the plain spelling, then what they mean\n")
	for _, h := range [][3]string{
		{wire.HeaderContentType, wire.ContentTypeJSON, "the body is JSON, as without the header"},
		{wire.HeaderContentType, wire.ContentTypeMsgpack, "the body is msgpack"},
		{wire.HeaderContentType, wire.ContentTypeProtobuf, "the body is protobuf"},
		{wire.HeaderContentType, wire.ContentTypeRaw, "the body is bytes"},
		{wire.HeaderTimeout, wire.FormatTimeout(5 * time.Second), "5 s are left"},
		{wire.HeaderTimeout, wire.FormatTimeout(1), "1 ns is left"},
		{wire.HeaderTimeout, wire.FormatTimeout(-1), "nothing is left"},
		{wire.HeaderID, "<text>", "id of the call"},
		{wire.HeaderConn, "<token>", "connection of the caller"},
		{wire.HeaderAttempt, "2", "second attempt"},
		{wire.HeaderFrom, "go.micro.api", "the caller"},
		{wire.HeaderStream, "<text>", "the caller speaks streams"},
		{wire.HeaderTraceparent, "<W3C>", "trace"},
		{wire.HeaderTracestate, "<W3C>", "trace"},
		{wire.HeaderBaggage, "<W3C>", "trace"},
		{wire.HeaderServiceError, "no user 7", "message of an error"},
		{wire.HeaderServiceErrorCode, "404", "status of an error"},
		{wire.HeaderError, "not_found", "code of an error"},
		{wire.HeaderRetry, wire.RetryNever.String(), "do not retry, as without the header"},
		{wire.HeaderRetry, wire.RetrySafe.String(), "retry at once"},
		{wire.HeaderRetry, wire.RetryAfter(1500 * time.Millisecond).String(), "retry after 1.5 s"},
	} {
		fmt.Fprintf(&b, "%s: %s\n\t%s\n", h[0], h[1], h[2])
	}
	golden(t, "headers.txt", b.String())
}

func TestTheNormativeTablesNameEveryHeaderSubjectAndType(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	words := []string{
		wire.HeaderContentType, wire.HeaderTimeout, wire.HeaderID, wire.HeaderConn, wire.HeaderAttempt, wire.HeaderFrom, wire.HeaderStream,
		wire.HeaderError, wire.HeaderRetry, wire.HeaderServiceError, wire.HeaderServiceErrorCode,
		wire.HeaderTraceparent, wire.HeaderTracestate, wire.HeaderBaggage,
		"mbus.rpc.<svc>.<Method>", "mbus.node.<svc>.<id>.<Method>", "mbus.stream.<svc>.<id>.<sid>", wire.ProbeSubject(""), wire.PaceSubject,
		wire.CancelSubject("<conn>"), `"` + wire.Queue + `"`, fmt.Sprintf("0x%X", wire.Magic), fmt.Sprintf("version: %d", wire.Version),
	}
	for n := wire.FrameCall; n <= wire.FrameStreamBatch; n++ {
		words = append(words, fmt.Sprintf("%d %s", n, n))
	}
	for _, word := range words {
		if !strings.Contains(string(doc), word) {
			t.Errorf("doc.go does not mention %q", word)
		}
	}
}
