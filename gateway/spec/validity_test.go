package spec_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway/spec"
)

// validators is the folder of the independent readers, which npm fills.
func validators(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../.ci/validators")
	if err != nil {
		t.Fatal(err)
	}
	_, missing := os.Stat(filepath.Join(dir, "node_modules"))
	if _, err := exec.LookPath("node"); err != nil || missing != nil {
		const why = "the validators are missing: npm ci --prefix .ci/validators --ignore-scripts"
		if os.Getenv("MBUS_CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return dir
}

// documents are both documents of a bus: an empty one, and one with everything on
// it.
func documents(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	take := func(t *testing.T, s *spec.Spec, what string) {
		t.Helper()
		for _, name := range []string{"openapi", "asyncapi"} {
			all[what+" "+name] = get(t, s, "http://localhost:8080/"+name+".json?debug=1").body
		}
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) { take(t, describe(t, b, spec.Config{}), "empty") })
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		shop(t, conn, "go.micro.api.shop")
		shop(t, conn, "other")
		value := &discovery.Value{Name: "Req", Type: "Req", Values: []discovery.Value{{Name: "name", Type: "string"}, {Name: "list", Type: "[]int64"}, {Name: "odd", Type: "map[string]any"}}}
		announce(t, conn, "app", []discovery.Endpoint{
			{Name: "Say.Hello", RequestValue: value, ResponseValue: value},
			{Name: "On.Event", RequestValue: value, Metadata: map[string]string{"topic": "user.created", "subscriber": "true"}},
			{Name: "Odd", Metadata: map[string]string{"path": "/{a}/{b...},/x y", "topic": "{a} b", "subscriber": "true"}},
		})
		take(t, describe(t, b, spec.Config{Auth: true}), "full")
	})
	return all
}

func TestTheDocumentsAreValidToIndependentReaders(t *testing.T) {
	dir := validators(t)
	for name, body := range documents(t) {
		t.Run(name, func(t *testing.T) {
			if said := validate(t, dir, body); said != "" {
				t.Errorf("%s\n%s", said, body)
			}
		})
	}
	// That they can find something.
	for name, body := range map[string][]byte{
		"broken openapi":  []byte(`{"openapi":"3.1.0","info":{"title":"x","version":"1"},"paths":{"/x":{"get":{"responses":{"200":{}}}}}}`),
		"broken asyncapi": []byte(`{"asyncapi":"3.0.0","info":{"title":"x","version":"1"},"channels":{"a":{"address":5}}}`),
	} {
		t.Run(name, func(t *testing.T) {
			if validate(t, dir, body) == "" {
				t.Error("a broken document is valid")
			}
		})
	}
}

// validate returns what a reader says against a document, "" if nothing.
func validate(t *testing.T, dir string, body []byte) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "asyncapi.mjs")
	if bytes.Contains(body, []byte(`"openapi"`)) {
		file := filepath.Join(t.TempDir(), "openapi.json")
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd = exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", "redocly"), "lint", "--config", "redocly.yaml", "--format", "stylish", file)
	}
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(body)
	cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1", "CI=true")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	openAPI := cmd.Args[0] != "node"
	if openAPI && err == nil {
		return ""
	}
	return out.String()
}
