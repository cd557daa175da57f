package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// A Numbers is what a JSON number can be.
type Numbers struct {
	ID    int64    `json:"id"`
	Big   uint64   `json:"big"`
	Ratio float64  `json:"ratio"`
	On    bool     `json:"on"`
	Tags  []string `json:"tags"`
	Text  string   `json:"text"`
}

// numbers adds a service that gives back what it gets: Num.Echo is safe.
func (h *house) numbers(t testing.TB, name string) {
	t.Helper()
	s := h.server(name)
	echo := func(_ context.Context, r *Numbers) (*Numbers, error) { return r, nil }
	rpc.Handle(s, "Num.Echo", echo, rpc.Note("safe", "true"))
	rpc.Handle(s, "Num.Put", echo)
	rpc.Handle(s, "Num.Never", echo, rpc.Note("safe", "false"))
	h.serve(t, s)
}

const echoed = `{"id":9007199254740993,"big":18446744073709551615,"ratio":0.1,"on":true,"tags":["a","b"],"text":"5"}`

func TestAGetCallsWhatIsSafeWithTheTypesOfItsFields(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{Namespace: "go.micro.srv"})
		h.numbers(t, "go.micro.srv.num")
		const query = "?id=9007199254740993&big=18446744073709551615&ratio=0.1&on=true&tags=a&tags=b&text=5"
		for _, c := range []struct {
			method, target string
			status         int
			body           string
			calls          int
		}{
			{"GET", "/go.micro.srv.num/Num.Echo" + query, 200, echoed, 1},
			{"GET", "/num/echo" + query, 200, echoed, 1},
			{"GET", "/num/num/echo" + query, 200, echoed, 1},
			{"HEAD", "/num/echo" + query, 200, "", 1},
			{"GET", "/num/put?id=5", 200, `"id":5`, 1},
			{"GET", "/num/never?id=5", 405, "not declared safe", 0},
			{"POST", "/num/never?id=5", 200, `"id":5`, 1},
			{"DELETE", "/num/never?id=5", 200, `"id":5`, 1},
			{"GET", "/num/echo?id=5.5", 400, `\"id\"`, 0},
			{"GET", "/num/echo?id=99999999999999999999", 400, `no int64`, 0},
			{"GET", "/num/echo?text=%zz", 400, "query", 0},
		} {
			h.do(t, c.method, c.target, "").want(t, c.method+" "+c.target, c.status, c.body, c.calls)
		}
	})
}

func TestBigIntegersKeepTheirDigitsOnEveryWay(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{Namespace: "go.micro.srv"})
		h.numbers(t, "go.micro.srv.num")
		const big = `{"id":-9223372036854775808,"big":18446744073709551615}`
		const want = `"id":-9223372036854775808,"big":18446744073709551615`
		for _, c := range []struct{ target, kind, body string }{
			{"/go.micro.srv.num/Num.Put", "application/json", big},
			{"/num/put", "application/x-www-form-urlencoded", "id=-9223372036854775808&big=18446744073709551615"},
			{"/rpc", "application/json", `{"service":"go.micro.srv.num","method":"Num.Put","request":` + big + `}`},
			{"/rpc", "application/x-www-form-urlencoded", "service=go.micro.srv.num&method=Num.Put&request=" + big},
		} {
			for range 2 { // the second call is a frame
				h.do(t, "POST", c.target, c.body, "Content-Type", c.kind).want(t, c.target+" "+c.kind, 200, want, 1)
			}
		}
		packed, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(big))
		if err != nil {
			t.Fatal(err)
		}
		got := h.do(t, "POST", "/num/put", string(packed), "Content-Type", "application/msgpack", "Accept", "application/json")
		got.want(t, "msgpack in, JSON out", 200, want, 1)
	})
}

