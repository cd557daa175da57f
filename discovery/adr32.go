package discovery

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// Metadata of ADR-32 answers by which mbus services know each other.
const (
	metaPrefix   = "mbus."
	metaV        = "mbus.v"         // protocol version; a service without it is foreign
	metaName     = "mbus.name"      // dotted service name
	metaVersion  = "mbus.version"   // version as given
	metaCodecs   = "mbus.codecs"    // short names joined by commas
	metaState    = "mbus.state"     // one of the States, absent while the instance is up
	metaBatch    = "mbus.batch"     // in a PING answer alone: the most calls in one message that it reads
	metaLeftOut  = "mbus.truncated" // what did not fit into the answer: metadata, hashes, endpoints
	metaMethod   = "mbus.method"    // dotted method name
	metaKind     = "mbus.kind"      // one of the Kind constants
	metaRequest  = "mbus.request"   // hash of the schema of the request
	metaResponse = "mbus.response"  // hash of the schema of the response
)

// MetaIdempotent is the metadata by which an endpoint declares that a call may
// run twice with the effect of running once: "true" or absent.
const MetaIdempotent = "idempotent"

// metaIdempotents is the metadata of a PING answer that lists the methods which
// declare themselves idempotent, joined by commas, up to 1 KiB of them: who only
// calls a service learns it so from the answer that tells what it speaks.
const metaIdempotents = "mbus.idempotent"

// maxIdempotents bounds that list; methods beyond it are not named.
const maxIdempotents = 1 << 10

// Types of ADR-32 answers.
const (
	typePrefix = "io.nats.micro.v1."
	typePing   = typePrefix + "ping_response"
	typeInfo   = typePrefix + "info_response"
	typeStats  = typePrefix + "stats_response"
)

const (
	maxInfo  = 8 << 10  // bytes of a PING or an INFO answer
	maxStats = 64 << 10 // bytes of a STATS answer: what scatter readers accept
	// maxLastError bounds the text of one error in STATS.
	maxLastError = 256
)

// EndpointStats are the counters of one method since the start of the
// instance.
type EndpointStats struct {
	Method           string
	Requests, Errors uint64
	// LastError is one line, or empty.
	LastError string
	// Processing is the time spent in handlers, all requests together.
	Processing time.Duration
	// Data is anything else worth knowing, such as percentiles. ADR-32 carries
	// it as a string that holds JSON.
	Data map[string]any
}

// answers are the bytes that an instance answers $SRV with. They are prepared
// whenever the announcement changes, so that a thousand instances in one
// process can answer a broadcast.
//
// Tools are strict about them: at least one metadata entry at both levels,
// nothing null, no keys but those of ADR-32, whole nanoseconds, data a string.
type answers struct {
	identity  srvIdentity
	started   time.Time
	endpoints []srvEndpoint
	methods   []string // of endpoints, with their dots
	ping      []byte
	info      []byte
}

type srvIdentity struct {
	Name     string            `json:"name"`
	ID       string            `json:"id"`
	Version  string            `json:"version"`
	Metadata map[string]string `json:"metadata"`
}

type srvPing struct {
	srvIdentity
	Type string `json:"type"`
}

type srvInfo struct {
	srvIdentity
	Type        string        `json:"type"`
	Description string        `json:"description"`
	Endpoints   []srvEndpoint `json:"endpoints"`
}

type srvEndpoint struct {
	Name       string            `json:"name"`
	Subject    string            `json:"subject"`
	QueueGroup string            `json:"queue_group"`
	Metadata   map[string]string `json:"metadata"`
}

type srvStats struct {
	srvIdentity
	Type      string             `json:"type"`
	Started   time.Time          `json:"started"`
	Endpoints []srvEndpointStats `json:"endpoints"`
}

