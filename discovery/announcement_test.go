package discovery

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/mbus-dev/mbus/bus/codec"
)

var update = flag.Bool("update", false, "write the golden files anew")

func greeter() announcement {
	return announcement{
		V: 1, Name: "go.micro.srv.greeter", ID: "a1", Version: "1.2.3", Metadata: map[string]string{"zone": "eu"},
		Endpoints: []Endpoint{
			{Name: "Say.Hello", Request: "reqhash", Response: "reshash"},
			{Name: "Say.Stream", Kind: KindServerStream},
		},
		Codecs: []string{"json", "msgpack"}, Server: "NSERVER", Client: 7, Rev: 3, Interval: 2000,
		Started: time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC), State: StateDraining,
	}
}

func TestAnnouncementSurvivesTheWire(t *testing.T) {
	p := codec.NewPlan()
	want := greeter()
	data, err := encodeAnnouncement(&want)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"msgpack": data, "json": asJSON} {
		got, err := decodeAnnouncement(p, want.Name, want.ID, body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%s: -sent +received\n%s", name, diff)
		}
	}
}

func TestBeatIsSmall(t *testing.T) {
	p := codec.NewPlan()
	want := beat{Rev: 1<<64 - 1, Load: 100, InFlight: 1<<31 - 1, Interval: int64(maxInterval / time.Millisecond)}
	data := encodeBeat(want)
	if len(data) > maxBeat {
		t.Errorf("the largest beat has %d bytes, want at most %d", len(data), maxBeat)
	}
	got, err := decodeBeat(p, data)
	if err != nil || got != want {
		t.Errorf("decodeBeat = %+v, %v, want %+v", got, err, want)
	}
}

// TestBeatsAreWhatTheCodecWrites compares the short way with the long one.
func TestBeatsAreWhatTheCodecWrites(t *testing.T) {
	for _, n := range []uint64{0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 1<<32 - 1, 1 << 32, 1<<63 - 1} {
		b := beat{Rev: n, Load: 7, InFlight: int(n), Interval: int64(n)}
		want, err := codec.Msgpack.Marshal(b)
		if got := encodeBeat(b); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%+v is %x, %v, want %x", b, got, err, want)
		}
	}
}

