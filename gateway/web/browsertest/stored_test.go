//go:build unix

package browsertest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mbus-dev/mbus/bus"
)

// dial is a connection of the test itself.
func dial(t *testing.T, a addresses) *bus.Conn {
	t.Helper()
	conn, err := bus.Connect(t.Context(), bus.Config{URL: a.Bus, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// kept makes a stream of orders.> with so many events.
func kept(t *testing.T, a addresses, n int) *bus.Conn {
	t.Helper()
	conn := dial(t, a)
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := js.Publish(ctx, fmt.Sprintf("orders.%s.paid", []string{"eu", "us"}[i%2]), fmt.Appendf(nil, `{"order":%d,"amount":"12.50"}`, 1000+i)); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

const (
	numbers   = `[...document.querySelectorAll('.stored .erow .num:first-child')].map(e => e.innerText).join()`
	firstLast = `(e => e.length ? e[0] + '-' + e.at(-1) : '')(` + numbers + `.split(','))`
)

func TestAStreamIsPagedThrough(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	conn := kept(t, a, 230)
	p := open(t, a.Web+"/events?subject=orders.%3E")
	p.says("main", "Listening")
	p.button("Stored")
	p.until(firstLast + ` === '181-230'`)
	p.says(".kept", "sequence 1 to 230")
	if got := p.path(); got != "/events?subject=orders.%3E&last=50" {
		t.Errorf("the address is %s", got)
	}
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		for _, width := range []int64{1280, 390, 320} {
			p.size(width, 800, 1)
			p.settle()
			p.picture(fmt.Sprintf("stored-%s-%d", theme, width))
			p.flawless(fmt.Sprintf("stored in %s at %d", theme, width))
		}
		p.axe("stored in " + theme)
	}
	p.size(1280, 800, 1)

	// From key to key, and back with the browser's own.
	p.press("[")
	p.until(firstLast + ` === '131-180'`)
	p.press("[", kb.Escape)
	p.until(firstLast + ` === '81-130'`)
	p.press("]")
	p.until(firstLast + ` === '131-180'`)
	eval[bool](p, `(history.back(), true)`)
	p.until(firstLast + ` === '81-130'`)
	p.button("First")
	p.until(firstLast + ` === '1-50'`)
	p.until(`[...document.querySelectorAll('.pager button')].find(b => b.innerText.includes('Earlier')).getAttribute('aria-disabled') === 'true'`)
	p.button("Last")
	p.until(firstLast + ` === '181-230'`)

	p.button("Sequence")
	p.fill(".seek input", "42")
	p.press(kb.Enter)
	p.until(firstLast + ` === '42-91'`)
	p.fill(".seek input", "x")
	p.press(kb.Enter)
	p.says(".seek", "whole number")

	// An event is looked at from the keyboard.
	eval[bool](p, `(document.querySelector('.stored').focus(), true)`)
	p.press(kb.ArrowDown)
	p.says(".event", `"order": 1041`)
	p.says(".event", "sequence 42")
	p.picture("stored-event")
	p.axe("an event of a stream")

	// What the page says the same address says in text.
	q := p.beside(a.Web + p.path())
	q.until(firstLast + ` === '42-91'`)
	p.says("section[aria-label='This page from a shell']", "curl 'http://")

	// A topic that only some of them have, and the time that they came.
	p.visit(a.Web + "/events?subject=orders.eu.paid&last=100")
	p.until(firstLast + ` === '31-229'`)
	p.button("Time")
	p.until(`document.querySelector('.seek input[type=datetime-local]').value !== ''`)
	p.axe("a time to read from")
	p.press(kb.Escape)
	p.button("Read")
	p.until(`location.search.includes('time=20') && ` + firstLast + ` === '1-199'`)

	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(p.ctx, "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left behind", n)
	}
}

func TestWithoutAStreamTheStoredPageSaysWhatToDo(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/events?subject=parcel.lost&last=50")
	p.says("main", "No stream covers parcel.lost")
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		p.settle()
		p.picture("stored-none-" + theme)
		p.axe("nothing is kept, in " + theme)
	}
	p.button("Follow them live")
	p.says("main", "Listening")
	p.press("?")
	p.says("dialog[open]", "earlier page of a stream")
}

// flawless fails for what is ugly as far as a program can find it.
func (p *tab) flawless(what string) {
	p.Helper()
	for _, flaw := range eval[[]string](p, flaws) {
		p.Errorf("%s: %s", what, flaw)
	}
	if strings.Contains(eval[string](p, `document.querySelector('main').innerText`), "undefined") {
		p.Errorf("%s: something is undefined", what)
	}
}
