//go:build unix

package browsertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/rpc"
)

const shopName = "go.micro.srv.shop"

// shop serves a version of the shop until the test ends: each call takes its time,
// and every so many fail.
func shop(t *testing.T, a addresses, version string, takes time.Duration, failing int) *rpc.Server {
	t.Helper()
	s := rpc.NewServer(dial(t, a), rpc.ServerConfig{Name: shopName, Version: version})
	n := make(chan int, 1)
	n <- 0
	for _, method := range []string{"Shop.Buy", "Shop.Look"} {
		rpc.Handle(s, method, func(context.Context, *struct{}) (*struct{}, error) {
			time.Sleep(takes)
			i := <-n + 1
			n <- i
			if failing > 0 && i%failing == 0 {
				return nil, errors.New("sold out")
			}
			return &struct{}{}, nil
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Stop(ctx)
	})
	return s
}

func TestTwoVersionsAreSeenBesideEachOther(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	old, canary := shop(t, a, "1.4.0", 2*time.Millisecond, 0), shop(t, a, "1.5.0-rc1", 15*time.Millisecond, 5)
	ctx, stop := context.WithCancel(context.Background())
	called := make(chan struct{})
	conn := dial(t, a)
	go func() {
		defer close(called)
		client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		for i := 0; ctx.Err() == nil; i++ {
			s, method := old, "Shop.Look"
			if i%4 == 0 {
				s = canary
			}
			if i%3 == 0 {
				method = "Shop.Buy"
			}
			_, _ = client.Do(ctx, &rpc.Request{Service: shopName, Method: method, Instance: s.ID(), Body: []byte("{}")}) // some fail
			time.Sleep(5 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { stop(); <-called })

	p := open(t, a.Web+"/services/"+shopName)
	p.until(isLive)
	p.button("Compare the versions")
	p.until(`location.pathname.endsWith('/stats') && location.search.includes('a=') && location.search.includes('b=')`)
	p.until(`document.querySelectorAll('.cmps table').length === 2`)
	p.visit(a.Web + "/services/" + shopName + "/stats?a=1.4.0&b=1.5.0-rc1")
	p.until(isLive)
	eval[bool](p, markJS)
	p.says(".cmps", "slower")
	p.says(".cmps", "more fail")
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		for _, width := range []int64{1280, 390, 320} {
			p.size(width, 800, 1)
			p.settle()
			p.picture(fmt.Sprintf("compare-%s-%d", theme, width))
			p.flawless(fmt.Sprintf("compared in %s at %d", theme, width))
		}
		p.axe("compared in " + theme)
	}
	p.size(1280, 800, 1)

	// The other way round it is faster, and the address says so.
	eval[bool](p, `(() => { const s = document.querySelector('select[aria-label="Version A"]'); s.value = '1.5.0-rc1'; s.dispatchEvent(new Event('change', {bubbles: true})); return true })()`)
	p.until(`location.search.includes('a=1.5.0-rc1') && location.search.includes('b=1.4.0')`)
	p.says(".cmps", "faster")
	p.button("Since they started")
	p.until(`location.search.includes('over=life')`)
	before := eval[string](p, `[...document.querySelectorAll('.cmps tr.quiet')].map(r => r.innerText).join()`)
	p.until(`[...document.querySelectorAll('.cmps tr.quiet')].map(r => r.innerText).join() !== ` + quote(before)) // it is live
	eval[bool](p, `(history.back(), true)`)
	p.until(`!location.search.includes('over=')`)
	if err := canary.Stop(p.ctx); err != nil {
		t.Fatal(err)
	}
	p.says(".cmp", "Only one version runs")
	if !eval[bool](p, marked) {
		t.Error("the page was loaded again")
	}
	p.button("Stop comparing")
	p.until(`!location.search.includes('a=') && !document.querySelector('.cmp')`)
}
