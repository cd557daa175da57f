package wire

import "strings"

// Queue is the one queue group of mbus: calls and registry requests are subscribed in it, so that one instance gets each.
const Queue = "q"

// Fixed subjects.
const (
	AnnounceAll = "mbus.announce.*.*.*" // pattern: every announcement of every service
	PaceSubject = "mbus.registry.pace"  // the registrar says how often to beat
)

const (
	callPrefix     = "mbus.rpc."
	nodePrefix     = "mbus.node."
	streamPrefix   = "mbus.stream."
	announcePrefix = "mbus.announce."
	probeAll       = "mbus.probe"
	registryPrefix = "mbus.registry."
	cancelPrefix   = "mbus.cancel."
	claimPrefix    = "mbus.claim."
	srvPrefix      = "$SRV."
	importPrefix   = "_R_." // reply subjects as the broker rewrites them where one account imports another's service
)

// Events of an instance, the last token of its announce subjects.
const (
	EventUp     = "up"     // here I am, in full
	EventBeat   = "beat"   // still here, with load
	EventChange = "change" // here I am, in full, with something changed
	EventDrain  = "drain"  // choose me no more
	EventDown   = "down"   // gone
)

// Verbs of ADR-32 for SrvSubject.
const (
	VerbPing  = "PING"
	VerbInfo  = "INFO"
	VerbStats = "STATS"
)

// Operations of a registrar for RegistrySubject.
const (
	RegistryList       = "list"
	RegistryGet        = "get"
	RegistryRegister   = "register"
	RegistryDeregister = "deregister"
	RegistryWatch      = "watch"
)

// The functions below build subjects from dotted service names, ids and methods, which they escape where the protocol
// says so but do not check: a caller checks once, with CheckService, CheckMethod and CheckID, where the name comes in.

// CallSubject is where calls of a method go, one instance answers: mbus.rpc.<svc>.<Method>.
func CallSubject(service, method string) string {
	b := make([]byte, 0, len(callPrefix)+len(service)+len(method)+8)
	b = append(b, callPrefix...)
	b = appendEscaped(b, service)
	b = append(b, '.')
	return string(append(b, method...))
}

// NodeSubject is where calls to one instance go: mbus.node.<svc>.<id>.<Method>.
func NodeSubject(service, id, method string) string { return build(nodePrefix, service, id, method) }

// NodeWildcard is what an instance subscribes to for calls to it alone: mbus.node.<svc>.<id>.>.
func NodeWildcard(service, id string) string { return build(nodePrefix, service, id, ">") }

// StreamSubject is where the caller of a stream sends its frames: mbus.stream.<svc>.<id>.<sid>. The instance chooses
// sid, one token.
func StreamSubject(service, id, sid string) string { return build(streamPrefix, service, id, sid) }

// StreamWildcard is what an instance subscribes to for the frames of all its streams: mbus.stream.<svc>.<id>.*.
func StreamWildcard(service, id string) string { return build(streamPrefix, service, id, "*") }

// UplinkAllowed reports whether the reply subject of an ACCEPT frame may be sent to: it is a stream subject of the
// instance that was to accept, or a reply subject rewritten by the broker between accounts (_R_.). Anything else would let
// an instance direct its caller's frames at a third party.
func UplinkAllowed(subject, service, id string) bool {
	if rest, ok := strings.CutPrefix(subject, build(streamPrefix, service, id, "")); ok {
		return oneToken(rest)
	}
	rest, ok := strings.CutPrefix(subject, importPrefix)
	return ok && rest != "" && !strings.ContainsAny(rest, "*> \t\r\n")
}

// AnnounceSubject is where an instance says event, one of the Event constants: mbus.announce.<svc>.<id>.<event>.
func AnnounceSubject(service, id, event string) string {
	return build(announcePrefix, service, id, event)
}

// AnnouncePattern is what a watcher of one service subscribes to: mbus.announce.<svc>.*.*.
func AnnouncePattern(service string) string {
	return announcePrefix + Escape(service) + ".*.*"
}

// ProbeSubject asks the instances of service, or of all services if it is "", to announce themselves to the asker.
func ProbeSubject(service string) string {
	if service == "" {
		return probeAll
	}
	return probeAll + "." + Escape(service)
}

