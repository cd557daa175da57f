package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
)

func TestWhatATapLeavesToNATSDoesNotOvertakeWhatItTook(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 100 {
		conn := &script{piece: func() int { return random.IntN(1 + random.IntN(4000)) }}
		tap, c := tapped(conn)
		calls := c.lanes[Calls]
		var in bytes.Buffer
		var want, through, left []string
		before := make(map[string]int) // how many calls come before what NATS gets
		for n := range 1 + random.IntN(200) {
			name := fmt.Sprintf("svc.%d", n)
			switch random.IntN(3) {
			case 0:
				fmt.Fprintf(&in, "HMSG %s 2 r 12 13\r\nNATS/1.0\r\n\r\nx\r\n", name)
				through = append(through, name)
				before[name] = len(want)
				continue
			case 1:
				fmt.Fprintf(&in, "PONG\r\n")
				continue
			default:
				body := strings.Repeat("x", random.IntN(300))
				fmt.Fprintf(&in, "MSG %s 2 r %d\r\n%s\r\n", name, len(body), body)
			}
			want = append(want, name)
		}
		conn.text = in.Bytes()
		var rest []byte
		buf := make([]byte, 32<<10)
		for {
			n, err := tap.Read(buf)
			rest = append(rest, buf[:n]...)
			for {
				line, after, ok := bytes.Cut(rest, []byte("\r\n"))
				if !ok {
					break
				}
				if bytes.HasPrefix(line, []byte("HMSG ")) {
					if len(after) < 15 {
						break
					}
					after = after[15:]
					name := string(bytes.Fields(line)[1])
					if left = append(left, name); calls.queue.calls < before[name] {
						t.Fatalf("round %d: NATS got %s when the lane had %d calls, not the %d before it", round, name, calls.queue.calls, before[name])
					}
				}
				rest = after
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, b := range calls.queue.waiting {
			for _, one := range b.calls {
				got = append(got, one.msg.Subject)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("round %d: the lane got\n%v, not\n%v", round, got, want)
		}
		if strings.Join(left, " ") != strings.Join(through, " ") {
			t.Fatalf("round %d: NATS got\n%v, not\n%v", round, left, through)
		}
	}
}

func TestABlindTapKeepsNothing(t *testing.T) {
	tap, c := tapped(&script{text: []byte("MSG svc.x 2 r 1\r\na\r\nPING\r\n"), piece: func() int { return 100 }})
	buf := make([]byte, 3) // so that NATS has to come again
	if n, err := tap.Read(buf); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	tap.blind.Store(true)
	if rest, err := io.ReadAll(tap); err != nil || string(rest) != "G\r\n" {
		t.Errorf("NATS got %q, %v", rest, err)
	}
	if n := len(c.lanes[Calls].queue.waiting); n != 1 {
		t.Errorf("%d batches reached the lane, not 1", n)
	}
}

// A sink takes what is written, up to a number of bytes.
type sink struct {
	net.Conn
	mu     sync.Mutex
	got    []byte
	room   int
	closed bool
}

var errFull = errors.New("the sink is full")

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	n := min(len(b), s.room)
	s.got, s.room = append(s.got, b[:n]...), s.room-n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// outgoing makes a tap beside which messages are sent.
func outgoing(room int) (*tap, *sink) {
	s := &sink{room: room}
	t, _ := tapped(s)
	t.begin()
	return t, s
}

func TestNATSLearnsThatAWriteEndedInside(t *testing.T) {
	tap, s := outgoing(7)
	n, err := tap.Write([]byte("PUB a 3\r\nabc\r\n"))
	if n != 7 || !errors.Is(err, errFull) {
		t.Errorf("NATS was told of %d bytes, %v", n, err)
	}
	if err := tap.Close(); err != nil || !s.closed {
		t.Error(err)
	}
	tap.conn.writers.Wait()

	tap, s = outgoing(7)
	<-tap.out.turn // hold the writer up
	tap.send("a", "", 0, []byte("abc"))
	tap.out.turn <- struct{}{}
	if n, err := tap.Write([]byte("PING\r\n")); n != 0 || err == nil || !s.closed {
		t.Errorf("a write behind a torn one took %d bytes, %v; closed: %v", n, err, s.closed)
	}
	_ = tap.Close()
	tap.conn.writers.Wait()
}

// Whatever NATS and those beside it write at once comes out as whole messages,
// those of each in their order, NATS' behind what was sent before them; and where
// the connection breaks, nothing follows.
func TestWritesAtOnceStayWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 40 {
		room := 1 << 30
		if round%2 == 1 {
			room = 1000 + random.IntN(200_000)
		}
		blind := round%4 > 1
		tap, s := outgoing(room)
		const senders, each = 4, 150
		var all sync.WaitGroup
		var before sync.Mutex // as the lock of NATS
		for who := range senders {
			seed := random.Uint64()
			all.Go(func() {
				own := rand.New(rand.NewPCG(seed, 1))
				for n := range each {
					body := fmt.Sprintf("%d %d %s", who, n, strings.Repeat("PUB x 1\r\n", own.IntN(50)))
					if own.IntN(100) == 0 {
						body += strings.Repeat("y", own.IntN(outletRoom))
					}
					if own.IntN(4) > 0 {
						tap.send("beside", "r.", uint64(n), []byte(body))
						continue
					}
					before.Lock()
					_, _ = fmt.Fprintf(tap, "PUB nats %d\r\n%s\r\n", len(body), body)
					before.Unlock()
				}
			})
		}
		if blind {
			tap.blind.Store(true)
		}
		all.Wait()
		_, _ = tap.Write(nil) // as NATS does when it closes
		_ = tap.Close()
		tap.conn.writers.Wait()
		checkWhole(t, round, s.got, room < 1<<30, senders, each)
	}
}

func checkWhole(t *testing.T, round int, got []byte, torn bool, senders, each int) {
	t.Helper()
	next := make([]int, senders)
	for len(got) > 0 {
		eol := bytes.IndexByte(got, '\n')
		if eol < 0 {
			break
		}
		size, ok := lastNumber(got[:eol+1])
		if !ok || !bytes.HasPrefix(got, []byte("PUB ")) {
			t.Fatalf("round %d: the line %q", round, got[:eol+1])
		}
		got = got[eol+1:]
		if len(got) < size+2 {
			break
		}
		var who, n int
		if _, err := fmt.Sscan(string(got[:min(size, 10)]), &who, &n); err != nil || string(got[size:size+2]) != "\r\n" {
			t.Fatalf("round %d: the body %q, %v", round, got[:size+2], err)
		}
		if n != next[who] {
			t.Fatalf("round %d: sender %d: message %d came in place of %d", round, who, n, next[who])
		}
		next[who]++
		got = got[size+2:]
	}
	for who, n := range next {
		if n != each && !torn {
			t.Fatalf("round %d: sender %d: %d of %d messages", round, who, n, each)
		}
	}
}
