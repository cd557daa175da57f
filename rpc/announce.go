package rpc

import (
	"maps"

	"github.com/mbus-dev/mbus/discovery"
)

// metaTimeout is the endpoint metadata of a time limit, in milliseconds.
const metaTimeout = "timeout"

// metaAddress is the metadata of ServerConfig.Advertise.
const metaAddress = "address"

// maxStatsDetail bounds the callers and latencies in an answer to $SRV.STATS, which
// has 64 KiB; endpoints beyond it are without them there.
const maxStatsDetail = 32 << 10

// newAnnouncer prepares what discovery says of the server.
func (s *Server) newAnnouncer() (*discovery.Announcer, error) {
	metadata := maps.Clone(s.cfg.Metadata)
	if s.cfg.Advertise != "" {
		if metadata == nil {
			metadata = make(map[string]string, 1)
		}
		metadata[metaAddress] = s.cfg.Advertise
	}
	var endpoints []discovery.Endpoint
	for _, e := range s.order {
		if e.opts.internal {
			continue
		}
		endpoints = append(endpoints, discovery.Endpoint{
			Name: e.method, Kind: e.announcedKind(),
			Request: e.request.Hash, Response: e.answer.Hash, Metadata: e.metadata(),
		})
	}
	return discovery.NewAnnouncer(s.conn, discovery.AnnouncerConfig{
		Name: s.cfg.Name, ID: s.id, Version: s.cfg.Version, Metadata: metadata, Endpoints: endpoints,
		Batch: s.batch(), Interval: s.cfg.BeatInterval, Load: s.load, Stats: s.announcedStats, Logger: s.log,
	})
}

func (e *endpoint) announcedKind() string {
	if e.kind == "" {
		return discovery.KindUnary
	}
	return e.kind
}

// load is the share of Concurrency that is at work, in percent, and how many
// calls and streams the instance has.
func (s *Server) load() (percent, inFlight int) {
	return min(100, int(s.atWork.Load())*100/s.cfg.Concurrency), int(s.busy())
}

// announcedStats is what $SRV.STATS tells.
func (s *Server) announcedStats() []discovery.EndpointStats {
	var all []discovery.EndpointStats
	room := maxStatsDetail
	for _, e := range s.counted() {
		if e.opts.internal {
			continue
		}
		n := e.counter.read(e.method)
		data := map[string]any{"refused": n.Refused, "p50": n.P50, "p99": n.P99}
		// With everything the answer would be too long, and lose the data of all.
		if size := 12 * len(n.Latency); len(n.Latency) > 0 && size <= room {
			data["latency"] = n.Latency
			room -= size
		}
		size := 0
		for name := range n.Callers {
			size += len(name) + 16
		}
		if size > 0 && size <= room {
			data["callers"] = n.Callers
			room -= size
		}
		all = append(all, discovery.EndpointStats{
			Method: n.Name, Requests: n.Requests, Errors: n.Errors, LastError: n.LastError, Processing: n.Processing, Data: data,
		})
	}
	return all
}