type srvEndpointStats struct {
	Name        string `json:"name"`
	Subject     string `json:"subject"`
	QueueGroup  string `json:"queue_group"`
	NumRequests uint64 `json:"num_requests"`
	NumErrors   uint64 `json:"num_errors"`
	LastError   string `json:"last_error"`
	Processing  int64  `json:"processing_time"`
	Average     int64  `json:"average_processing_time"`
	Data        string `json:"data,omitempty"`
}

// newAnswers prepares the answers of an instance. What does not fit into 8 KiB
// is left out, the least needed first, and the metadata says so.
func newAnswers(a *announcement, description string, batch int) (answers, error) {
	s := answers{identity: identityOf(a), started: a.Started}
	s.endpoints, s.methods = endpointsOf(a)
	info := srvInfo{srvIdentity: s.identity, Type: typeInfo, Description: cut(description, maxText), Endpoints: s.endpoints}
	if err := info.fit(a); err != nil {
		return answers{}, err
	}
	var err error
	if s.info, err = json.Marshal(info); err != nil {
		return answers{}, bus.AsError(err)
	}
	s.identity = info.srvIdentity
	s.ping, err = json.Marshal(srvPing{srvIdentity: s.identity.declaring(a.Endpoints, batch), Type: typePing})
	if err != nil {
		return answers{}, bus.AsError(err)
	}
	return s, nil
}

// declaring is the identity with what only callers need to know: the methods that
// declare themselves idempotent, and the most calls in one message.
func (s srvIdentity) declaring(endpoints []Endpoint, batch int) srvIdentity {
	var list string
	for _, e := range endpoints {
		if e.Metadata[MetaIdempotent] == "true" && len(list)+len(e.Name) < maxIdempotents {
			list += "," + e.Name
		}
	}
	if list == "" && batch == 0 {
		return s
	}
	s.Metadata = maps.Clone(s.Metadata)
	if list != "" {
		s.Metadata[metaIdempotents] = list[1:]
	}
	if batch > 0 {
		s.Metadata[metaBatch] = strconv.Itoa(batch)
	}
	return s
}

func identityOf(a *announcement) srvIdentity {
	meta := maps.Clone(a.Metadata)
	if meta == nil {
		meta = make(map[string]string)
	}
	maps.Copy(meta, ownMetadata(a))
	return srvIdentity{
		Name: wire.Escape(a.Name), ID: wire.EscapeID(a.ID), Version: wire.ADRVersion(a.Version), Metadata: meta,
	}
}

func ownMetadata(a *announcement) map[string]string {
	meta := map[string]string{
		metaV: fmt.Sprint(a.V), metaName: a.Name, metaVersion: a.Version, metaCodecs: joinCodecs(a.Codecs),
	}
	if a.State != StateUp {
		meta[metaState] = string(a.State)
	}
	return meta
}

func endpointsOf(a *announcement) ([]srvEndpoint, []string) {
	endpoints, methods := make([]srvEndpoint, 0, len(a.Endpoints)), make([]string, 0, len(a.Endpoints))
	for _, e := range a.Endpoints {
		meta := maps.Clone(e.Metadata)
		if meta == nil {
			meta = make(map[string]string)
		}
		maps.Copy(meta, e.ownMetadata())
		if e.Request != "" {
			meta[metaRequest] = e.Request
		}
		if e.Response != "" {
			meta[metaResponse] = e.Response
		}
		endpoints = append(endpoints, srvEndpoint{
			Name: wire.Escape(e.Name), Subject: wire.CallSubject(a.Name, e.Name), QueueGroup: wire.Queue, Metadata: meta,
		})
		methods = append(methods, e.Name)
	}
	return endpoints, methods
}

func (e *Endpoint) ownMetadata() map[string]string {
	return map[string]string{metaMethod: e.Name, metaKind: orElse(e.Kind, KindUnary)}
}