// SrvSubject is an ADR-32 subject: $SRV.<verb>[.<name>[.<id>]]. name and id are used verbatim, since foreign services
// have them too: for an mbus service pass Escape(service) and EscapeID(id). With name "" the id is left out too.
func SrvSubject(verb, name, id string) string {
	switch {
	case name == "":
		return srvPrefix + verb
	case id == "":
		return srvPrefix + verb + "." + name
	}
	return srvPrefix + verb + "." + name + "." + id
}

// RegistrySubject is where registrars answer op, one of the Registry constants: mbus.registry.<op>.
func RegistrySubject(op string) string { return registryPrefix + op }

// CancelSubject is where the connection conn (Conn.ID, the header Mbus-Conn) says which of its calls to stop.
func CancelSubject(conn string) string { return cancelPrefix + conn }

// ClaimSubject asks the instances of service which of certain calls they have at work: mbus.claim.<svc>.
func ClaimSubject(service string) string { return claimPrefix + Escape(service) }

// build joins prefix, the escaped service, the escaped id and last.
func build(prefix, service, id, last string) string {
	b := make([]byte, 0, len(prefix)+len(service)+len(id)+len(last)+16)
	b = append(b, prefix...)
	b = appendEscaped(b, service)
	b = append(b, '.')
	b = appendEscapedID(b, id)
	b = append(b, '.')
	return string(append(b, last...))
}

// ParseCall splits a CallSubject. It is false for every other subject.
func ParseCall(subject string) (service, method string, ok bool) {
	rest, ok := strings.CutPrefix(subject, callPrefix)
	if !ok {
		return "", "", false
	}
	token, method, ok := strings.Cut(rest, ".")
	if !ok || CheckMethod(method) != nil {
		return "", "", false
	}
	if service, ok = Unescape(token); !ok {
		return "", "", false
	}
	return service, method, true
}

// ParseNode splits a NodeSubject. It is false for every other subject.
func ParseNode(subject string) (service, id, method string, ok bool) {
	service, id, method, ok = parse(nodePrefix, subject)
	if !ok || CheckMethod(method) != nil {
		return "", "", "", false
	}
	return service, id, method, true
}

// ParseStream splits a StreamSubject. It is false for every other subject.
func ParseStream(subject string) (service, id, sid string, ok bool) {
	service, id, sid, ok = parse(streamPrefix, subject)
	if !ok || !oneToken(sid) {
		return "", "", "", false
	}
	return service, id, sid, true
}

// ParseAnnounce splits an AnnounceSubject; event is one of the Event constants. It is false for every other subject.
func ParseAnnounce(subject string) (service, id, event string, ok bool) {
	service, id, event, ok = parse(announcePrefix, subject)
	if ok {
		switch event {
		case EventUp, EventBeat, EventChange, EventDrain, EventDown:
			return service, id, event, true
		}
	}
	return "", "", "", false
}

func parse(prefix, subject string) (service, id, last string, ok bool) {
	rest, ok := strings.CutPrefix(subject, prefix)
	if !ok {
		return "", "", "", false
	}
	token, rest, ok := strings.Cut(rest, ".")
	if !ok {
		return "", "", "", false
	}
	idToken, last, ok := strings.Cut(rest, ".")
	if !ok {
		return "", "", "", false
	}
	if service, ok = Unescape(token); !ok {
		return "", "", "", false
	}
	id, ok = UnescapeID(idToken)
	return service, id, last, ok
}

// oneToken reports whether s is one subject token of [A-Za-z0-9_-], at most MaxNameBytes long.
func oneToken(s string) bool {
	if s == "" || len(s) > MaxNameBytes {
		return false
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return false
		}
	}
	return true
}

// ReplyAllowed reports whether a request with this reply subject may be served: the subject is not empty and starts
// with '_', as _INBOX., custom inbox prefixes and the rewritten _R_. and _GR_. do. Any other reply subject would make
// the service publish, with its own rights, where the caller may not.
func ReplyAllowed(subject string) bool { return subject != "" && subject[0] == '_' }
