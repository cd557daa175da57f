package discovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/micro"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mbus-dev/mbus/bus/wire"
)

// schemas compiles what the tools of NATS check: lenient is the command line's,
// strict the check that the JavaScript client ships for services of others.
func schemas(t *testing.T, name string) (lenient, strict *jsonschema.Schema) {
	t.Helper()
	c := jsonschema.NewCompiler()
	for _, of := range []struct {
		dir string
		s   **jsonschema.Schema
	}{{"lenient", &lenient}, {"strict", &strict}} {
		s, err := c.Compile("testdata/schemas/" + of.dir + "/" + name + "_response.json")
		if err != nil {
			t.Fatal(err)
		}
		*of.s = s
	}
	return lenient, strict
}

func validate(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return s.Validate(v)
}

// services are the cases that have caught writers of ADR-32 out.
func services() map[string]announcement {
	plain := announcement{V: 1, Name: "echo", ID: "x", Started: time.Now()}
	odd := greeter()
	odd.Version, odd.ID = "v1.0-latest", "host 1/a"
	many := greeter()
	for i := range 300 {
		many.Endpoints = append(many.Endpoints, Endpoint{
			Name: fmt.Sprintf("Some.Method_%d.x", i), Request: strings.Repeat("h", 20), Response: strings.Repeat("r", 20), Kind: KindBidi,
			Metadata: map[string]string{"note": strings.Repeat("n", 20)},
		})
	}
	chatty := greeter()
	chatty.Metadata = map[string]string{"text": strings.Repeat("<&>", 5000)}
	return map[string]announcement{"plain": plain, "usual": greeter(), "odd version and id": odd, "many endpoints": many, "much metadata": chatty}
}

