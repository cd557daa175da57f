package web

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	monitorPatience = time.Second
	monitorQuiet    = 100 * time.Millisecond
	maxMonitored    = 8 << 20 // bytes of an answer of a broker
	maxServers      = 64
	maxConnections  = 1000
	maxSubscribed   = 256 // connections whose subscriptions are read
	maxTopicsOf     = 64  // topics of one connection that are shown
	// monitorFresh is how long an answer of the brokers serves, subscriptionsFresh
	// that of their subscriptions.
	monitorFresh       = time.Second
	subscriptionsFresh = 5 * time.Second
)

// A monitor asks the brokers about themselves: in the system account if there is
// a connection to it, else what the account of the dashboard may know. Its methods
// may be called from any goroutine; one asks at a time.
type monitor struct {
	conn   *bus.Conn
	system *bus.Conn

	turn  chan struct{} // holds one who asks
	asked map[string]asked
}

// asked are the answers of all brokers to one question.
type asked struct {
	at      time.Time
	answers []json.RawMessage
	err     error
}

func newMonitor(conn, system *bus.Conn) *monitor {
	return &monitor{conn: conn, system: system, turn: make(chan struct{}, 1), asked: make(map[string]asked)}
}

// ask asks all brokers, or takes what they have answered a moment ago.
func (m *monitor) ask(ctx context.Context, what string, options any, fresh time.Duration) (asked, error) {
	body, err := json.Marshal(options)
	if err != nil {
		return asked{}, bus.AsError(err)
	}
	key := what + string(body)
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return asked{}, bus.AsError(context.Cause(ctx))
	}
	if a, ok := m.asked[key]; ok && time.Since(a.at) < fresh {
		return a, a.err
	}
	maps.DeleteFunc(m.asked, func(_ string, a asked) bool { return time.Since(a.at) > subscriptionsFresh })
	conn := m.system
	if conn == nil {
		conn = m.conn
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*monitorPatience)
	defer cancel()
	a := asked{at: time.Now()}
	replies := conn.Gather(ctx, "$SYS.REQ.SERVER.PING."+what, nil, body, bus.Gather{
		First: monitorPatience, Quiet: monitorQuiet, Max: maxServers, MaxBytes: maxMonitored,
	})
	for msg, err := range replies {
		if err != nil {
			a.err = err
			break
		}
		a.answers = append(a.answers, msg.Data)
	}
	if len(a.answers) == 0 && a.err == nil {
		a.err = bus.Errorf(bus.PermissionDenied, "no broker has answered")
	}
	m.asked[key] = a
	return a, a.err
}

// about is what surrounds the data of an answer.
type about struct {
	Server struct {
		Name      string `json:"name"`
		ID        string `json:"id"`
		JetStream bool   `json:"jetstream"`
	} `json:"server"`
	Data  json.RawMessage `json:"data"`
	Error *struct {
		Description string `json:"description"`
	} `json:"error"`
}

// each reads the answers as values of a type.
func each[T any](answers []json.RawMessage, f func(*about, *T)) {
	for _, raw := range answers {
		var a about
		var data T
		if json.Unmarshal(raw, &a) == nil && a.Error == nil && json.Unmarshal(a.Data, &data) == nil {
			f(&a, &data)
		}
	}
}

// A connz is what a broker says of its connections.
type connz struct {
	Total       int `json:"total"`
	Connections []struct {
		ID            uint64    `json:"cid"`
		IP            string    `json:"ip"`
		Port          int       `json:"port"`
		Start         time.Time `json:"start"`
		RTT           string    `json:"rtt"`
		Pending       int       `json:"pending_bytes"`
		InMsgs        int64     `json:"in_msgs"`
		OutMsgs       int64     `json:"out_msgs"`
		InBytes       int64     `json:"in_bytes"`
		OutBytes      int64     `json:"out_bytes"`
		Stalls        int64     `json:"stalls"`
		Subscriptions int       `json:"subscriptions"`
		Name          string    `json:"name"`
		Lang          string    `json:"lang"`
		Version       string    `json:"version"`
		Account       string    `json:"account"`
		Kind          string    `json:"kind"`
		Subjects      []string  `json:"subscriptions_list"`
	} `json:"connections"`
}

type connzOptions struct {
	Subscriptions bool `json:"subscriptions"`
	Limit         int  `json:"limit"`
	Auth          bool `json:"auth"`
}

// subscriptions are the topics that somebody subscribes to, with how many do and
// since when that is known; nil and the reason if the brokers do not say.
func (m *monitor) subscriptions(ctx context.Context) (counts map[string]int, at time.Time, note string) {
	told, err := m.ask(ctx, "CONNZ", connzOptions{Subscriptions: true, Limit: maxSubscribed}, subscriptionsFresh)
	if err != nil {
		return nil, told.at, "the broker does not tell this account who subscribes to what (" + bus.AsError(err).Message + "); topics are listed once an event of theirs is seen here"
	}
	counts = make(map[string]int)
	left := 0
	each(told.answers, func(_ *about, c *connz) {
		left += max(0, c.Total-len(c.Connections))
		for _, one := range c.Connections {
			for _, subject := range one.Subjects {
				if wire.CheckPattern(subject) == nil && len(counts) < maxSubjects+1 {
					counts[subject]++
				}
			}
		}
	})
	if left > 0 {
		note = "there are more connections than are read for this list"
	}
	return counts, told.at, note
}

