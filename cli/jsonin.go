package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxInput bounds what is read from a file or from standard input as one JSON
// argument or one event.
const maxInput = 64 << 20

// jsonArgument reads the JSON that the words at the end of a command line
// give: the words joined by spaces, @FILE, or - for standard input. No words,
// or an empty one, are {}. What is not exactly one JSON value is a usage error
// that says where it goes wrong.
func (s *session) jsonArgument(words []string) ([]byte, error) {
	text := strings.TrimSpace(strings.Join(words, " "))
	name, data := "the JSON argument", []byte(text)
	if len(words) == 1 {
		if file, ok := strings.CutPrefix(text, "@"); ok || text == "-" {
			var err error
			if name, data, err = s.readSource(file, text == "-"); err != nil {
				return nil, err
			}
		}
	}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(data) == 0 {
		return []byte("{}"), nil
	}
	if err := checkJSON(name, data); err != nil {
		return nil, err
	}
	return data, nil
}

// readSource reads a file, or standard input, and says how to call it.
func (s *session) readSource(file string, stdin bool) (name string, data []byte, err error) {
	if stdin {
		name = "standard input"
		data, err = readBounded(s.stdin)
	} else {
		name = file
		var f *os.File
		if f, err = os.Open(file); err == nil {
			data, err = readBounded(f)
			_ = f.Close()
		}
	}
	if err != nil {
		return name, nil, usagef("cannot read %s: %v", name, pathless(err))
	}
	return name, data, nil
}

// pathless drops the operation and the path of a file error, which the message
// around it names already.
func pathless(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("it is over %d MiB", maxInput>>20)
	}
	return data, err
}

// checkJSON returns nil if data is one JSON value in UTF-8, else a usage error
// with line, column and the text around them.
func checkJSON(name string, data []byte) error {
	if !utf8.Valid(data) {
		at := 0
		for at < len(data) {
			r, n := utf8.DecodeRune(data[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		return jsonError(name, data, at, "it is not UTF-8")
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	if err == nil {
		return nil
	}
	at, why := len(data), err.Error()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = int(e.Offset) - 1
		if strings.HasPrefix(why, "unexpected end") {
			at, why = len(data), "it ends too early"
		}
	}
	return jsonError(name, data, at, why)
}

func jsonError(name string, data []byte, at int, why string) error {
	at = min(max(at, 0), len(data))
	before := data[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	text := fmt.Sprintf("%s is no JSON at %d:%d, near %s: %s", name, line, column, excerpt(data, at), why)
	if name == "the JSON argument" && at > 0 && !bytes.ContainsRune(data, '"') {
		text += `; a shell removes double quotes, so write it in single ones: '{"name": "John"}'`
	}
	return usagef("%s", text)
}

// excerpt quotes the text around position at.
func excerpt(data []byte, at int) string {
	const around = 16
	from, to := max(at-around, 0), min(at+around, len(data))
	for from > 0 && !utf8.RuneStart(data[from]) {
		from--
	}
	for to < len(data) && !utf8.RuneStart(data[to]) {
		to++
	}
	text := string(data[from:to])
	if from > 0 {
		text = "…" + text
	}
	if to < len(data) {
		text += "…"
	}
	return strconv.Quote(text)
}
