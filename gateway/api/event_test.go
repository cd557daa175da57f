package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/api"
)

// listen hears all events whose topics begin with go.
func (h *house) listen(t testing.TB) *nats.Subscription {
	t.Helper()
	sub, err := h.conn.NATS().SubscribeSync("go.>")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := h.conn.NATS().FlushWithContext(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return sub
}

// next is the next event as fields, nil if there is none.
func next(t testing.TB, h *house, sub *nats.Subscription) (topic string, fields map[string]any) {
	t.Helper()
	if err := h.conn.NATS().FlushWithContext(bustest.Context(t)); err != nil { // what was published is here after this
		t.Fatal(err)
	}
	if n, _, err := sub.Pending(); err != nil || n == 0 {
		return "", nil
	}
	m, err := sub.NextMsgWithContext(bustest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(m.Data)))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		t.Fatalf("%s: %v", m.Data, err)
	}
	return m.Subject, fields
}

func TestRequestsBecomeEvents(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{Handler: "event"})
		sub := h.listen(t)
		for _, c := range []struct {
			method, target, kind, body string
			status                     int
			topic, name, data          string
		}{
			{"POST", "/foo/bar", "application/json", `{"big":9007199254740993}`, 200, "go.micro.api.foo", "bar", `{"big":9007199254740993}`},
			{"POST", "/foo", "text/plain", `x`, 200, "go.micro.api.foo", "", `x`},
			{"PUT", "/foo/bar/baz", "", `x`, 200, "go.micro.api.foo", "bar.baz", `x`},
			{"POST", "/v1/foo/bar", "", `x`, 200, "go.micro.api.v1.foo", "foo.bar", `x`},
			{"GET", "/foo/bar?a=1&a=2&b=3", "", ``, 200, "go.micro.api.foo", "bar", `{"a":["1","2"],"b":["3"]}`},
			{"POST", "/foo", "", "\xff", 415, "", "", ""},
			{"POST", "/foo", "", strings.Repeat("x", 1<<20+1), 413, "", "", ""},
			{"POST", "/*/bar", "", "x", 400, "", "", ""},
			{"POST", "/%3e/bar", "", "x", 400, "", "", ""},
			{"POST", "/a%20b", "", "x", 400, "", "", ""},
		} {
			var header []string
			if c.kind != "" {
				header = []string{"Content-Type", c.kind}
			}
			got := h.do(t, c.method, c.target, c.body, append(header, "X-Own", "1", "Mbus-From", "evil")...)
			what := c.method + " " + c.target
			got.want(t, what, c.status, "", 0)
			topic, e := next(t, h, sub)
			if c.status != 200 {
				if e != nil {
					t.Errorf("%s: got the event %v", what, e)
				}
				continue
			}
			if got.body != "" || topic != c.topic || e["name"] != c.name || e["data"] != c.data {
				t.Errorf("%s: got %s %v", what, topic, e)
			}
			id, _ := e["id"].(string)
			at, _ := e["timestamp"].(json.Number)
			header2, _ := e["header"].(map[string]any)
			if !strings.HasPrefix(id, c.topic+"-"+c.name+"-") || at == "" || header2["X-Own"] == nil || header2["Mbus-From"] != nil {
				t.Errorf("%s: got %v", what, e)
			}
		}
	})
}

func TestReservedTopicsAreRefused(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{Handler: "event", Namespace: "mbus"})
		h.do(t, "POST", "/rpc2/x", "x").want(t, "mbus", 400, "mbus", 0)
		h = open(t, b, api.Config{Handler: "cloudevents", Namespace: "mbus.rpc"})
		h.do(t, "POST", "/x", "x").want(t, "mbus.rpc", 400, "mbus", 0)
	})
}

func TestAnEndpointMayAskForEvents(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		sub := h.listen(t)
		h.routed(t, "go.micro.srv.sink", map[string]map[string]string{
			"Sink.Event": {"path": "/hook/{id}", "method": "POST", "handler": "event"},
		})
		h.do(t, "POST", "/hook/5", "x").want(t, "the event", 200, "", 0)
		if topic, e := next(t, h, sub); topic != "go.micro.api.hook" || e["name"] != "5" {
			t.Errorf("got %s %v", topic, e)
		}
	})
}

