//go:build unix

package browsertest

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// The list of subjects and the field to publish count the same: others, without
// the dashboard that looks.
func TestTheCountsOfSubscribersAgree(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	p := open(t, a.Web+"/events?subject=parcel.sent")
	p.until(isLive)
	p.says("form[aria-label=Publish]", "only this dashboard will receive it")
	if text := p.text(".stree"); strings.Contains(text, "sub") {
		t.Errorf("nobody subscribes, and the list says %q", text)
	}
	start(t, mbus, []string{"MBUS_URL=" + a.Bus}, "subscribe", "parcel.sent")
	p.says("form[aria-label=Publish]", "1 subscriber will receive it")
	p.says(".stree", "1 sub")
	p.fill("#p-topic", "parcel.lost")
	p.says("form[aria-label=Publish]", "nobody will receive it")
}

// The keys of a list go through the events, too.
func TestTheKeyboardGoesThroughTheEvents(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/events?subject=user.created")
	const chosen = `document.querySelector('.erow[aria-selected=true]')?.id`
	p.until(`document.querySelectorAll('.erow').length > 2`)
	p.press("j")
	p.until(chosen)
	last := eval[string](p, chosen)
	p.press("k")
	p.until(chosen + ` !== ` + quote(last))
	p.says("section.event", `"name": "user-`)
	for _, c := range []struct{ key, want string }{
		{kb.Home, `document.querySelector('.erow').id`},
		{kb.PageDown, `[...document.querySelectorAll('.erow')].at(Math.min(12, document.querySelectorAll('.erow').length - 1)).id`},
		{kb.PageUp, `document.querySelector('.erow').id`},
	} {
		p.press(c.key)
		p.until(chosen + ` === ` + c.want)
	}
	p.press(".")
	p.until(`document.activeElement.closest('section.event')`)
	eval[bool](p, `(document.querySelector('.etail').focus(), true)`)
	p.press(kb.End) // the newest, and those that come
	p.until(`!(` + chosen + `) && [...document.querySelectorAll('.tail button')].find(b => b.innerText === 'Follow').getAttribute('aria-pressed') === 'true'`)
}

// A pause holds what comes and what is fetched; then nothing is missing.
func TestAPauseLosesNoEvent(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/events?subject=user.created")
	p.says(".erow", "user-")
	p.press("p")
	p.says(".pill", "paused at")
	shown := `document.querySelectorAll('.erow').length`
	before := eval[int](p, shown)
	p.until(`Number(/\+(\d+) waiting/.exec(document.querySelector('.pill').innerText)?.[1]) >= 8`)
	if after := eval[int](p, shown); after != before {
		t.Errorf("paused it went from %d events to %d", before, after)
	}
	p.press("p")
	p.until(shown + ` > 2`)
	numbers := eval[[]int](p, `[...document.querySelectorAll('.erow')].map(e => Number(e.id.slice(3)))`)
	for i := 1; i < len(numbers); i++ {
		if numbers[i] != numbers[i-1]+1 {
			t.Errorf("after the pause the events are %v", numbers)
			break
		}
	}
}

// The subject alone says nothing where all events have the same.
func TestAnEventHasRoomForItsData(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/events?subject=user.created")
	p.says(".erow", "user-")
	for _, width := range []int64{1440, 1120, 1024, 910, 390, 360} {
		p.size(width, 800, 1)
		p.settle()
		if cut := eval[int](p, `[...document.querySelectorAll('.erow .ed')].filter(e => e.scrollWidth > e.clientWidth).length`); cut > 0 {
			t.Errorf("at %d the data of %d short events is cut", width, cut)
		}
	}
}
