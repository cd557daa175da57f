package rpc

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	claimShards = 8
	// maxClaim bounds the calls of one question; a question is then at most
	// 64 KiB.
	maxClaim      = 2048
	maxClaimBytes = 64 << 10
)

// A claim is the body of the question which of these calls an instance has at
// work, and of its answer. The numbers are those of the frames, as decimal
// text, since not every JSON reader holds 64 bits.
type claim struct {
	ID    string   `json:"id,omitempty"`
	Calls []string `json:"calls"`
}

// inProgress are the calls in frames that a server has received and not yet
// answered, by their numbers. Two callers may use the same number.
//
// Each call goes in and comes out, and questions are rare: a list in which every
// call knows its place costs less than a map.
type inProgress [claimShards]struct {
	mu    sync.Mutex
	calls []numbered
}

// A numbered is a call and its number as it came.
type numbered struct {
	seq  uint64
	call *inbound
}

func (p *inProgress) add(seq uint64, c *inbound) {
	shard := &p[seq%claimShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	c.place = len(shard.calls)
	shard.calls = append(shard.calls, numbered{seq, c})
}

func (p *inProgress) remove(seq uint64, c *inbound) {
	shard := &p[seq%claimShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	last := len(shard.calls) - 1
	moved := shard.calls[last]
	shard.calls[c.place], moved.call.place = moved, c.place
	shard.calls[last] = numbered{}
	shard.calls = shard.calls[:last]
}

func (p *inProgress) has(seq uint64) bool {
	shard := &p[seq%claimShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return slices.ContainsFunc(shard.calls, func(n numbered) bool { return n.seq == seq })
}

// claim answers which of the calls in a question are at work here. It runs where
// calls are received, so that it knows of every call that came before the
// question.
func (s *Server) claim(m *nats.Msg) {
	var asked claim
	if !wire.ReplyAllowed(m.Reply) || len(m.Data) > maxClaimBytes || json.Unmarshal(m.Data, &asked) != nil {
		s.dropped.Add(1)
		return
	}
	mine := claim{ID: s.id}
	for _, text := range asked.Calls[:min(len(asked.Calls), maxClaim)] {
		if seq, err := strconv.ParseUint(text, 10, 64); err == nil && s.progress.has(seq) {
			mine.Calls = append(mine.Calls, text)
		}
	}
	if len(mine.Calls) == 0 {
		return
	}
	data, err := json.Marshal(mine)
	if err == nil {
		err = s.conn.Publish(s.life, m.Reply, "", nil, data)
	}
	if err != nil {
		s.log.Warn().Err(err).Msg("calls at work here could not be claimed; their caller may take them for lost")
	}
}
