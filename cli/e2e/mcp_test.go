//go:build unix

package e2e_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// TestAModelCallsAServiceThroughStandardInputAndOutput runs the command as a
// client of the Model Context Protocol does, with the official library.
func TestAModelCallsAServiceThroughStandardInputAndOutput(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral", "--no-jetstream", "--demo")
	cmd := exec.Command(mbus.path(), "mcp", "--allow", "go.micro.srv.*/Say.*")
	cmd.Env = append(bareEnvironment(t), b.environment()...)
	session, err := sdk.NewClient(&sdk.Implementation{Name: "e2e", Version: "1"}, nil).
		Connect(t.Context(), &sdk.CommandTransport{Command: cmd, TerminateDuration: 5 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Tools) != 1 || list.Tools[0].Title != "go.micro.srv.greeter Say.Hello" {
		t.Fatalf("the tools are %+v, want Say.Hello alone", list.Tools)
	}
	res, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: list.Tools[0].Name, Arguments: map[string]any{"name": "John"}})
	if err != nil || res.IsError || !strings.Contains(res.Content[0].(*sdk.TextContent).Text, "Hello John") {
		t.Errorf("got %+v, %v", res, err)
	}
	if err := session.Close(); err != nil {
		t.Errorf("the command did not end well when its client left: %v", err)
	}
	if got := run(t, b.mbus("mcp", "--allow", "a/b/c")); got.code != 2 || !strings.Contains(got.stderr, "--allow") {
		t.Errorf("a pattern that is none: exit code %d, %s", got.code, got.stderr)
	}
}