func TestTheAnswerIsInTheCodecThatTheClientLikes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.greet(t)
		s := h.server("go.micro.srv.proto")
		rpc.Handle(s, "Proto.Echo", func(_ context.Context, r *wrapperspb.StringValue) (*wrapperspb.StringValue, error) { return r, nil })
		h.serve(t, s)
		msgpack := string(mustTranscode(t, `{"name":"John"}`))
		said := string(mustTranscode(t, `{"msg":"Hello John"}`))
		pb, err := proto.Marshal(wrapperspb.String("x"))
		if err != nil {
			t.Fatal(err)
		}
		const echo = "/go.micro.srv.proto/Proto.Echo"
		for _, c := range []struct {
			target, kind, accept, body string
			status                     int
			want, got                  string
			calls                      int
		}{
			{direct, "application/json", "", `{"name":"John"}`, 200, "application/json", `{"msg":"Hello John"}`, 1},
			{direct, "application/json; charset=utf-8", "*/*", `{"name":"John"}`, 200, "application/json", `{"msg":"Hello John"}`, 1},
			{direct, "", "*/*", `{"name":"John"}`, 200, "application/json", `{"msg":"Hello John"}`, 1},
			{direct, "application/json", "application/msgpack", `{"name":"John"}`, 200, "application/msgpack", said, 1},
			{direct, "application/json", "application/json;q=0.5, application/msgpack", `{"name":"John"}`, 200, "application/msgpack", said, 1},
			{direct, "application/json", "application/json, application/msgpack", `{"name":"John"}`, 200, "application/json", `Hello`, 1},
			{direct, "application/msgpack", "", msgpack, 200, "application/msgpack", said, 1},
			{direct, "application/x-msgpack", "*/*", msgpack, 200, "application/msgpack", said, 1},
			{direct, "application/msgpack", "application/json", msgpack, 200, "application/json", `{"msg":"Hello John"}`, 1},
			{direct, "application/json", "text/html,application/xhtml+xml,*/*;q=0.8", `{"name":"John"}`, 200, "application/json", `Hello`, 1},
			{direct, "application/json", "text/html", `{"name":"John"}`, 406, "application/json", "accepts none", 0},
			{direct, "application/json", "application/protobuf", `{"name":"John"}`, 406, "application/json", "accepts none", 0},
			{direct, "application/json", "application/json;q=0", `{"name":"John"}`, 406, "application/json", "accepts none", 0},
			{direct, "application/json", "image/*", `{"name":"John"}`, 406, "application/json", "accepts none", 0},
			{direct, "application/msgpack", "", "\xc1", 400, "application/json", "msgpack", 0},
			{direct, "application/msgpack", "", msgpack[:4], 400, "application/json", "", 0},
			{echo, "application/protobuf", "", string(pb), 200, "application/protobuf", string(pb), 1},
			{echo, "application/x-protobuf", "application/*", string(pb), 200, "application/protobuf", string(pb), 1},
			{echo, "", "application/protobuf", "", 200, "application/protobuf", "", 1},
			{echo, "application/json", "", `"x"`, 200, "application/json", `"x"`, 1},
		} {
			what := c.kind + " to " + c.accept
			var header []string
			if c.kind != "" {
				header = append(header, "Content-Type", c.kind)
			}
			if c.accept != "" {
				header = append(header, "Accept", c.accept)
			}
			got := h.do(t, "POST", c.target, c.body, header...)
			got.want(t, what, c.status, c.got, c.calls)
			if kind := got.header.Get("Content-Type"); kind != c.want {
				t.Errorf("%s: got the type %q, want %q", what, kind, c.want)
			}
		}
	})
}

func mustTranscode(t testing.TB, text string) []byte {
	t.Helper()
	out, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnAnswerThatTheClientHasIsNotSentAgain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.lab(t)
		const read = "/go.micro.srv.lab/Lab.Read"
		got := h.do(t, "GET", read, "")
		got.want(t, "first", 200, "read", 1)
		tag := got.header.Get("ETag")
		if tag == "" || got.header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("got the headers %v", got.header)
		}
		for known, status := range map[string]int{tag: 304, `"x", ` + tag: 304, "W/" + tag: 304, "*": 304, `"x"`: 200} {
			got := h.do(t, "GET", read, "", "If-None-Match", known)
			got.want(t, known, status, "", 1)
			if (got.body == "") != (status == 304) {
				t.Errorf("%s: got the body %q", known, got.body)
			}
		}
		head := h.do(t, "HEAD", read, "")
		if head.body != "" || head.header.Get("ETag") != tag || head.header.Get("Content-Length") != "14" {
			t.Errorf("HEAD: got %q, %v", head.body, head.header)
		}
		got = h.do(t, "POST", read, "{}", "Content-Type", "application/json")
		if got.header.Get("ETag") != "" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("POST: got the headers %v", got.header)
		}
	})
}

