//go:build unix

package browsertest

import (
	"strings"
	"testing"
)

// Without the bus no page claims what it does not know, and each says the truth
// again by itself.
func TestWithoutTheBusNoPageClaimsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	broker, a := node(t)
	_, w := serve(t, "web", "--url", a.Bus)
	p := open(t, w.Web+"/services")
	p.until(isLive)
	broker.kill()
	p.says(".pill", "bus disconnected")
	for path, claims := range map[string][]string{
		"/bus":                        {"Connected to", "No streams", "account", "0 B", "nats: "},
		"/events?subject=parcel.sent": {"Listening.", "does not tell this account", "nobody"},
	} {
		p.visit(w.Web + path)
		p.says("main", "The bus is disconnected")
		text := p.text("main")
		for _, claim := range claims {
			if strings.Contains(text, claim) {
				t.Errorf("%s claims %q:\n%s", path, claim, text)
			}
		}
		p.axe(path + " without the bus")
	}
	p.visit(w.Web + "/bus")
	serve(t, "node", "--ephemeral", "--listen", strings.TrimPrefix(a.Bus, "nats://"))
	p.says("main", "Connected to")
	p.until(`document.querySelector('.figs dd').innerText === 'up'`)
}
