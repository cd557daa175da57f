package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJSONArgument(t *testing.T) {
	file := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(file, []byte("\ufeff{\"from\": \"file\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		words []string
		want  string
	}{
		{"nothing", nil, "{}"},
		{"an empty word", []string{""}, "{}"},
		{"one word", []string{`{"a":1}`}, `{"a":1}`},
		{"words joined by spaces", []string{`{"a":`, `"b`, `c"}`}, `{"a": "b c"}`},
		{"no object", []string{"-17"}, "-17"},
		{"big integers", []string{"12345678901234567890"}, "12345678901234567890"},
		{"a file", []string{"@" + file}, `{"from": "file"}`},
		{"standard input", []string{"-"}, `{"from": "input"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession(Process{Stdin: strings.NewReader(" {\"from\": \"input\"}\n")})
			got, err := s.jsonArgument(tt.words)
			if err != nil || string(got) != tt.want {
				t.Errorf("jsonArgument(%q) = %q, %v; want %q", tt.words, got, err, tt.want)
			}
		})
	}
}

func TestJSONArgumentSaysWhereItIsWrong(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"shell ate the quotes", `{name: John}`, []string{"at 1:2", "single ones"}},
		{"a word without quotes", `{"name": John}`, []string{"at 1:10", `John`}},
		{"third line", "{\n\t\"a\": 1,\n\t\"b\": oops\n}", []string{"at 3:7"}},
		{"columns are characters", `{"ä": x}`, []string{"at 1:7"}},
		{"two values", `{} {}`, []string{"at 1:4"}},
		{"cut off", `{"a":`, []string{"at 1:6", "ends too early"}},
		{"no UTF-8", "{\"a\": \"\xff\"}", []string{"at 1:8", "not UTF-8"}},
		{"no such file", "@/nonexistent/request.json", []string{"/nonexistent/request.json", "no such file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newSession(Process{}).jsonArgument([]string{tt.text})
			if code := exitCode(err); code != exitUsage {
				t.Errorf("exit code %d for %v, want %d", code, err, exitUsage)
			}
			line := errorLine(err)
			for _, want := range tt.want {
				if !strings.Contains(line, want) {
					t.Errorf("the error is %q, want %q in it", line, want)
				}
			}
			if strings.Contains(line, "\n") {
				t.Errorf("the error has more than one line: %q", line)
			}
		})
	}
}

func TestIndentKeepsOrderAndDigits(t *testing.T) {
	got := string(indent([]byte(`{"z":12345678901234567890,"a":[1.50,{}],"m":"<&>"}`)))
	want := "{\n\t\"z\": 12345678901234567890,\n\t\"a\": [\n\t\t1.50,\n\t\t{}\n\t],\n\t\"m\": \"<&>\"\n}"
	if got != want {
		t.Errorf("indent is\n%s\nwant\n%s", got, want)
	}
	if got := string(indent([]byte("plain text"))); got != "plain text" {
		t.Errorf("what is no JSON becomes %q", got)
	}
}

func TestEscapeControl(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain ä 世界\n\tand more", "plain ä 世界\n\tand more"},
		{"\x1b[31mred", `\u001b[31mred`},
		{"bell\a", `bell\u0007`},
		{"return\rover", `return\u000dover`},
		{"\u009b31m", `\u009b31m`},
		{"\u202egnp.exe", `\u202egnp.exe`},
		{"del\x7f", `del\u007f`},
		{"bad \xff byte", `bad \xff byte`},
		{"replacement \ufffd", "replacement \ufffd"},
	}
	for _, tt := range tests {
		if got := escapeControl(tt.in); got != tt.want {
			t.Errorf("escapeControl(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzEscapeControl(f *testing.F) {
	f.Add("a\x1b]0;title\a\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := escapeControl(s)
		if strings.ContainsFunc(got, dangerous) {
			t.Errorf("escapeControl(%q) = %q still has a control character", s, got)
		}
		if again := escapeControl(got); again != got {
			t.Errorf("escaping twice changes %q to %q", got, again)
		}
	})
}

func TestNearest(t *testing.T) {
	commands := []string{"publish", "subscribe", "query", "registry", "register"}
	tests := []struct{ word, want string }{
		{"qeury", "query"},
		{"pub", "publish"},
		{"regist", "register registry"},
		{"QUERY", "query"},
		{"zzz", ""},
	}
	for _, tt := range tests {
		if got := strings.Join(nearest(tt.word, commands), " "); got != tt.want {
			t.Errorf("nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}
