package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

type vendored struct {
	Package   string
	Version   string
	Integrity string
	Licence   string
	Files     []struct{ Path, From, SHA256 string }
}

func readVendored(t *testing.T) []vendored {
	t.Helper()
	text, err := os.ReadFile("app/vendor/VENDOR.json")
	if err != nil {
		t.Fatal(err)
	}
	var packages []vendored
	if err := json.Unmarshal(text, &packages); err != nil {
		t.Fatal(err)
	}
	return packages
}

func TestVendoredFilesAreThoseOfTheirPackagesUnchanged(t *testing.T) {
	listed := map[string]bool{"VENDOR.json": true}
	for _, p := range readVendored(t) {
		if p.Version == "" || p.Licence == "" {
			t.Errorf("%s: no version or no licence", p.Package)
		}
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.Integrity, "sha512-")); err != nil || len(sum) != 64 {
			t.Errorf("%s: integrity %q is not that of a registry", p.Package, p.Integrity)
		}
		licence := false
		for _, f := range p.Files {
			listed[f.Path] = true
			licence = licence || path.Base(f.Path) == "LICENSE"
			text, err := os.ReadFile("app/vendor/" + f.Path)
			if err != nil {
				t.Error(err)
				continue
			}
			if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != f.SHA256 {
				t.Errorf("%s is not %s of %s %s", f.Path, f.From, p.Package, p.Version)
			}
		}
		if !licence {
			t.Errorf("%s has no LICENSE beside it", p.Package)
		}
	}
	err := fs.WalkDir(os.DirFS("app/vendor"), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !listed[name] {
			t.Errorf("%s is in no package of VENDOR.json", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A module is served as it is, so that an import by a bare name would ask for a
// file that nobody serves, and one of another origin is against the policy.
func TestEveryImportOfTheAppIsAFileOfTheApp(t *testing.T) {
	imports := regexp.MustCompile(`(?:^|[;\s}])(?:import|from)\s*\(?\s*["']([\w@./-]+)["']`)
	app := os.DirFS("app")
	seen := 0
	err := fs.WalkDir(app, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !(strings.HasSuffix(name, ".js") || strings.HasSuffix(name, ".mjs")) {
			return err
		}
		text, err := fs.ReadFile(app, name)
		if err != nil {
			return err
		}
		for _, m := range imports.FindAllStringSubmatch(string(text), -1) {
			seen++
			if !strings.HasPrefix(m[1], ".") {
				t.Errorf("%s imports %q, which is no relative path", name, m[1])
				continue
			}
			if _, err := fs.Stat(app, path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s imports %q, which is not there", name, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("only %d imports were seen", seen)
	}
}

func TestTheRulesOfTheAppKnowNoDocument(t *testing.T) {
	forbidden := regexp.MustCompile(`\b(document|window|localStorage|navigator)\.|^import `)
	files, err := os.ReadDir("app/core")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".js") || strings.HasSuffix(f.Name(), ".test.js") {
			continue
		}
		text, err := os.ReadFile("app/core/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if forbidden.MatchString(line) {
				t.Errorf("core/%s:%d: %s", f.Name(), i+1, line)
			}
		}
	}
}