func TestBodiesMayBePacked(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.greet(t)
		long := strings.Repeat("long words ", 1000)
		for _, c := range []struct {
			name, encoding string
			body           []byte
			status         int
			detail         string
			calls          int
		}{
			{"small", "gzip", zip(t, `{"name":"John"}`), 200, "Hello John", 1},
			{"eleven times smaller than 16 KiB", "GZIP", zip(t, `{"name":"`+long+`"}`), 200, "long words", 1},
			{"a bomb", "gzip", zip(t, `{"name":"`+strings.Repeat("x", 900<<10)+`"}`), 413, "times its size", 0},
			{"a bomb over the limit", "gzip", zip(t, strings.Repeat("x", 4<<20)), 413, "", 0},

			{"over the limit without being a bomb", "gzip", zip(t, `{"name":"`+noise(3<<19)+`"}`), 413, "1048576", 0},
			{"not packed at all", "gzip", []byte(`{"name":"John"}`), 400, "did not come whole", 0},
			{"cut off", "gzip", zip(t, `{"name":"John"}`)[:20], 400, "did not come whole", 0},
			{"another packer", "br", []byte("x"), 415, "encoding", 0},
			{"two packers", "gzip, gzip", zip(t, "{}"), 415, "encoding", 0},
			{"none", "identity", []byte(`{"name":"John"}`), 200, "Hello John", 1},
		} {
			got := h.do(t, "POST", direct, string(c.body), "Content-Type", "application/json", "Content-Encoding", c.encoding)
			got.want(t, c.name, c.status, c.detail, c.calls)
		}
		body := `{"name":"` + long + `"}`
		plain := h.do(t, "POST", direct, body, "Content-Type", "application/json")
		for accept, packed := range map[string]bool{"gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "br": false, "": false} {
			got := h.do(t, "POST", direct, body, "Content-Type", "application/json", "Accept-Encoding", accept)
			if (got.header.Get("Content-Encoding") == "gzip") != packed || !strings.Contains(got.header.Get("Vary"), "Accept") {
				t.Errorf("%q: got the headers %v", accept, got.header)
			}
			if packed {
				got.body = unzip(t, got.body)
			}
			if got.body != plain.body {
				t.Errorf("%q: got another body", accept)
			}
		}
		got := h.do(t, "POST", direct, `{"name":"John"}`, "Content-Type", "application/json", "Accept-Encoding", "gzip")
		if got.header.Get("Content-Encoding") != "" {
			t.Error("a small answer is packed")
		}
	})
}

// noise is text that packs to little less.
func noise(size int) string {
	text := make([]byte, size)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < size; i++ {
		text[i] = "0123456789abcdef"[r.IntN(16)]
	}
	return string(text)
}

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func unzip(t testing.TB, text string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestHeadersBecomeMetadataAndMetadataHeaders(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		s := h.server("go.micro.srv.meta")
		s.HandleRaw("Meta.Echo", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			body, err := json.Marshal(r.Meta)
			return &rpc.Response{Codec: codec.JSON, Body: body, Meta: rpc.Metadata{
				"X-Own": "yes", "Location": "/there", "Set-Cookie": "a=b", "Connection": "close", "Content-Length": "1",
				"Access-Control-Allow-Origin": "*", "X-Request-Id": "forged", "Content-Encoding": "br", "X-Mbus-Secret": "1",
				"Cache-Control": "max-age=5", "Strict-Transport-Security": "max-age=0",
			}}, err
		})
		h.serve(t, s)
		got := h.do(t, "POST", "/go.micro.srv.meta/Meta.Echo", "{}", "Content-Type", "application/json",
			"X-Tenant", "a", "X-Tenant", "b", "Cookie", "secret=1", "Authorization", "Bearer x", "Mbus-From", "evil", "Nats-Msg-Id", "1",
			"X-Hop", "1", "Connection", "X-Hop", "X-Node", "", "Request-Timeout", "5")
		got.want(t, "metadata", 200, `"X-Tenant":"a, b"`, 1)
		for _, secret := range []string{"secret", "Bearer", "evil", "Nats-", "X-Hop", "Request-Timeout", "X-Node"} {
			if strings.Contains(got.body, secret) {
				t.Errorf("%s has reached the service: %s", secret, got.body)
			}
		}
		for name, want := range map[string]string{
			"X-Own": "yes", "Location": "/there", "Set-Cookie": "", "Connection": "", "Access-Control-Allow-Origin": "", "X-Request-Id": "",
			"Content-Encoding": "", "X-Mbus-Secret": "", "Cache-Control": "max-age=5", "Strict-Transport-Security": "", "X-Content-Type-Options": "nosniff",
		} {
			if v := got.header.Get(name); v != want {
				t.Errorf("got %s %q, want %q", name, v, want)
			}
		}
	})
}

