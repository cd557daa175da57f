package wire_test

import (
	"testing"

	"github.com/mbus-dev/mbus/bus/wire"
)

func TestParseCallRefusesOtherSubjects(t *testing.T) {
	for _, s := range []string{
		"", "mbus.rpc", "mbus.rpc.", "mbus.rpc.a", "mbus.rpc.a.", "mbus.rpc..B", "mbus.rpc.a___b.C", "mbus.rpc.a.B..C",
		"mbus.rpc.a._B", "mbus.rpc.*.B", "mbus.rpc.a.>", "mbus.rpc.a.B C", "mbus.node.a.B", "xmbus.rpc.a.B", "MBUS.rpc.a.B",
	} {
		if svc, method, ok := wire.ParseCall(s); ok || svc != "" || method != "" {
			t.Errorf("ParseCall(%q) = %q, %q, %t, want false", s, svc, method, ok)
		}
	}
}

func TestParseNodeRefusesOtherSubjects(t *testing.T) {
	for _, s := range []string{
		"", "mbus.node.a.i", "mbus.node.a.i.", "mbus.node.a..M", "mbus.node..i.M", "mbus.node.a.i_.M", "mbus.node.a_.i.M",
		"mbus.node.a.i.>", "mbus.node.a.*.M", "mbus.rpc.a.i.M",
	} {
		if svc, id, method, ok := wire.ParseNode(s); ok || svc+id+method != "" {
			t.Errorf("ParseNode(%q) = %q, %q, %q, %t, want false", s, svc, id, method, ok)
		}
	}
}

func TestParseAnnounceRefusesOtherSubjects(t *testing.T) {
	for _, s := range []string{
		"", wire.AnnounceAll, "mbus.announce.a.i", "mbus.announce.a.i.UP", "mbus.announce.a.i.up.x", "mbus.announce.a.i.",
		"mbus.announce.a._.up", "mbus.announce._a.i.up", "mbus.announce.a.i.left", "mbus.registry.a.i.up",
	} {
		if svc, id, event, ok := wire.ParseAnnounce(s); ok || svc+id+event != "" {
			t.Errorf("ParseAnnounce(%q) = %q, %q, %q, %t, want false", s, svc, id, event, ok)
		}
	}
}

func TestParseStreamRefusesOtherSubjects(t *testing.T) {
	for _, s := range []string{"", "mbus.stream.a.i", "mbus.stream.a.i.", "mbus.stream.a.i.*", "mbus.stream.a.i.s.t", "mbus.stream.a.i.s t"} {
		if svc, id, sid, ok := wire.ParseStream(s); ok || svc+id+sid != "" {
			t.Errorf("ParseStream(%q) = %q, %q, %q, %t, want false", s, svc, id, sid, ok)
		}
	}
}

func TestParseGivesBackWhatWasBuilt(t *testing.T) {
	const svc, id, method = "go.micro.srv.my_greeter", "box 1.a", "Say.Hello"
	if s, m, ok := wire.ParseCall(wire.CallSubject(svc, method)); s != svc || m != method || !ok {
		t.Errorf("ParseCall: got %q, %q, %t", s, m, ok)
	}
	if s, i, m, ok := wire.ParseNode(wire.NodeSubject(svc, id, method)); s != svc || i != id || m != method || !ok {
		t.Errorf("ParseNode: got %q, %q, %q, %t", s, i, m, ok)
	}
	if s, i, x, ok := wire.ParseStream(wire.StreamSubject(svc, id, "7f")); s != svc || i != id || x != "7f" || !ok {
		t.Errorf("ParseStream: got %q, %q, %q, %t", s, i, x, ok)
	}
	for _, event := range []string{wire.EventUp, wire.EventBeat, wire.EventChange, wire.EventDrain, wire.EventDown} {
		if s, i, e, ok := wire.ParseAnnounce(wire.AnnounceSubject(svc, id, event)); s != svc || i != id || e != event || !ok {
			t.Errorf("ParseAnnounce: got %q, %q, %q, %t, want event %q", s, i, e, ok, event)
		}
	}
}

func TestUplinkAllowedOnlyForTheInstanceOrARewrittenReply(t *testing.T) {
	const svc, id = "go.micro.srv.greeter", "abc"
	for subject, want := range map[string]bool{
		wire.StreamSubject(svc, id, "1"):         true,
		"_R_.Xy7.1":                              true,
		"":                                       false,
		"_R_.":                                   false,
		"_R_":                                    false,
		"_R_.a.>":                                false,
		"_R_.a b":                                false,
		"mbus.stream.go_micro_srv_greeter.abc.":  false,
		"mbus.stream.go_micro_srv_greeter.abc.*": false,
		"mbus.stream.go_micro_srv_greeter.abc.1.2":      false,
		wire.StreamSubject(svc, "abd", "1"):             false,
		wire.StreamSubject("go.micro.srv", id, "1"):     false,
		"_INBOX.victim.1":                               false,
		"mbus.rpc.payments.Pay":                         false,
		"$JS.API.STREAM.DELETE.x":                       false,
		"xmbus.stream.go_micro_srv_greeter.abc.1":       false,
		"mbus.stream.go_micro_srv_greeter.abc.1\r\nPUB": false,
	} {
		if got := wire.UplinkAllowed(subject, svc, id); got != want {
			t.Errorf("UplinkAllowed(%q) = %t, want %t", subject, got, want)
		}
	}
}

func TestReplyAllowedOnlyUnderUnderscore(t *testing.T) {
	for subject, want := range map[string]bool{
		"_INBOX.a.1": true, "_R_.x": true, "_GR_.x.y": true, "_custom.x": true,
		"": false, "mbus.announce.payments.x.down": false, "$JS.API.INFO": false, "user.created": false, " _INBOX.a": false,
	} {
		if got := wire.ReplyAllowed(subject); got != want {
			t.Errorf("ReplyAllowed(%q) = %t, want %t", subject, got, want)
		}
	}
}
