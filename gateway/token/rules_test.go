package token_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway/token"
)

const rulesFile = `{"rules": [
	{"services": ["go.micro.srv.greeter"], "methods": ["Say.*"], "public": true},
	{"services": ["go.micro.srv.*"], "scopes": ["services"]},
	{"services": ["go.micro.srv.shop"], "methods": ["Cart.Get"]},
	{"services": ["*.admin"], "scopes": ["admin", "services"]},
	{"topics": ["user.>"], "scopes": ["events"]},
	{"publish": ["log.*.line"]},
	{"subscribe": ["news", "news.*"], "public": true}
]}`

func TestRules(t *testing.T) {
	rules, err := token.ParseRules([]byte(rulesFile))
	if err != nil {
		t.Fatal(err)
	}
	nobody, somebody := (*token.Caller)(nil), &token.Caller{Subject: "john"}
	has := func(scopes ...string) *token.Caller { return &token.Caller{Subject: "john", Scopes: scopes} }
	const ok = bus.Code(0)
	tests := []struct {
		what, name string
		caller     *token.Caller
		want       bus.Code
	}{
		{"call", "go.micro.srv.greeter Say.Hello", nobody, ok},
		{"call", "go.micro.srv.greeter Say.Hello", somebody, ok},
		{"call", "go.micro.srv.greeter Debug.Stats", nobody, bus.Unauthenticated},
		{"call", "go.micro.srv.greeter Debug.Stats", somebody, bus.PermissionDenied},
		{"call", "go.micro.srv.greeter Debug.Stats", has("services"), ok},
		{"call", "go.micro.srv.greeterx Say.Hello", nobody, bus.Unauthenticated},
		{"call", "go.micro.srv.shop Cart.Get", somebody, ok},
		{"call", "go.micro.srv.shop Cart.Get", nobody, bus.Unauthenticated},
		{"call", "go.micro.srv.shop Cart.GetAll", somebody, bus.PermissionDenied},
		{"call", "go.micro.srv.shop cart.get", somebody, bus.PermissionDenied},
		{"call", "go.micro.srv Say.Hello", has("services"), bus.PermissionDenied},
		{"call", "go.micro.srv.a.b.c X.Y", has("services"), ok},
		{"call", "x.admin X.Y", has("admin"), bus.PermissionDenied},
		{"call", "x.admin X.Y", has("services"), bus.PermissionDenied},
		{"call", "x.admin X.Y", has("services", "admin"), ok},
		{"call", "x.admin.y X.Y", has("services", "admin"), bus.PermissionDenied},
		{"call", "mbus Registry.List", has("services", "admin", "events"), bus.PermissionDenied},
		{"publish", "user.created", has("events"), ok},
		{"publish", "user.a.b", has("events"), ok},
		{"publish", "user", has("events"), bus.PermissionDenied},
		{"publish", "user.created", somebody, bus.PermissionDenied},
		{"publish", "user.created", nobody, bus.Unauthenticated},
		{"publish", "log.x.line", somebody, ok},
		{"publish", "log.x.y.line", somebody, bus.PermissionDenied},
		{"publish", "news", somebody, bus.PermissionDenied},
		{"subscribe", "user.created", has("events"), ok},
		{"subscribe", "user.*", has("events"), ok},
		{"subscribe", "user.>", has("events"), ok},
		{"subscribe", "user.*.x", has("events"), ok},
		{"subscribe", "*.created", has("events"), bus.PermissionDenied},
		{"subscribe", ">", has("events"), bus.PermissionDenied},
		{"subscribe", "log.x.line", somebody, bus.PermissionDenied},
		{"subscribe", "news", nobody, ok},
		{"subscribe", "news.sport", nobody, ok},
		{"subscribe", "news.*", nobody, ok},
		{"subscribe", "news.>", nobody, bus.Unauthenticated},
		{"subscribe", "news.sport.football", nobody, bus.Unauthenticated},
	}
	for _, test := range tests {
		service, method, _ := strings.Cut(test.name, " ")
		var err error
		switch test.what {
		case "call":
			err = rules.MayCall(test.caller, service, method)
		case "publish":
			err = rules.MayPublish(test.caller, test.name)
		case "subscribe":
			err = rules.MaySubscribe(test.caller, test.name)
		}
		if test.want == ok && err != nil || test.want != ok && !errors.Is(err, test.want) {
			t.Errorf("%+v may %s %s: got %v, want %v", test.caller, test.what, test.name, err, test.want)
		}
		if err != nil && !errors.Is(err, bus.Refused) {
			t.Errorf("%s %s ends as %v", test.what, test.name, err)
		}
	}
	if err := (*token.Rules)(nil).MayCall(nobody, "a", "B.C"); err != nil {
		t.Errorf("without rules: %v", err)
	}
	if err := new(token.Rules).MayCall(has("a"), "a", "B.C"); !errors.Is(err, bus.PermissionDenied) {
		t.Errorf("with empty rules: %v", err)
	}
}

func TestRulesThatCannotBe(t *testing.T) {
	for _, test := range []struct{ file, want string }{
		{``, "EOF"},
		{`[]`, "cannot unmarshal"},
		{`{"rules": [{}]}`, "rule 1"},
		{`{"rules": [{"services": ["a"]}, {"methods": ["b"]}]}`, "rule 2"},
		{`{"rules": [{"topics": ["a"], "methods": ["b"]}]}`, "no services"},
		{`{"rules": [{"services": ["a"], "public": true, "scopes": ["b"]}]}`, "public"},
		{`{"rules": [{"services": [""]}]}`, "no name"},
		{`{"rules": [{"services": ["a b"]}]}`, "no name"},
		{`{"rules": [{"topics": ["a..b"]}]}`, "no pattern"},
		{`{"rules": [{"topics": ["a.>.b"]}]}`, "no pattern"},
		{`{"rules": [{"service": ["a"]}]}`, "unknown field"},
		{`{"rules": []} {}`, "closing brace"},
	} {
		if _, err := token.ParseRules([]byte(test.file)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.file, err, test.want)
		}
	}
	if _, err := token.ParseRules([]byte("\ufeff" + rulesFile)); err != nil {
		t.Errorf("with a byte order mark: %v", err)
	}
}

func FuzzRules(f *testing.F) {
	f.Add("user.>", "user.created.x")
	f.Add("a.*.c", "a.b.c")
	f.Add("*", "a")
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		rules, err := token.NewRules([]token.Rule{{Topics: []string{pattern}, Public: true}})
		if err != nil || strings.ContainsAny(topic, "*>") || strings.Contains("."+topic+".", "..") {
			return
		}
		// What may be subscribed to as a whole may be as a part.
		if rules.MaySubscribe(nil, pattern) != nil {
			t.Fatalf("%q does not cover itself", pattern)
		}
		if rules.MaySubscribe(nil, topic) != nil && pattern == ">" {
			t.Fatalf("%q is not covered by >", topic)
		}
	})
}
