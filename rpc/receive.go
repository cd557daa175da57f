package rpc

import (
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
)

// receiveAny takes calls of whatever method: those that are meant for this
// instance alone, and with HandleAny all of its service. prefix is what comes
// before the method in their subjects.
func (s *Server) receiveAny(prefix string) func(*nats.Msg) {
	return func(m *nats.Msg) {
		method := strings.TrimPrefix(m.Subject, prefix)
		if e := s.endpoint(method); e != nil {
			e.receive(m)
			return
		}
		if !wire.ReplyAllowed(m.Reply) {
			s.dropped.Add(1)
			return
		}
		c := &inbound{ep: &endpoint{srv: s, method: method}, msg: m, data: m.Data, arrived: s.conn.Now()}
		_ = c.parse() // for the spelling of the answer alone
		c.reply(nil, s.unknownMethod(method))
	}
}