func TestRequestsBecomeCloudEvents(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{Handler: "cloudevents"})
		sub := h.listen(t)
		const structured = "application/cloudevents+json"
		v1 := []string{"Ce-Specversion", "1.0", "Ce-Id", "7", "Ce-Source", "/test", "Ce-Type", "made"}
		for _, c := range []struct {
			name, kind, body string
			header           []string
			status           int
			want             map[string]any
		}{
			{
				"1.0, structured", structured, `{"specversion":"1.0","id":"7","source":"/test","type":"made","data":{"n":9007199254740993},"own":"x"}`, nil, 200,
				map[string]any{"specversion": "1.0", "id": "7", "own": "x", "data": map[string]any{"n": json.Number("9007199254740993")}},
			},
			{
				"1.0, binary JSON", "application/json", `{"n":9007199254740993}`, append(v1, "Ce-Own", "a%20b"), 200,
				map[string]any{"specversion": "1.0", "id": "7", "type": "made", "own": "a b", "datacontenttype": "application/json", "data": map[string]any{"n": json.Number("9007199254740993")}},
			},
			{"1.0, binary text", "text/plain", `hello`, v1, 200, map[string]any{"data": "hello", "datacontenttype": "text/plain"}},
			{"1.0, binary bytes", "image/png", "\xff\xfe", v1, 200, map[string]any{"data_base64": "//4=", "datacontenttype": "image/png", "data": nil}},
			{"1.0, no data", "", "", v1, 200, map[string]any{"specversion": "1.0", "data": nil}},
			{
				"0.1, structured", structured, `{"cloudEventsVersion":"0.1","eventID":"7","source":"/test","eventType":"made","data":1}`, nil, 200,
				map[string]any{"cloudEventsVersion": "0.1", "eventID": "7", "data": json.Number("1")},
			},
			{
				"0.1, binary", "application/json", `{}`,
				[]string{"Ce-Eventtype", "made", "Ce-Eventid", "7", "Ce-Source", "/test", "Ce-X-Own", "1"},
				200,
				map[string]any{"cloudEventsVersion": "0.1", "eventType": "made", "eventID": "7", "source": "/test", "extensions": map[string]any{"Own": "1"}, "contentType": "application/json"},
			},
			{"the older header", "application/json", `{}`, []string{"Event", "made"}, 200, map[string]any{"eventType": "made", "cloudEventsVersion": "0.1"}},
			{"a request", "application/json", `{"a":1}`, nil, 200, map[string]any{"eventType": "http.request", "eventTypeVersion": "1.0", "source": "example.com/foo/bar", "data": map[string]any{"a": json.Number("1")}}},
			{"a request with text", "text/plain", `hello`, nil, 200, map[string]any{"data": "hello", "contentType": "text/plain"}},
			{"no id", structured, `{"specversion":"1.0","source":"/test","type":"made"}`, nil, 400, nil},
			{"another version", structured, `{"specversion":"2.0","id":"7","source":"/test","type":"made"}`, nil, 400, nil},
			{"two data", structured, `{"specversion":"1.0","id":"7","source":"/t","type":"m","data":1,"data_base64":"eA=="}`, nil, 400, nil},
			{"no object", structured, `[]`, nil, 400, nil},
			{"broken JSON", structured, `{`, nil, 400, nil},
			{"binary without a source", "", "x", []string{"Ce-Specversion", "1.0", "Ce-Id", "7", "Ce-Type", "made"}, 400, nil},
			{"binary, an attribute twice", "", "x", append(v1, "Ce-Id", "8"), 400, nil},
			{"binary, data as an attribute", "", "x", append(v1, "Ce-Data", "8"), 400, nil},
			{"a batch", "application/cloudevents-batch+json", `[]`, nil, 415, nil},
			{"too much", structured, strings.Repeat("x", 1<<20+1), nil, 413, nil},
		} {
			header := c.header[:len(c.header):len(c.header)]
			if c.kind != "" {
				header = append(header, "Content-Type", c.kind)
			}
			got := h.do(t, "POST", "/foo/bar", c.body, header...)
			got.want(t, c.name, c.status, "", 0)
			topic, e := next(t, h, sub)
			if (e != nil) != (c.status == 200) || e != nil && topic != "go.micro.api.foo" {
				t.Errorf("%s: got %s %v", c.name, topic, e)
			}
			for field, want := range c.want {
				if !same(t, e[field], want) {
					t.Errorf("%s: got %s %v, want %v", c.name, field, e[field], want)
				}
			}
		}
	})
}

func same(t testing.TB, a, b any) bool { return string(mustJSON(t, a)) == string(mustJSON(t, b)) }