func TestAnswersPassTheChecksOfNATSTools(t *testing.T) {
	for name, a := range services() {
		srv, err := newAnswers(&a, strings.Repeat("d", 1000), 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		stats := srv.stats([]EndpointStats{{
			Method: "Say.Hello", Requests: 3, Errors: 1, LastError: "a\nb", Processing: 10, Data: map[string]any{"p99": 1.5},
		}, {Method: "No.Such"}})
		for answer, data := range map[string][]byte{"ping": srv.ping, "info": srv.info, "stats": stats} {
			lenient, strict := schemas(t, answer)
			if err := validate(t, lenient, data); err != nil {
				t.Errorf("%s, %s, command line: %v\n%s", name, answer, err, data)
			}
			// A service without endpoints has none to check strictly.
			if err := validate(t, strict, data); err != nil {
				t.Errorf("%s, %s, strict: %v\n%s", name, answer, err, data)
			}
		}
		if len(srv.info) > maxInfo || len(srv.ping) > maxInfo || len(stats) > maxStats {
			t.Errorf("%s: INFO has %d bytes, PING %d, STATS %d", name, len(srv.info), len(srv.ping), len(stats))
		}
	}
}

// TestSchemasCatchWhatToolsRefuse is the control: what the tools are known to
// refuse, these schemas refuse.
func TestSchemasCatchWhatToolsRefuse(t *testing.T) {
	a := greeter()
	srv, err := newAnswers(&a, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	change := func(data []byte, old, with string) []byte {
		t.Helper()
		changed := bytes.Replace(data, []byte(old), []byte(with), 1)
		if bytes.Equal(changed, data) {
			t.Fatalf("%s is not in %s", old, data)
		}
		return changed
	}
	stats := srv.stats(nil)
	for name, c := range map[string]struct {
		answer  string
		data    []byte
		lenient bool // the command line refuses it too
	}{
		"dotted service":       {"info", change(srv.info, `"go_micro_srv_greeter"`, `"go.micro.srv.greeter"`), true},
		"dotted endpoint":      {"info", change(srv.info, `"Say_Hello"`, `"Say.Hello"`), true},
		"version latest":       {"ping", change(srv.ping, `"version":"1.2.3"`, `"version":"latest"`), true},
		"version with v":       {"ping", change(srv.ping, `"version":"1.2.3"`, `"version":"v1.0.0"`), true},
		"metadata number":      {"ping", change(srv.ping, `"mbus.v":"1"`, `"mbus.v":1`), true},
		"endpoints null":       {"info", []byte(`{"name":"a","id":"b","version":"1.0.0","metadata":{"a":"b"},"type":"` + typeInfo + `","description":"","endpoints":null}`), true},
		"no type":              {"ping", change(srv.ping, `"type"`, `"kind"`), true},
		"empty subject":        {"info", change(srv.info, `"mbus.rpc.go_micro_srv_greeter.Say.Hello"`, `""`), true},
		"last_error is object": {"stats", change(stats, `"last_error":""`, `"last_error":{}`), true},
		"average is a float":   {"stats", change(stats, `"average_processing_time":0`, `"average_processing_time":0.5`), true},
		"another key":          {"ping", change(srv.ping, `"type"`, `"rev":1,"type"`), false},
		"metadata empty":       {"ping", []byte(`{"name":"a","id":"b","version":"1.0.0","metadata":{},"type":"` + typePing + `"}`), false},
		"data is an object":    {"stats", change(stats, `"last_error":""`, `"last_error":"","data":{}`), false},
		"endpoint without map": {"info", change(srv.info, `"metadata":{"mbus.kind":"unary"`, `"metadata":null,"x":{"mbus.kind":"unary"`), false},
	} {
		lenient, strict := schemas(t, c.answer)
		if validate(t, strict, c.data) == nil {
			t.Errorf("%s: the strict schema accepts %s", name, c.data)
		}
		if got := validate(t, lenient, c.data) != nil; got != c.lenient {
			t.Errorf("%s: the command line's schema refuses it: %v, want %v", name, got, c.lenient)
		}
	}
}

func TestAnswersAreReadByTheGoClient(t *testing.T) {
	a := greeter()
	srv, err := newAnswers(&a, "Says hello.", 0)
	if err != nil {
		t.Fatal(err)
	}
	strictly := func(data []byte, v any) {
		t.Helper()
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			t.Errorf("%v in %s", err, data)
		}
	}
	var ping micro.Ping
	strictly(srv.ping, &ping)
	var info micro.Info
	strictly(srv.info, &info)
	var stats micro.Stats
	strictly(srv.stats([]EndpointStats{{Method: "Say.Hello", Requests: 4, Errors: 1, Processing: time.Second, Data: map[string]any{"p99": 2}}}), &stats)

	if ping.Name != "go_micro_srv_greeter" || ping.ID != "a1" || ping.Version != "1.2.3" || ping.Type != micro.PingResponseType {
		t.Errorf("ping %+v", ping)
	}
	want := map[string]string{"zone": "eu", "mbus.v": "1", "mbus.name": "go.micro.srv.greeter", "mbus.version": "1.2.3", "mbus.codecs": "json,msgpack", "mbus.state": "draining"}
	if diff := cmp.Diff(want, info.Metadata); diff != "" {
		t.Errorf("metadata -want +got\n%s", diff)
	}
	wantEndpoint := micro.EndpointInfo{
		Name: "Say_Hello", Subject: "mbus.rpc.go_micro_srv_greeter.Say.Hello", QueueGroup: "q",
		Metadata: map[string]string{"mbus.method": "Say.Hello", "mbus.kind": "unary", "mbus.request": "reqhash", "mbus.response": "reshash"},
	}
	if diff := cmp.Diff(wantEndpoint, info.Endpoints[0]); diff != "" {
		t.Errorf("endpoint -want +got\n%s", diff)
	}
	e := stats.Endpoints[0]
	if e.NumRequests != 4 || e.NumErrors != 1 || e.ProcessingTime != time.Second || e.AverageProcessingTime != 250*time.Millisecond || string(e.Data) != `"{\"p99\":2}"` {
		t.Errorf("stats %+v, data %s", e, e.Data)
	}
	if !stats.Started.Equal(a.Started) || len(stats.Endpoints) != 2 || stats.Endpoints[1].NumRequests != 0 {
		t.Errorf("stats %+v", stats)
	}
}

func TestAnInfoThatIsTooLongSaysWhatIsMissing(t *testing.T) {
	for name, want := range map[string]string{"usual": "", "much metadata": "metadata", "many endpoints": "metadata,hashes,endpoints"} {
		a := services()[name]
		srv, err := newAnswers(&a, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		var info micro.Info
		if err := json.Unmarshal(srv.info, &info); err != nil {
			t.Fatal(err)
		}
		if got := info.Metadata[metaLeftOut]; got != want {
			t.Errorf("%s: %s = %q, want %q", name, metaLeftOut, got, want)
		}
		if info.Metadata[metaName] != a.Name || info.Metadata[metaV] != "1" || len(info.Endpoints) == 0 {
			t.Errorf("%s: the names are gone: %+v", name, info)
		}
	}
}

func TestReaderIsLenient(t *testing.T) {
	const id = `"type":"io.nats.micro.v1.info_response","name":"my_svc","id":"i.1","version":"1.0.0"`
	for name, c := range map[string]struct {
		data string
		want Instance
	}{
		"minimal": {`{"type":"io.nats.micro.v1.ping_response","name":"a","id":"b"}`, Instance{Service: "a", ID: "b", Foreign: true}},
		"nulls":   {`{` + id + `,"metadata":null,"endpoints":null,"description":null}`, Instance{Service: "my_svc", ID: "i.1", Version: "1.0.0", Foreign: true}},
		"numbers in metadata": {
			`{` + id + `,"metadata":{"a":1,"b":null,"c":[true]}}`,
			Instance{Service: "my_svc", ID: "i.1", Version: "1.0.0", Foreign: true, Metadata: map[string]string{"a": "1", "b": "", "c": "[true]"}},
		},
		"metadata is an array": {`{` + id + `,"metadata":["x"]}`, Instance{Service: "my_svc", ID: "i.1", Version: "1.0.0", Foreign: true}},
		"old keys":             {`{"type":"io.nats.micro.v1.info_response","name":"my_svc","id":"i.1","version":2,"subjects":["a.b"],"api_url":"x"}`, Instance{Service: "my_svc", ID: "i.1", Version: "2", Foreign: true}},
		"endpoints": {
			`{` + id + `,"endpoints":[{"name":"add","subject":"svc.add","queue_group":null,"metadata":null},{"name":"","subject":"x"},7,{"name":"bad","subject":"a b"}]}`,
			Instance{Service: "my_svc", ID: "i.1", Version: "1.0.0", Foreign: true, Endpoints: []Endpoint{{Name: "add", Subject: "svc.add"}}},
		},
	} {
		got, err := readSrv([]byte(c.data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	const ping = `{"type":"io.nats.micro.v1.ping_response",`
	for name, data := range map[string]string{
		"no type": `{"name":"a","id":"b"}`, "no name": ping + `"id":"b"}`, "no id": ping + `"name":"a"}`, "dotted name": ping + `"name":"a.b","id":"c"}`,
		"wildcard id": ping + `"name":"a","id":"*"}`, "not JSON": `name: a`, "name of another": ping + `"name":"a","id":"b","metadata":{"mbus.v":"1","mbus.name":"c"}}`,
		"large": ping + `"name":"a","id":"b","x":"` + strings.Repeat("x", maxSrvReply) + `"}`,
	} {
		if i, err := readSrv([]byte(data)); err == nil {
			t.Errorf("%s: accepted as %+v", name, i)
		}
	}
}

func TestWhatWeAnswerWeRead(t *testing.T) {
	a := greeter()
	a.ID, a.Version, a.State = "host 1", "latest", StateUp
	srv, err := newAnswers(&a, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readSrv(srv.info)
	if err != nil {
		t.Fatal(err)
	}
	want := a.instance()
	want.Server, want.Client, want.Rev, want.Interval, want.Started = "", 0, 0, 0, time.Time{} // INFO has no place for them
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-said +read\n%s", diff)
	}
	if subject, ok := got.CallSubject("Say.Hello"); !ok || subject != wire.CallSubject(a.Name, "Say.Hello") {
		t.Errorf("CallSubject = %q, %v", subject, ok)
	}
}

func BenchmarkStats(b *testing.B) {
	a := greeter()
	srv, err := newAnswers(&a, "", 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		srv.stats(nil)
	}
}
