package live_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// tail answers with one message and a trailer; the name in the request says how
// it ends.
func tail(_ context.Context, stream *rpc.RawStream) error {
	c, body, err := stream.Recv()
	if err != nil {
		return err
	}
	var want Text
	if err := c.Unmarshal(body, &want); err != nil {
		return err
	}
	stream.SetTrailer("x-mbus-secret", "1")
	if want.Text != "none" {
		stream.SetTrailer("rows", "3")
	}
	if err := stream.Send(codec.JSON, []byte(`{"i":1}`)); err != nil {
		return err
	}
	switch want.Text {
	case "fail":
		return bus.Errorf(bus.Conflict, "you asked for it")
	case "slow":
		time.Sleep(5 * time.Second)
	case "drain":
		for err == nil {
			_, _, err = stream.Recv()
		}
		if err != io.EOF { //nolint:errorlint // it is never wrapped
			return err
		}
	}
	return nil
}

func ask(name string) string { return fmt.Sprintf(`{"text":%q}`, name) }

func TestAWebSocketSendsTheTrailerBehindAnEmptyText(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		for _, mode := range []string{"", "mbus.json", "mbus.msgpack"} {
			for name, want := range map[string]string{
				"ok":   `text  text {"trailer":{"rows":"3"}} close 1000`,
				"none": `close 1000`,
				"fail": `text {"error":*,"trailer":{"rows":"3"}}} close 4409 conflict`,
			} {
				var header []string
				if mode != "" {
					header = []string{speaking + mode + "\r\n"}
				}
				for _, path := range []string{"/ws/" + lab + "/Lab.Tail", "/stream/Lab.Tail?q=" + ask(name)} {
					s := r.raw(path, header...)
					if strings.HasPrefix(path, "/ws") {
						if mode == "mbus.msgpack" {
							s.write(masked(fin|opBinary, "\x81\xa4text\xd9"+string(rune(len(name)))+name))
						} else {
							s.text(ask(name))
						}
					}
					all := s.rest()
					if len(all) == 0 {
						t.Fatalf("%q %s %s: nothing came", mode, name, path)
					}
					message, rest := all[0], strings.Join(all[1:], " ")
					if binary := strings.HasPrefix(message, "binary"); binary != (mode == "mbus.msgpack") {
						t.Errorf("%q %s %s: the message is %s", mode, name, path, message)
					}
					if begin, end, _ := strings.Cut(want, "*"); !strings.HasPrefix(rest, begin) || !strings.HasSuffix(rest, end) || len(rest) < len(want)-1 {
						t.Errorf("%q %s %s: got %s, want %s", mode, name, path, rest, want)
					}
				}
			}
		}
		r.idle(time.Second)
	})
}

func TestTheTrailerOfAFailedStreamIsInTheFailure(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := newRoom(t, b)
		res := r.do("POST", "/stream/Lab.Tail", ask("fail"))
		if got := text(t, res); !strings.HasPrefix(got, "{\"i\":1}\n{\"error\":{") || !strings.HasSuffix(got, "\"trailer\":{\"rows\":\"3\"}}}\n") {
			t.Errorf("NDJSON: %s", got)
		}
		if res.Trailer.Get("Mbus-End") != "handler" || res.Trailer.Get("Rows") != "3" || res.Trailer.Get("X-Mbus-Secret") != "" {
			t.Errorf("NDJSON: the trailer is %v", res.Trailer)
		}
		res = r.do("POST", "/stream/Lab.Tail", ask("fail"), "Accept", "text/event-stream")
		if got := text(t, res); !strings.Contains(got, "event: error\ndata: {") || !strings.HasSuffix(got, "\"trailer\":{\"rows\":\"3\"}}\n\n") {
			t.Errorf("server-sent events: %s", got)
		}
	})
}

func TestTheTrailerOfAClientStreamFollowsItsAnswer(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			r := newRoomFor(t, b, http2)
			for name, want := range map[string]string{"ok": "3", "none": "", "drain": "3", "slow": "", "fail": ""} {
				start := time.Now()
				res := r.do("POST", "/upload/Lab.Tail", ask(name))
				if got := text(t, res); got != `{"i":1}` || res.Trailer.Get("Rows") != want || res.Trailer.Get("X-Mbus-Secret") != "" {
					t.Errorf("%s: %s with the trailer %v", name, got, res.Trailer)
				}
				if known := res.ContentLength >= 0; known != (want == "") {
					t.Errorf("%s: the length is %d", name, res.ContentLength)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("%s: the answer came after %v", name, took)
				}
			}
			r.idle(10 * time.Second)
		})
	}
}
