//go:build unix

package e2e_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dialHTTP opens a connection to a listener that the end of the test closes.
func dialHTTP(t testing.TB, url string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// p99 is that of a hundred calls, one after the other.
func p99(t testing.TB, url, body string) time.Duration {
	t.Helper()
	var times []time.Duration
	for range 100 {
		r, err := ask(t, url, body)
		if err != nil || r.status != 200 {
			t.Fatalf("a good call: %d %s, %v", r.status, r.body, err)
		}
		times = append(times, r.took)
	}
	slices.Sort(times)
	return times[98]
}

// Clients that never finish a header or a body, and clients that are silent, are
// let go in time, cost little memory, and hold nobody up.
func TestSlowClientsAreLetGoAndHoldNobodyUp(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	b := startNode(t, "--ephemeral", "--no-jetstream", "--demo", "--api-address", "off", "--sidecar-address", "off")
	p, url := b.startAPI(t)
	const hello, body = "/go.micro.srv.greeter/Say.Hello", `{"name":"John"}`
	before := p99(t, url+hello, body)
	memoryBefore := memory(t, p)
	const head = "POST " + hello + " HTTP/1.1\r\nHost: localhost\r\n"
	const attackers = 300
	start := time.Now()
	over := make(chan string, attackers)
	for n := range attackers {
		c := dialHTTP(t, url)
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		go func() { // ends with its connection
			stop := make(chan struct{})
			go func() {
				drip := time.NewTicker(500 * time.Millisecond)
				defer drip.Stop()
				for i := 0; ; i++ {
					select {
					case <-drip.C:
					case <-stop:
						return
					}
					if _, err := io.WriteString(c, "X-"+strconv.Itoa(i)+": "+strconv.Itoa(n)+"\r\n"); err != nil {
						return
					}
				}
			}()
			answer, err := io.ReadAll(c)
			close(stop)
			if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
				over <- "still open"
				return
			}
			over <- string(answer)
		}()
	}
	during := p99(t, url+hello, body)
	t.Logf("p99 of good calls: %v without, %v among %d attackers; memory %d and %d KiB", before, during, attackers, memoryBefore>>10, memory(t, p)>>10)
	if during > 2*before+100*time.Millisecond { // other tests run beside this one
		t.Errorf("good calls had a p99 of %v, and %v among attackers", before, during)
	}
	if grown := memory(t, p) - memoryBefore; grown > attackers*128<<10 {
		t.Errorf("%d attackers made the gateway %d KiB bigger", attackers, grown>>10)
	}
	// The control: one who is slow but comes to an end within the five seconds is served.
	c := dialHTTP(t, url)
	if _, err := io.WriteString(c, head); err != nil {
		t.Fatal(err)
	}
	late := time.NewTimer(time.Second)
	defer late.Stop()
	<-late.C
	if _, err := io.WriteString(c, "Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Errorf("a slow but honest client: %q, %v", line, err)
	}
	limit := time.NewTimer(15 * time.Second)
	defer limit.Stop()
	for n := range attackers {
		select {
		case answer := <-over:
			if strings.Contains(answer, " 200 ") {
				t.Fatalf("an attacker got %q", answer)
			}
		case <-limit.C:
			t.Fatalf("%d of %d attackers are still there after %v", attackers-n, attackers, time.Since(start))
		}
	}
	if took := time.Since(start); took < 4*time.Second {
		t.Errorf("attackers were let go after %v: the honest client had no chance", took)
	}
}

// A reader that stops in the middle of a million messages holds the service up,
// and not the memory of the gateway.
func TestAStoppedReaderDoesNotGrowTheGateway(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	b := startNode(t, "--ephemeral", "--no-jetstream", "--demo", "--api-address", "off", "--sidecar-address", "off")
	p, url := b.startAPI(t)
	const count, body = "/go.micro.srv.lab/Lab.Count", `{"n":1000000}`
	post := "POST " + count + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	requests := map[string]string{
		"sse":    post + "Accept: text/event-stream\r\n\r\n" + body,
		"ndjson": post + "Accept: application/x-ndjson\r\n\r\n" + body,
		"websocket": "GET " + count + "?n=1000000 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	}
	eventually(t, 10*time.Second, "a call", func() error { return answers(t, url+"/go.micro.srv.greeter/Say.Hello", `{}`) })
	before := memory(t, p)
	const each = 3
	for name, request := range requests {
		for range each {
			c := dialHTTP(t, url)
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			some := make([]byte, 2<<10)
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadFull(c, some); err != nil || !strings.Contains(string(some), `"i":`) {
				t.Fatalf("%s: no messages in %q, %v", name, some, err)
			}
		}
	}
	// All is still once the windows are full.
	used := processorTime(t, p)
	eventually(t, 20*time.Second, "the gateway rests", func() error {
		pause := time.NewTimer(500 * time.Millisecond)
		defer pause.Stop()
		<-pause.C
		now := processorTime(t, p)
		defer func() { used = now }()
		if now-used > 50*time.Millisecond {
			return errors.New("it works on")
		}
		return nil
	})
	grown := peakMemory(t, p) - before
	t.Logf("%d stopped readers made the gateway %d KiB bigger", 3*each, grown>>10)
	// A window of 1 MiB for each, and what a million messages would be if they were
	// kept is 36 MB for each.
	if most := int64(3*each*2<<20 + 16<<20); grown > most {
		t.Errorf("%d stopped readers made the gateway %d KiB bigger, want at most %d", 3*each, grown>>10, most>>10)
	}
	// The control: who reads on gets all of them, meanwhile. Some are enough.
	c := dialHTTP(t, url)
	if _, err := io.WriteString(c, strings.Replace(requests["websocket"], "1000000", "20000", 1)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(60 * time.Second))
	if n := framesOf(t, c); n != 20_000 {
		t.Errorf("a reader that reads on got %d messages", n)
	}
}

// framesOf counts the text frames up to the close.
func framesOf(t testing.TB, c net.Conn) (n int) {
	t.Helper()
	r := bufio.NewReaderSize(c, 64<<10)
	for { // the header of HTTP
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			break
		}
	}
	for {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			t.Fatalf("after %d messages: %v", n, err)
		}
		size := int(head[1])
		if size == 126 {
			var long [2]byte
			if _, err := io.ReadFull(r, long[:]); err != nil {
				t.Fatal(err)
			}
			size = int(binary.BigEndian.Uint16(long[:]))
		}
		if _, err := r.Discard(size); err != nil {
			t.Fatal(err)
		}
		switch head[0] {
		case 0x81:
			n++
		case 0x88:
			return n
		}
	}
}
