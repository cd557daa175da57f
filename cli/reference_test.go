package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReferenceIsThatOfTheGrammar(t *testing.T) {
	file := filepath.Join("..", "docs", "cli.md")
	got := mbus(t, "__reference")
	if got.code != 0 {
		t.Fatalf("exit %d: %s", got.code, got.stderr)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.stdout), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.stdout); diff != "" {
		t.Errorf("docs/cli.md differs from the grammar; run \"make docs\" (-file +grammar):\n%s", diff)
	}
}