func TestHostileAnnouncementsAreRefused(t *testing.T) {
	p := codec.NewPlan()
	change := func(f func(*announcement)) []byte {
		a := greeter()
		f(&a)
		data, err := p.Marshal(codec.Msgpack, &a)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	many := make([]Endpoint, maxEndpoints+1)
	for i := range many {
		many[i].Name = "A"
	}
	deep := &Value{}
	for range maxValueDepth {
		deep = &Value{Values: []Value{*deep}}
	}
	for name, data := range map[string][]byte{
		"empty":                 {},
		"no object":             []byte("hello"),
		"an array":              {0x91, 0x01},
		"cut":                   change(func(*announcement) {})[:40],
		"trailing bytes":        append(change(func(*announcement) {}), 0),
		"huge map":              {0xdf, 0xff, 0xff, 0xff, 0xff},
		"huge string":           {0x81, 0xdb, 0xff, 0xff, 0xff, 0xff},
		"deep":                  append([]byte{0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 20000)...),
		"deep JSON":             []byte(`{"endpoints":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + "}"),
		"over 32 KiB":           change(func(a *announcement) { a.Metadata = map[string]string{"k": strings.Repeat("x", maxAnnouncement)} }),
		"other name":            change(func(a *announcement) { a.Name = "go.micro.srv.other" }),
		"other id":              change(func(a *announcement) { a.ID = "a2" }),
		"version 0":             change(func(a *announcement) { a.V = 0 }),
		"many endpoints":        change(func(a *announcement) { a.Endpoints = many }),
		"bad method":            change(func(a *announcement) { a.Endpoints = []Endpoint{{Name: "Say Hello"}} }),
		"empty method":          change(func(a *announcement) { a.Endpoints = []Endpoint{{}} }),
		"long hash":             change(func(a *announcement) { a.Endpoints[0].Request = strings.Repeat("x", maxText+1) }),
		"long version":          change(func(a *announcement) { a.Version = strings.Repeat("1", maxText+1) }),
		"port":                  change(func(a *announcement) { a.Port = 70000 }),
		"negative ttl":          change(func(a *announcement) { a.TTL = -1 }),
		"deep description":      change(func(a *announcement) { a.Endpoints[0].RequestValue = deep }),
		"name is a number":      []byte(`{"v":1,"name":7,"id":"a1"}`),
		"endpoints is a string": []byte(`{"v":1,"name":"go.micro.srv.greeter","id":"a1","endpoints":"Say.Hello"}`),
	} {
		if a, err := decodeAnnouncement(p, "go.micro.srv.greeter", "a1", data); err == nil {
			t.Errorf("%s: accepted as %+v", name, a)
		}
	}
	// The control: the same bytes unchanged are fine.
	if _, err := decodeAnnouncement(p, "go.micro.srv.greeter", "a1", change(func(*announcement) {})); err != nil {
		t.Errorf("the unchanged announcement: %v", err)
	}
}

func TestHostileBeatsAndLeavesAreRefused(t *testing.T) {
	p := codec.NewPlan()
	for _, data := range []string{"", "x", `{"r":"x"}`, `{"r":1,"pad":"` + strings.Repeat("x", 60) + `"}`, "\xdf\xff\xff\xff\xff", "\x92\x01\x02"} {
		if b, err := decodeBeat(p, []byte(data)); err == nil {
			t.Errorf("beat %q: accepted as %+v", data, b)
		}
	}
	if b, err := decodeBeat(p, []byte(`{"r":1,"l":900,"f":-4,"i":2000}`)); err != nil || b.Load != 100 || b.InFlight != 0 {
		t.Errorf("a beat out of range = %+v, %v, want load 100 and 0 in flight", b, err)
	}
	if l, err := decodeLeave(p, bytes.Repeat([]byte("x"), maxLeave+1)); err == nil {
		t.Errorf("a leave over the bound: accepted as %+v", l)
	}
	if l, err := decodeLeave(p, nil); err != nil || l != (leave{}) {
		t.Errorf("an empty leave = %+v, %v, want an empty one", l, err)
	}
}

func TestIntervalsAreBounded(t *testing.T) {
	for ms, want := range map[int64]time.Duration{
		0: paceFloor, -5: paceFloor, 1: minInterval, 3000: 3 * time.Second, 1 << 62: maxInterval,
	} {
		if got := interval(ms); got != want {
			t.Errorf("interval(%d) = %v, want %v", ms, got, want)
		}
	}
}

// TestGoldenWireBytes fixes what travels: a difference is a change of protocol.
func TestGoldenWireBytes(t *testing.T) {
	a := greeter()
	small := announcement{V: 1, Name: "echo", ID: "b2", Rev: 1, Interval: 2000, Started: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}
	app := announcement{
		V: 1, Name: "py.app", ID: "host 1", Rev: 1, Interval: 2000, Address: "10.0.0.7", Port: 8000, TTL: 30000,
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ServiceMetadata: map[string]string{"lang": "py"},
		Endpoints: []Endpoint{{Name: "Say.Hello", RequestValue: &Value{Name: "Req", Type: "Req", Values: []Value{{Name: "name", Type: "string"}}}}},
	}
	got := &txtar.Archive{Comment: []byte("What is on the wire: hex of msgpack, 32 bytes a line; $SRV answers as they are.\n")}
	add := func(name string, data []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got.Files = append(got.Files, txtar.File{Name: name, Data: data})
	}
	msgpack := func(name string, data []byte, err error) {
		t.Helper()
		var lines strings.Builder
		for len(data) > 0 {
			n := min(len(data), 32)
			fmt.Fprintln(&lines, hex.EncodeToString(data[:n]))
			data = data[n:]
		}
		add(name, []byte(lines.String()), err)
	}
	data, err := encodeAnnouncement(&a)
	msgpack("up", data, err)
	data, err = encodeAnnouncement(&small)
	msgpack("up of a service without anything", data, err)
	data, err = encodeAnnouncement(&app)
	msgpack("up of a registered app", data, err)
	msgpack("beat", encodeBeat(beat{Rev: 3, Load: 42, InFlight: 300, Interval: 2000}), nil)
	data, err = encodeLeave(leave{Reason: "stopping", Rev: 4})
	msgpack("drain", data, err)
	data, err = encodeLeave(leave{Reason: "Client Closed", Server: "NSERVER", Client: 7})
	msgpack("down by a registrar", data, err)
	srv, err := newAnswers(&a, "Says hello.", 0)
	add("PING", append(srv.ping, '\n'), err)
	add("INFO", append(srv.info, '\n'), err)
	add("STATS", append(srv.stats([]EndpointStats{{
		Method: "Say.Hello", Requests: 4, Errors: 1, LastError: "no\nname", Processing: 10 * time.Millisecond, Data: map[string]any{"p99": 3},
	}}), '\n'), nil)

	const file = "testdata/wire/announce.txtar"
	if *update {
		if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(txtar.Format(want)), string(txtar.Format(got))); diff != "" {
		t.Errorf("-golden +got (-update rewrites)\n%s", diff)
	}
}

func FuzzDecodeAnnouncement(f *testing.F) {
	p := codec.NewPlan()
	a := greeter()
	data, err := encodeAnnouncement(&a)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	asJSON, err := json.Marshal(a)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(asJSON)
	f.Add([]byte(`{"r":1,"l":2,"f":3,"i":2000}`))
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := decodeBeat(p, data); err == nil && (b.Load < 0 || b.Load > 100 || b.InFlight < 0) {
			t.Errorf("beat out of range: %+v", b)
		}
		_, _ = decodeLeave(p, data)
		_, _ = readSrv(data)
		_ = ValueOf(data)
		got, err := decodeAnswer(p, data)
		if err != nil {
			return
		}
		// What was accepted can be said again, and means the same.
		again, err := p.Marshal(codec.Msgpack, got)
		if err != nil {
			t.Fatalf("accepted but not encoded: %v", err)
		}
		if len(again) > maxAnnouncement {
			return
		}
		back, err := decodeAnnouncement(p, got.Name, got.ID, again)
		if err != nil {
			t.Fatalf("accepted, encoded, and then refused: %v", err)
		}
		first, second := got.instance(), back.instance()
		if !first.same(&second) {
			t.Errorf("first %+v\nthen %+v", first, second)
		}
		if f := footprint(&first, len(data)); f < len(data) {
			t.Errorf("footprint %d of %d bytes", f, len(data))
		}
	})
}
