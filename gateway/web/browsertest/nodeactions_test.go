//go:build unix

package browsertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

const rubyName = "ruby.micro.srv.greeter"

// enlist registers an app that is not on the bus.
func enlist(t *testing.T, conn *bus.Conn, ids ...string) {
	t.Helper()
	s := discovery.Service{Name: rubyName, Version: "2.0.0"}
	for i, id := range ids {
		s.Nodes = append(s.Nodes, discovery.Node{ID: id, Address: "10.0.0.7", Port: 9000 + i})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := discovery.Register(ctx, conn, s, time.Hour); err != nil {
		t.Fatal(err)
	}
}

func TestAnAppIsDeregisteredByTypingItsID(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	conn := dial(t, a)
	enlist(t, conn, "ruby-1", "ruby-2", "ruby-3")
	p := open(t, a.Web+"/services/"+rubyName+"/nodes")
	p.until(isLive + ` && document.querySelectorAll('[role=row][data-i]').length === 3`)
	eval[bool](p, markJS)

	// All from the keyboard: the row, what can be done, the dialog.
	p.press("j", "k", ".")
	p.until(`document.activeElement.closest('.inspect')`)
	for range 6 {
		if eval[bool](p, `document.activeElement.innerText.startsWith('Deregister')`) {
			break
		}
		p.press(kb.Tab)
	}
	p.settle()
	p.picture("node-inspector")
	p.axe("a node beside the list")
	p.press(kb.Enter)
	p.until(`document.activeElement.id === 'ask-id'`)
	p.says("dialog[open]", `mbus --url `)
	p.says("dialog[open]", `deregister service '{"name":"`+rubyName+`","nodes":[{"id":"ruby-1"}]}'`)
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		for _, width := range []int64{1280, 390, 320} {
			p.size(width, 800, 1)
			p.settle()
			p.picture(fmt.Sprintf("deregister-%s-%d", theme, width))
			p.flawless(fmt.Sprintf("the dialog in %s at %d", theme, width))
		}
		p.axe("the dialog in " + theme)
	}
	p.size(1280, 800, 1)
	p.write("ruby")
	p.press(kb.Enter) // is not enough
	p.settle()
	p.until(`document.querySelector('dialog[open]')`)
	p.write("-1")
	p.until(`document.querySelector('[data-test=confirm]').getAttribute('aria-disabled') === 'false'`)
	p.press(kb.Enter)
	p.says(".toast", "ruby-1 is deregistered")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if found, err := discovery.Get(ctx, conn, rubyName); err != nil || len(found) != 1 || len(found[0].Nodes) != 2 {
		t.Errorf("while the page says so the registry has %+v, %v", found, err)
	}
	p.until(`document.querySelectorAll('[role=row][data-i]').length === 2 && !document.querySelector('dialog[open]') && !location.search.includes('sel=')`)
	if !eval[bool](p, marked) {
		t.Error("the page was loaded again")
	}

	// The page of nodes has it, too, at the width of a telephone; Esc leaves it.
	p.visit(a.Web + "/nodes?sel=ruby-2")
	p.size(390, 800, 1)
	p.says(".inspect", "ruby-2")
	p.settle()
	p.picture("node-sheet")
	p.flawless("a node on a telephone")
	eval[bool](p, `([...document.querySelectorAll('.inspect button')].find(b => b.innerText.startsWith('Deregister')).focus(), true)`)
	p.press(kb.Enter)
	p.until(`document.activeElement.id === 'ask-id'`)
	p.press(kb.Escape)
	p.until(`!document.querySelector('dialog[open]') && document.activeElement.innerText.startsWith('Deregister')`)

	// And the page of the node itself, which then leads to those that are left.
	p.visit(a.Web + "/nodes/ruby-3")
	p.button("Deregister…")
	p.until(`document.activeElement.id === 'ask-id'`)
	p.write("ruby-3")
	p.press(kb.Enter)
	p.until(`location.pathname === '/services/` + rubyName + `/nodes'`)
	p.says(".toast", "ruby-3 is deregistered")
}

// drainable serves an instance on a connection of its own.
func drainable(t *testing.T, a addresses, name string) *rpc.Server {
	t.Helper()
	s := rpc.NewServer(dial(t, a), rpc.ServerConfig{Name: name, Version: "1.0.0"})
	rpc.Handle(s, "Shop.Buy", func(context.Context, *struct{}) (*struct{}, error) { return &struct{}{}, nil })
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

func TestANodeIsDrainedAndResumed(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	s := drainable(t, a, shopName)
	id := shopName + "-" + s.ID()
	short := id[len(id)-8:]
	p := open(t, a.Web+"/nodes?sel="+id)
	p.until(isLive)
	p.button("Drain…")
	p.until(`document.activeElement.id === 'ask-id'`)
	p.says("dialog[open]", "It is the only node")
	p.says("dialog[open]", "drain "+shopName)
	p.axe("the dialog before draining")
	p.picture("drain")
	p.write(short)
	p.press(kb.Enter)
	p.says(".toast", "drains")
	p.says(".inspect .st", "draining")
	p.axe("a node that drains")
	p.picture("draining")
	p.button("Resume")
	p.says(".toast", "takes calls again")
	p.until(`['ok', 'starting'].includes(document.querySelector('.inspect .st').innerText.trim())`)

	// Where a node does not offer it, as a registrar, the control is not there.
	p.visit(a.Web + "/services/mbus/nodes")
	p.until(`document.querySelectorAll('[role=row][data-i]').length === 1`)
	p.press("j", ".")
	p.until(`document.querySelector('.inspect')`)
	if eval[bool](p, `[...document.querySelectorAll('button')].some(b => /Drain|Deregister/.test(b.innerText))`) {
		t.Error("a control is there that can do nothing")
	}
}