// fit shortens an INFO until it is small enough.
func (i *srvInfo) fit(a *announcement) error {
	for _, shorten := range []func(){
		func() {},
		func() { // what users added to endpoints
			i.leaveOut("metadata")
			for n := range i.Endpoints {
				hashes := ownHashes(i.Endpoints[n].Metadata)
				i.Endpoints[n].Metadata = a.Endpoints[n].ownMetadata()
				maps.Copy(i.Endpoints[n].Metadata, hashes)
			}
		},
		func() { // what users added to the service
			i.Metadata = ownMetadata(a)
			i.leaveOut("metadata")
		},
		func() {
			i.leaveOut("metadata,hashes")
			for n := range i.Endpoints {
				i.Endpoints[n].Metadata = a.Endpoints[n].ownMetadata()
			}
		},
		func() { i.leaveOut("metadata,hashes,endpoints") },
	} {
		shorten()
		data, err := json.Marshal(i)
		if err != nil {
			return bus.AsError(err)
		}
		if len(data) <= maxInfo {
			return nil
		}
	}
	return i.fitEndpoints()
}

// fitEndpoints keeps the first endpoints, as many as there is room for.
func (i *srvInfo) fitEndpoints() error {
	all := i.Endpoints
	i.Endpoints = []srvEndpoint{}
	data, err := json.Marshal(i)
	if err != nil {
		return bus.AsError(err)
	}
	room := maxInfo - len(data)
	for n := range all {
		one, err := json.Marshal(all[n])
		if err != nil {
			return bus.AsError(err)
		}
		if room -= len(one) + 1; room < 0 {
			break
		}
		i.Endpoints = all[:n+1]
	}
	return nil
}

// leaveOut says what is missing, without changing the map of the announcement.
func (i *srvInfo) leaveOut(what string) {
	i.Metadata = maps.Clone(i.Metadata)
	i.Metadata[metaLeftOut] = what
}

func ownHashes(m map[string]string) map[string]string {
	hashes := make(map[string]string)
	for _, key := range []string{metaRequest, metaResponse} {
		if m[key] != "" {
			hashes[key] = m[key]
		}
	}
	return hashes
}

// stats is the STATS answer with these counters. Every endpoint is in it, in
// the order of INFO.
func (s *answers) stats(counters []EndpointStats) []byte {
	byMethod := make(map[string]*EndpointStats, len(counters))
	for i := range counters {
		byMethod[counters[i].Method] = &counters[i]
	}
	out := srvStats{srvIdentity: s.identity, Type: typeStats, Started: s.started.UTC(), Endpoints: make([]srvEndpointStats, 0, len(s.endpoints))}
	for i, e := range s.endpoints {
		one := srvEndpointStats{Name: e.Name, Subject: e.Subject, QueueGroup: e.QueueGroup}
		if c := byMethod[s.methods[i]]; c != nil {
			one.count(c)
		}
		out.Endpoints = append(out.Endpoints, one)
	}
	data, err := json.Marshal(out)
	if err == nil && len(data) <= maxStats {
		return data
	}
	return out.short()
}

func (o *srvEndpointStats) count(c *EndpointStats) {
	o.NumRequests, o.NumErrors, o.LastError = c.Requests, c.Errors, cut(wire.CleanMessage(c.LastError), maxLastError)
	o.Processing = c.Processing.Nanoseconds()
	if c.Requests > 0 {
		o.Average = o.Processing / int64(min(c.Requests, 1<<62))
	}
	if len(c.Data) > 0 {
		if data, err := json.Marshal(c.Data); err == nil { // what JSON cannot say is left out
			o.Data = string(data)
		}
	}
}

// short leaves out the data, then the last endpoints, until STATS is small
// enough.
func (s *srvStats) short() []byte {
	for i := range s.Endpoints {
		s.Endpoints[i].Data = ""
	}
	for {
		data, err := json.Marshal(s)
		if err != nil || len(data) <= maxStats || len(s.Endpoints) == 0 {
			return data // these types always marshal
		}
		s.Endpoints = s.Endpoints[:len(s.Endpoints)*3/4]
	}
}
