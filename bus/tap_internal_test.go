package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// A script is a connection that reads what it was given, in pieces, and writes
// to nowhere.
type script struct {
	net.Conn
	text  []byte
	piece func() int
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.text[:min(len(s.text), max(1, s.piece()))])
	s.text = s.text[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) { return len(b), nil }

func (s *script) Close() error { return nil }

// bare makes a connection that is not connected.
func bare() *Conn {
	c := &Conn{mux: newMux("_INBOX.me.", 0)}
	for i := range c.lanes {
		c.lanes[i] = newLane(laneSize, c.Now)
	}
	return c
}

// tapped makes a tap that has seen NATS subscribe to the replies, as 1, and to
// calls of "svc.>" in the queue "q", as 2. What it takes waits in the lane.
func tapped(conn net.Conn) (*tap, *Conn) {
	c := bare()
	calls := c.lanes[Calls]
	key := groupKey{"svc.>", "q"}
	calls.byKey.Store(key, &group{key: key})
	t := newTap(conn, c)
	t.learn([]byte("CONNECT {}\r\n"))
	t.learn([]byte("PING\r\nPUB a b 9\r\nSUB x y 1\r\nSUB _INBOX.me.*  1\r\nSUB svc.> q 2\r\nSUB other  3\r\n"))
	return t, c
}

func TestATapTakesItsOwnAndLeavesTheRestInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		conn := &script{piece: func() int { return random.IntN(1 + random.IntN(100_000)) }}
		tap, c := tapped(conn)
		var in, rest bytes.Buffer
		var calls, waiting []string
		var slots []*slot
		size := func() int {
			switch random.IntN(20) {
			case 0:
				return random.IntN(200_000)
			case 1:
				return 0
			}
			return random.IntN(300)
		}
		body := func() string { return strings.Repeat("MSG a 1 2\r\n", size()/11) + fmt.Sprint(random.Uint32()) }
		for n := range 1 + random.IntN(300) {
			data := body()
			pass := func(format string, args ...any) {
				fmt.Fprintf(&in, format, args...)
				fmt.Fprintf(&rest, format, args...)
			}
			switch random.IntN(8) {
			case 0:
				pass("PING\r\n")
			case 1:
				pass("HMSG svc.x 2 _INBOX.you.%d 12 %d\r\nNATS/1.0\r\n\r\n%s\r\n", n, 12+len(data), data)
			case 2:
				pass("MSG other 3 %d\r\n%s\r\n", len(data), data)
			case 3: // nobody waits
				pass("MSG _INBOX.me.zzzzz 1 %d\r\n%s\r\n", len(data), data)
			case 4, 5:
				fmt.Fprintf(&in, "MSG svc.x%d 2 _INBOX.you.%d %d\r\n%s\r\n", n, n, len(data), data)
				calls = append(calls, fmt.Sprintf("svc.x%d _INBOX.you.%d %s", n, n, data))
			default:
				s, err := c.mux.take(slot{})
				if err != nil {
					t.Fatal(err)
				}
				slots, waiting = append(slots, s), append(waiting, data)
				fmt.Fprintf(&in, "MSG %s 1 %d\r\n%s\r\n", c.mux.replySubject(s.key), len(data), data)
			}
		}
		conn.text = in.Bytes()
		var got []byte
		buf := make([]byte, 32<<10)
		for {
			n, err := tap.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, rest.Bytes()) {
			t.Fatalf("round %d: NATS got %d bytes, want %d", round, len(got), rest.Len())
		}
		for i, s := range slots {
			if r := <-s.result; string(r.frame) != waiting[i] {
				t.Fatalf("round %d: reply %d has %d bytes, want %d", round, i, len(r.frame), len(waiting[i]))
			}
		}
		i := 0
		for _, b := range c.lanes[Calls].queue.waiting {
			for _, one := range b.calls {
				if got := one.msg.Subject + " " + one.msg.Reply + " " + string(one.msg.Data); i == len(calls) || got != calls[i] {
					t.Fatalf("round %d: call %d is wrong", round, i)
				}
				i++
			}
		}
		if i != len(calls) {
			t.Fatalf("round %d: %d calls, want %d", round, i, len(calls))
		}
	}
}

func TestATapLeavesWhatItDoesNotUnderstandAlone(t *testing.T) {
	for name, first := range map[string]string{"TLS": "\x16\x03\x01", "WebSocket": "GET / HTTP/1.1\r\n", "a broken write": "CONNECT {}\r\nPUB x y\r\n"} {
		t.Run(name, func(t *testing.T) {
			in := []byte("MSG svc.x 2 r 1\r\na\r\nMSG \x00\xff 7 7 7 7 7\r\nINFO")
			tap := newTap(&script{text: in, piece: func() int { return 3 }}, bare())
			if _, err := tap.Write([]byte(first)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(tap)
			if err != nil || !bytes.Equal(got, in) {
				t.Errorf("NATS got %q, %v", got, err)
			}
		})
	}
	t.Run("a broken message", func(t *testing.T) {
		in := []byte("MSG svc.x 2 r 1\r\na\r\nMSG \x00\xff 7 7 7 x\r\nMSG svc.x 2 r 1\r\na\r\n")
		tap, _ := tapped(&script{text: bytes.Clone(in), piece: func() int { return 3 }})
		got, err := io.ReadAll(tap)
		if want := in[len("MSG svc.x 2 r 1\r\na\r\n"):]; err != nil || !bytes.Equal(got, want) {
			t.Errorf("NATS got %q, %v", got, err)
		}
	})
}