func TestARequestCanNameItsInstance(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		var ids []string
		for range 2 {
			s := h.server(greeter)
			id := s.ID()
			rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) { return &HelloResponse{Msg: id}, nil })
			h.serve(t, s)
			ids = append(ids, id)
		}
		bustest.Eventually(t, 5*time.Second, "both are known", func() bool { return len(h.gate.View().Instances(greeter)) == 2 })
		for _, id := range ids {
			for _, node := range []string{id, greeter + "-" + id, "mbus.node.go_micro_srv_greeter." + id} {
				for range 3 {
					h.do(t, "POST", direct, "{}", "Content-Type", "application/json", api.HeaderNode, node).want(t, node, 200, id, 1)
				}
				body := `{"service":"go.micro.srv.greeter","method":"Say.Hello","request":{},"address":"` + node + `"}`
				h.do(t, "POST", "/rpc", body, "Content-Type", "application/json").want(t, "/rpc "+node, 200, id, 1)
			}
		}
		h.do(t, "POST", direct, "{}", "Content-Type", "application/json", api.HeaderNode, "nobody").want(t, "an unknown one", 404, "no instance nobody", 0)
		h.do(t, "POST", direct, "{}", "Content-Type", "application/json", api.HeaderNode, "a.*").want(t, "an illegal one", 404, "", 0)
	})
}

func TestRPCIsAsMicroHadIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.greet(t)
		const form = "application/x-www-form-urlencoded"
		for _, c := range []struct {
			method, kind, body string
			status             int
			id, want           string
			calls              int
		}{
			{"GET", "", "", 405, "", "Method not allowed", 0},
			{"PUT", "application/json", "{}", 405, "", "Method not allowed", 0},
			{"POST", "application/json", `{"method":"Say.Hello"}`, 400, "go.micro.rpc", "invalid service", 0},
			{"POST", "application/json", `{"service":"go.micro.srv.greeter"}`, 400, "go.micro.rpc", "invalid method", 0},
			{"POST", form, "service=go.micro.srv.greeter&method=Say.Hello", 400, "go.micro.rpc", "error decoding request string: EOF", 0},
			{"POST", form, "service=go.micro.srv.greeter&method=Say.Hello&request=%7B", 400, "go.micro.rpc", "error decoding request string: ", 0},
			{"POST", "application/json", `{"service":"go.micro.srv.greeter","method":"Say.Hello"}`, 200, "", `{"msg":"Hello "}`, 1},
			{"POST", form, ` {"service":"go.micro.srv.greeter","method":"Say.Hello","request":{"name":"John"}}`, 200, "", `{"msg":"Hello John"}`, 1},
			{"POST", "", `{"service":"go.micro.srv.greeter","method":"Say.Hello","request":{"name":"John"}}`, 200, "", `{"msg":"Hello John"}`, 1},
			{"POST", "application/json", `{"service":"go.micro.srv.greeter","method":"Say.Hello","request":"{"}`, 400, "go.micro.rpc", "error decoding request string: ", 0},
			{"POST", "application/json", `nonsense`, 400, "go.micro.rpc", "", 0},
			{"POST", "application/json", `{"service":"go.micro.srv.none","method":"Say.Hello"}`, 404, "go.micro.srv.none.Say.Hello", "no service", 0},
			{"POST", "application/json", strings.Repeat(" ", 2<<20), 413, "go.micro.rpc", "", 0},
		} {
			got := h.do(t, c.method, "/rpc", c.body, "Content-Type", c.kind)
			what := c.method + " " + c.kind + " " + c.body[:min(len(c.body), 60)]
			got.want(t, what, c.status, c.want, c.calls)
			if c.id != "" && got.failure(t).ID != c.id {
				t.Errorf("%s: got the id %q, want %q", what, got.failure(t).ID, c.id)
			}
		}
	})
}

func TestTheAPIServesOverRealConnections(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{Namespace: "go.micro.srv"})
	h.greet(t)
	web := httptest.NewServer(h.api)
	defer web.Close()
	res, err := web.Client().Get(web.URL + "/greeter/say/hello?name=John")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != `{"msg":"Hello John"}` {
		t.Errorf("got %s, %v", body, err)
	}
}
