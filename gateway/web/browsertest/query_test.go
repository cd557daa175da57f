//go:build unix

package browsertest

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// failing is {"code":"conflict","detail":"order 17 is paid"} as it is in addresses.
const failing = "eyJjb2RlIjoiY29uZmxpY3QiLCJkZXRhaWwiOiJvcmRlciAxNyBpcyBwYWlkIn0"

func TestACallFromTheForm(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/query/"+greeter+"/Say.Hello")
	p.fill("#f-name", "Ada")
	p.control(kb.Enter)
	p.says("[data-test=response]", "Hello Ada")
	p.says("pre", `query `+greeter+` Say.Hello '{"name":"Ada"}'`)
	p.until(`location.search.includes('req=')`)

	// The JSON is in step with the form, and the address opens the same again.
	p.button("JSON")
	p.until(`/"name":\s*"Ada"/.test(document.querySelector('#q-json').value)`)
	q := p.beside(lab.demo.Web + strings.ReplaceAll(p.path(), "as=json", "as=form"))
	q.until(`document.querySelector('#f-name')?.value === 'Ada'`)
	q.says("section[aria-label=History]", "Say.Hello")
	q.button("Replay")
	q.click("[data-test=send]")
	q.says("[data-test=response]", "Hello Ada")
}

func TestAMistakeInTheJSONIsShownAtItsLine(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/query/"+greeter+"/Say.Hello?as=json")
	p.fill("#q-json", "{\n \"name\": }")
	p.until(`/line 2/i.test(document.querySelector('main').innerText)`)
	p.press(kb.Tab) // leaves the field
	p.until(`document.activeElement.id !== 'q-json'`)
}

// That the bus was not reached, that nobody answered and that the service said no
// are three things to do about.
func TestTheThreeFailuresLookDifferent(t *testing.T) {
	t.Parallel()
	broker, a := node(t)
	_, w := serve(t, "web", "--url", a.Bus)
	victim := service(t, a, labName)
	p := open(t, w.Web+"/services/"+labName, allowing("status of 404"))
	p.until(`document.body.innerText.includes('Lab.Fail')`)
	seen := map[string]string{}
	fail := func(kind, path, want string) {
		t.Helper()
		p.visit(w.Web + path)
		p.until(`document.querySelector('[data-test=send]')`)
		p.control(kb.Enter)
		p.until(`document.querySelector('[data-failure=` + kind + `]')`)
		p.says("[data-failure]", want)
		p.axe(kind)
		p.picture("failure-" + kind)
		look := eval[string](p, `(() => { const f = document.querySelector('[data-failure]'), s = getComputedStyle(f); return f.querySelector('.lab-t').innerText + ' ' + f.querySelector('svg').innerHTML })()`)
		if other, twice := seen[look]; twice {
			t.Errorf("%s and %s look the same: %s", kind, other, look)
		}
		seen[look] = kind
	}
	fail("service", "/query/"+labName+"/Lab.Fail?req="+failing, "order 17 is paid")
	victim.kill()
	fail("nobody", "/query/"+labName+"/Lab.Fail?req=e30", "No node answered")
	broker.kill()
	fail("bus", "/query/"+labName+"/Lab.Fail?req=e30", "did not reach the bus")
	if len(seen) != 3 {
		t.Errorf("saw %v", seen)
	}
}

func TestAServerStreamIsListedAsItComes(t *testing.T) {
	t.Parallel()
	// {"n":3}
	p := open(t, demoWeb(t)+"/query/"+labName+"/Lab.Count?req=eyJuIjozfQ")
	p.button("Open the stream")
	p.says("[data-test=end]", "ended well")
	if n := p.count("[data-test=messages] li.in"); n != 3 {
		t.Errorf("got %d messages, want 3", n)
	}
	p.axe("a stream")
}

func TestAConversationGoesBothWays(t *testing.T) {
	t.Parallel()
	// {"text":"one"}
	p := open(t, demoWeb(t)+"/query/"+labName+"/Lab.Chat?req=eyJ0ZXh0Ijoib25lIn0")
	p.button("Open the stream")
	p.says("[data-test=messages] li.in", "one")
	p.fill("#q-json", `{"text":"two"}`)
	p.button("Send message")
	p.says("[data-test=messages] li.in", "two")
	p.button("Last message sent")
	p.says("[data-test=end]", "ended well")
}

func TestTheInspectorCalls(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services?sel="+greeter)
	p.fill("#ins-rq", `{"name":"Eve"}`)
	p.control(kb.Enter)
	p.says(".inspect [data-test=response]", "Hello Eve")
}

func TestAnEventThatIsPublishedComesBackInTheTail(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/events?subject=parcel.sent")
	p.until(isLive)
	p.says("main", "Listening")
	p.fill("main textarea", `{"parcel":42}`)
	p.button("Publish event")
	p.says("main", `{"parcel":42}`)
}

func TestTheTerminalSpeaksTheWordsOfTheCommand(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/cli")
	p.fill("main input", "list services")
	p.press(kb.Enter)
	p.says("main", greeter)
	p.fill("main input", `query `+greeter+` Say.Hello {"name":"Bob"}`)
	p.press(kb.Enter)
	p.says("main", "Hello Bob")
	p.fill("main input", "rm -rf /")
	p.press(kb.Enter)
	p.says("main", "rm")
}
