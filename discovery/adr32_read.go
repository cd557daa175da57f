package discovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// maxSrvReply bounds the answers to $SRV that are read, in bytes.
const maxSrvReply = 64 << 10

// A foundService is what a PING or an INFO of anyone says. Reading is lenient:
// old and foreign writers leave keys out, write null, or put numbers where
// strings belong.
type foundService struct {
	Name        string         `json:"name"`
	ID          string         `json:"id"`
	Version     looseString    `json:"version"`
	Type        looseString    `json:"type"`
	Description looseString    `json:"description"`
	Metadata    looseStrings   `json:"metadata"`
	Endpoints   looseEndpoints `json:"endpoints"`
}

type foundEndpoint struct {
	Name       string       `json:"name"`
	Subject    string       `json:"subject"`
	QueueGroup looseString  `json:"queue_group"`
	Metadata   looseStrings `json:"metadata"`
}

// readSrv reads an answer to $SRV.PING or $SRV.INFO as an instance, without
// endpoints if it was a PING. An instance is an mbus one only if the names that
// it gives itself agree.
func readSrv(data []byte) (Instance, error) {
	if len(data) > maxSrvReply {
		return Instance{}, fmt.Errorf("%d bytes, at most %d are allowed", len(data), maxSrvReply)
	}
	if err := codec.Guard(codec.JSON, data); err != nil {
		return Instance{}, err
	}
	var f foundService
	if err := json.Unmarshal(data, &f); err != nil {
		return Instance{}, err
	}
	if !strings.HasPrefix(string(f.Type), typePrefix) {
		return Instance{}, fmt.Errorf("type %.140q", f.Type)
	}
	if !adrName(f.Name) || !srvID(f.ID) {
		return Instance{}, errors.New("name or id cannot be asked for")
	}
	i := Instance{Service: f.Name, ID: f.ID, Version: cut(string(f.Version), maxText), Metadata: f.Metadata, Foreign: true}
	if v, err := strconv.Atoi(f.Metadata[metaV]); err == nil && v > 0 {
		if err := i.own(v, f.Metadata); err != nil {
			return Instance{}, err
		}
	}
	for n, e := range f.Endpoints {
		if n >= maxEndpoints {
			break
		}
		if endpoint, ok := e.endpoint(&i); ok {
			i.Endpoints = append(i.Endpoints, endpoint)
		}
	}
	return i, nil
}

// own makes i an mbus instance, with the names that people use.
func (i *Instance) own(v int, meta map[string]string) error {
	name := meta[metaName]
	if wire.CheckService(name) != nil || wire.Escape(name) != i.Service {
		return fmt.Errorf("the service calls itself %.140q and %.140q", i.Service, name)
	}
	id, ok := wire.UnescapeID(i.ID)
	if !ok {
		return fmt.Errorf("id %.140q", i.ID)
	}
	i.Service, i.ID, i.V, i.Foreign = name, id, v, false
	if version, ok := meta[metaVersion]; ok {
		i.Version = cut(version, maxText)
	}
	if codecs := meta[metaCodecs]; codecs != "" {
		i.Codecs = strings.SplitN(codecs, ",", maxCodecs)
	}
	if State(meta[metaState]) == StateDraining {
		i.State = StateDraining
	}
	i.Metadata = usersOnly(meta)
	return nil
}

func (e *foundEndpoint) endpoint(i *Instance) (Endpoint, bool) {
	if i.Foreign {
		if e.Name == "" || len(e.Name) > maxText || !subject(e.Subject) {
			return Endpoint{}, false
		}
		return Endpoint{Name: e.Name, Subject: e.Subject, Metadata: e.Metadata}, true
	}
	out := Endpoint{
		Name: e.Metadata[metaMethod], Kind: e.Metadata[metaKind],
		Request: e.Metadata[metaRequest], Response: e.Metadata[metaResponse], Metadata: usersOnly(e.Metadata),
	}
	if out.Kind == KindUnary {
		out.Kind = ""
	}
	return out, out.check() == nil
}

// usersOnly takes out the metadata that mbus put in.
func usersOnly(meta map[string]string) map[string]string {
	var out map[string]string
	for key, value := range meta {
		if strings.HasPrefix(key, metaPrefix) {
			continue
		}
		if out == nil {
			out = make(map[string]string)
		}
		out[key] = value
	}
	return out
}

// adrName reports whether s can be an ADR-32 service name: a token of
// [A-Za-z0-9_-].
func adrName(s string) bool {
	if s == "" || len(s) > 2*wire.MaxNameBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// srvID reports whether an instance with this id can be asked alone.
func srvID(s string) bool {
	return len(s) <= 3*wire.MaxIDBytes && subject(s) && !strings.ContainsAny(s, "*>")
}

// subject reports whether s has the form of a NATS subject.
func subject(s string) bool {
	if s == "" || len(s) > maxText*2 {
		return false
	}
	for token := range strings.SplitSeq(s, ".") {
		if token == "" {
			return false
		}
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func joinCodecs(codecs []string) string { return strings.Join(codecs, ",") }

// looseString takes any JSON value: a string as it is, null as nothing,
// anything else as its JSON text.
type looseString string

func (s *looseString) UnmarshalJSON(data []byte) error {
	var text string
	switch {
	case data[0] == '"':
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	case !bytes.Equal(data, []byte("null")):
		text = string(data)
	}
	*s = looseString(cut(text, maxSrvReply))
	return nil
}

// looseStrings takes an object with any values; anything else is nothing.
type looseStrings map[string]string

func (s *looseStrings) UnmarshalJSON(data []byte) error {
	if data[0] != '{' {
		return nil
	}
	var loose map[string]looseString
	if err := json.Unmarshal(data, &loose); err != nil {
		return err
	}
	if len(loose) == 0 {
		return nil
	}
	*s = make(looseStrings, len(loose))
	for key, value := range loose {
		(*s)[key] = string(value)
	}
	return nil
}

// looseEndpoints skips what is no endpoint.
type looseEndpoints []foundEndpoint

func (l *looseEndpoints) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		return nil
	}
	var all []json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for _, raw := range all {
		var e foundEndpoint
		if json.Unmarshal(raw, &e) == nil {
			*l = append(*l, e)
		}
	}
	return nil
}
