package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/embedded"
)

// startNode runs a broker on a free port for one test.
func startNode(t *testing.T) *embedded.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return node
}

// TestProtocolLines plays the service and the client of the protocol page
// against a broker, byte for byte, and watches them with the library.
func TestProtocolLines(t *testing.T) {
	p := readPage(t, protocolPage)
	node := startNode(t)
	view, err := discovery.Watch(t.Context(), node.Conn(), discovery.WithService("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	<-view.Ready() // from here on it only listens
	players := map[string]*player{}
	seen := map[discovery.Action]bool{}
	changes := make(chan discovery.Change, 16)
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { // ends with watching
		for c := range view.Changes(watching) {
			changes <- c
		}
	}()
	for _, b := range p.blocks {
		if b.lang != "nats" {
			continue
		}
		if players[b.name] == nil {
			players[b.name] = newPlayer(t, strings.TrimPrefix(node.URL(), "nats://"))
		}
		players[b.name].play(t, p, b)
	}
	if len(players) != 2 {
		t.Fatalf("the lines have %d players, want service and client", len(players))
	}
	for !seen[discovery.Delete] {
		select {
		case c := <-changes:
			seen[c.Action] = true
			i := c.Instance
			if i.Service != "hello" || i.ID != "b2" || i.Foreign || i.V != 1 || len(i.Endpoints) != 1 || i.Endpoints[0].Name != "Say.Hello" {
				t.Errorf("the library understands the service as %+v", i)
			}
			if c.Action == discovery.Update && i.State == discovery.StateDraining {
				seen["drain"] = true
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the library has seen %v only", seen)
		}
	}
	if !seen[discovery.Create] || !seen["drain"] {
		t.Errorf("the library has seen %v; want it to come, drain and go", seen)
	}
}

// A player is one connection that the page describes.
type player struct {
	conn net.Conn
	in   *bufio.Reader
	got  []string // lines that have come and are not compared yet

	greeted bool // the first INFO has come
}

func newPlayer(t *testing.T, address string) *player {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &player{conn: conn, in: bufio.NewReader(conn)}
}

func (pl *player) play(t *testing.T, p *page, b block) {
	t.Helper()
	for i, line := range b.lines {
		where := fmt.Sprintf("%s:%d", p.path, b.line+i)
		direction, text, _ := strings.Cut(line, " ")
		switch direction {
		case ">>":
			checkServiceAnswer(t, where, text)
			if _, err := io.WriteString(pl.conn, unescape(t, where, text)+"\r\n"); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
		case "<<":
			got, err := pl.next()
			if err != nil {
				t.Fatalf("%s: want %q: %v", where, text, err)
			}
			if want := unescape(t, where, text); !matches(want, got) {
				t.Fatalf("%s: the broker says\n%q, want\n%q", where, got, want)
			}
		default:
			t.Fatalf("%s: %q is neither sent nor received", where, line)
		}
	}
	if len(pl.got) > 0 {
		t.Fatalf("%s:%d: these lines came too: %q", p.path, b.line, pl.got)
	}
}

// next returns the next line that the broker sent. The lines of a message come
// one by one; PING, which is answered, and INFO after the first are left out.
func (pl *player) next() (string, error) {
	if len(pl.got) == 0 {
		if err := pl.read(); err != nil {
			return "", err
		}
	}
	line := pl.got[0]
	pl.got = pl.got[1:]
	return line, nil
}

func (pl *player) read() error {
	_ = pl.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		line, err := pl.in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, " \r\n")
		if line == "PING" {
			if _, err := io.WriteString(pl.conn, "PONG\r\n"); err != nil {
				return err
			}
			continue
		}
		if strings.HasPrefix(line, "INFO ") {
			if pl.greeted {
				continue
			}
			pl.greeted = true
		}
		pl.got = []string{line}
		if !strings.HasPrefix(line, "MSG ") && !strings.HasPrefix(line, "HMSG ") {
			return nil
		}
		size, err := strconv.Atoi(line[strings.LastIndexByte(line, ' ')+1:])
		if err != nil {
			return err
		}
		body := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(pl.in, body); err != nil {
			return err
		}
		pl.got = append(pl.got, strings.Split(string(body[:size]), "\r\n")...)
		return nil
	}
}

var hexEscape = regexp.MustCompile(`\\x[0-9a-f]{2}`)

func unescape(t *testing.T, where, text string) string {
	t.Helper()
	return hexEscape.ReplaceAllStringFunc(text, func(code string) string {
		n, err := strconv.ParseUint(code[2:], 16, 8)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		return string([]byte{byte(n)})
	})
}

// matches compares a line with one in which … stands for anything.
func matches(want, got string) bool {
	for i, part := range strings.Split(want, "…") {
		at := strings.Index(got, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		got = got[at+len(part):]
	}
	return got == "" || strings.HasSuffix(want, "…")
}

// checkServiceAnswer validates what the page answers to $SRV as the tools of
// NATS do.
func checkServiceAnswer(t *testing.T, where, text string) {
	t.Helper()
	var answer struct {
		Type string `json:"type"`
	}
	if json.Unmarshal([]byte(text), &answer) != nil || answer.Type == "" {
		return
	}
	name := strings.TrimSuffix(strings.TrimPrefix(answer.Type, "io.nats.micro.v1."), "_response")
	s, err := jsonschema.NewCompiler().Compile("discovery/testdata/schemas/strict/" + name + "_response.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s: %v", where, err)
	}
}