// subscribers counts the subscriptions that get a topic, as of a moment.
func (m *monitor) subscribers(ctx context.Context, topic string) (n int, at time.Time, known bool) {
	if m.system != nil {
		told, err := m.ask(ctx, "SUBSZ", struct {
			Subscriptions bool   `json:"subscriptions"`
			Limit         int    `json:"limit"`
			Test          string `json:"test"`
		}{true, maxConnections, topic}, monitorFresh)
		if err == nil {
			queues := make(map[string]bool)
			each(told.answers, func(_ *about, s *struct {
				Subs []struct {
					Subject string `json:"subject"`
					Queue   string `json:"qgroup"`
					Account string `json:"account"`
				} `json:"subscriptions_list"`
			},
			) {
				for _, sub := range s.Subs {
					switch {
					case sub.Account == "$SYS" || strings.HasPrefix(sub.Subject, "$"):
					case sub.Queue == "":
						n++
					case !queues[sub.Subject+" "+sub.Queue]:
						queues[sub.Subject+" "+sub.Queue] = true
						n++ // one of the queue gets it
					}
				}
			})
			return n, told.at, true
		}
	}
	counts, at, _ := m.subscriptions(ctx)
	for pattern, some := range counts {
		if covers(pattern, topic) {
			n += some
		}
	}
	return n, at, counts != nil
}

// clients are who subscribes to topics, as edges from them: services, and programs
// that know nothing of mbus.
func (m *monitor) clients(ctx context.Context, view clientView) []edgeView {
	told, err := m.ask(ctx, "CONNZ", connzOptions{Subscriptions: true, Limit: maxSubscribed}, subscriptionsFresh)
	if err != nil {
		return nil
	}
	var edges []edgeView
	known := make(map[edgeKey]bool)
	each(told.answers, func(a *about, c *connz) {
		for _, one := range c.Connections {
			topics := topicsOf(one.Subjects)
			if len(topics) == 0 {
				continue
			}
			name := program(view, a.Server.ID, one.ID, one.Name)
			for _, topic := range topics {
				key := edgeKey{topicPrefix + topic, name}
				if known[key] || len(edges) >= maxSubjects {
					continue
				}
				known[key] = true
				edges = append(edges, edgeView{From: key.from, To: key.to, Rate: unknownNumber(), Errors: unknownNumber(), Calls: unknownNumber(), Source: "broker"})
			}
		}
	})
	return edges
}

// topicsOf are the subscriptions to topics among all of a connection.
func topicsOf(subjects []string) []string {
	var topics []string
	for _, subject := range subjects {
		if len(topics) < maxTopicsOf && wire.CheckPattern(subject) == nil {
			topics = append(topics, subject)
		}
	}
	return topics
}

// topicPrefix begins the name of a topic in the topology.
const topicPrefix = "topic "

// jetStream asks for the streams that the account of the dashboard has.
func (m *monitor) jetStream(ctx context.Context) *jetStreamData {
	js, err := m.conn.JetStream()
	if err != nil {
		return &jetStreamData{Streams: []streamData{}, Error: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, monitorPatience)
	defer cancel()
	d := &jetStreamData{Streams: []streamData{}}
	info, err := js.AccountInfo(ctx)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			d.Error = "JetStream has not answered"
		} else {
			d.Error = err.Error()
		}
		return d
	}
	d.Memory, d.Store = info.Memory, info.Store
	list := js.ListStreams(ctx)
	for s := range list.Info() {
		if len(d.Streams) == maxStreams {
			d.More++
			continue
		}
		one := streamData{
			Name: s.Config.Name, Subjects: s.Config.Subjects, Messages: s.State.Msgs, Bytes: s.State.Bytes,
			First: s.State.FirstSeq, Last: s.State.LastSeq, Consumers: []consumerData{}, Count: s.State.Consumers,
		}
		if one.Subjects == nil {
			one.Subjects = []string{}
		}
		d.Streams = append(d.Streams, one)
	}
	if err := list.Err(); err != nil {
		d.Error = err.Error()
	}
	for i := range d.Streams[:min(len(d.Streams), maxConsumed)] {
		stream, err := js.Stream(ctx, d.Streams[i].Name)
		if err != nil {
			continue // it has gone meanwhile
		}
		for c := range stream.ListConsumers(ctx).Info() {
			if len(d.Streams[i].Consumers) < maxConsumers {
				d.Streams[i].Consumers = append(d.Streams[i].Consumers, consumerData{c.Name, c.NumPending, c.NumAckPending, c.NumRedelivered})
			}
		}
	}
	slices.SortFunc(d.Streams, func(a, b streamData) int { return strings.Compare(a.Name, b.Name) })
	return d
}
