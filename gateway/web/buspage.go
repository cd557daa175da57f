package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	maxStreams   = 200
	maxConsumed  = 20 // streams whose consumers are shown
	maxConsumers = 100
	// slowBytes is how much waits for a connection that the page calls slow.
	slowBytes = 1 << 20
)

// A clientView finds the instances on a connection of a broker.
type clientView interface {
	AtClient(server string, id uint64) []discovery.Instance
}

type busData struct {
	Topic       string         `json:"topic,omitempty"`
	At          int64          `json:"at"`
	Bus         link           `json:"bus"`
	Me          meData         `json:"me"`
	Servers     []serverData   `json:"servers"`
	Connections []connection   `json:"connections,omitempty"`
	More        int            `json:"more_connections"`
	JetStream   *jetStreamData `json:"jetstream,omitempty"`
	Hidden      []string       `json:"hidden"`
	Commands    commands       `json:"commands"`
}

// meData is the dashboard's own connection.
type meData struct {
	Server     string  `json:"server"`
	Client     uint64  `json:"client"`
	Name       string  `json:"name"`
	MaxPayload int     `json:"max_payload"`
	In         uint64  `json:"in"`
	Out        uint64  `json:"out"`
	RTT        numeral `json:"rtt_ms"`
	System     bool    `json:"system"`
}

type serverData struct {
	ID            string  `json:"id"`
	Name          string  `json:"name"`
	Version       string  `json:"version"`
	Cluster       string  `json:"cluster"`
	Host          string  `json:"host"`
	Port          int     `json:"port"`
	Started       int64   `json:"started"`
	Connections   int     `json:"connections"`
	Slow          int64   `json:"slow_consumers"`
	InMsgs        int64   `json:"in_msgs"`
	OutMsgs       int64   `json:"out_msgs"`
	InBytes       int64   `json:"in_bytes"`
	OutBytes      int64   `json:"out_bytes"`
	Subscriptions uint32  `json:"subscriptions"`
	Memory        int64   `json:"memory"`
	CPU           numeral `json:"cpu"`
	Cores         int     `json:"cores"`
	JetStream     bool    `json:"jetstream"`
}

type connection struct {
	ID            uint64   `json:"id"`
	Server        string   `json:"server"`
	Name          string   `json:"name"`
	Lang          string   `json:"lang"`
	Version       string   `json:"version"`
	IP            string   `json:"ip"`
	Port          int      `json:"port"`
	Account       string   `json:"account"`
	Started       int64    `json:"started"`
	RTT           numeral  `json:"rtt_ms"`
	Pending       int      `json:"pending"`
	InMsgs        int64    `json:"in_msgs"`
	OutMsgs       int64    `json:"out_msgs"`
	InBytes       int64    `json:"in_bytes"`
	OutBytes      int64    `json:"out_bytes"`
	Subscriptions int      `json:"subscriptions"`
	Slow          bool     `json:"slow"`
	Services      []string `json:"services"`
	Instances     []string `json:"instances"`
}

type jetStreamData struct {
	Streams []streamData `json:"streams"`
	More    int          `json:"more,omitempty"`
	Memory  uint64       `json:"memory"`
	Store   uint64       `json:"store"`
	Error   string       `json:"error,omitempty"`
}

type streamData struct {
	Name      string         `json:"name"`
	Subjects  []string       `json:"subjects"`
	Messages  uint64         `json:"messages"`
	Bytes     uint64         `json:"bytes"`
	First     uint64         `json:"first"`
	Last      uint64         `json:"last"`
	Count     int            `json:"consumer_count"`
	Consumers []consumerData `json:"consumers"`
}

type consumerData struct {
	Name        string `json:"name"`
	Pending     uint64 `json:"pending"`
	AckPending  int    `json:"ack_pending"`
	Redelivered int    `json:"redelivered"`
}

func (w *Web) busPage(r *http.Request) (*page, error) {
	d := w.monitor.bus(r.Context(), true)
	w.monitor.connections(r.Context(), d, w.bus.View())
	if w.monitor.conn.Connected() {
		d.JetStream = w.monitor.jetStream(r.Context())
	}
	d.At, d.Bus = time.Now().UnixMilli(), w.collect.state()
	d.Commands = commands{Mbus: w.cfg.Links().mbus() + " doctor"}
	return &page{name: "bus", title: "Bus", data: d, text: d.text}, nil
}

// bus is what can be known of the brokers.
func (m *monitor) bus(ctx context.Context, measure bool) *busData {
	nc := m.conn.NATS()
	stats := nc.Stats()
	d := &busData{Servers: []serverData{}, Hidden: []string{}}
	server, client := m.conn.Identity()
	d.Me = meData{Server: server, Client: client, Name: nc.Opts.Name, MaxPayload: m.conn.MaxPayload(), In: stats.InMsgs, Out: stats.OutMsgs, RTT: unknownNumber(), System: m.system != nil}
	if !m.conn.Connected() {
		d.Hidden = append(d.Hidden, "everything else: the bus is disconnected")
		return d
	}
	if measure {
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, monitorPatience)
		defer cancel()
		if m.conn.Flush(ctx) == nil {
			d.Me.RTT = milliseconds(time.Since(began))
		}
	}
	if m.system == nil {
		d.Hidden = append(d.Hidden, "the servers: only a user of the broker's system account may see them; mbus node does by itself, or with --url and --sys-creds")
		return d
	}
	told, err := m.ask(ctx, "VARZ", struct{}{}, monitorFresh)
	if err != nil {
		d.Hidden = append(d.Hidden, "the servers: "+bus.AsError(err).Message)
	}
	each(told.answers, func(a *about, v *struct {
		ID      string    `json:"server_id"`
		Name    string    `json:"server_name"`
		Version string    `json:"version"`
		Host    string    `json:"host"`
		Port    int       `json:"port"`
		Start   time.Time `json:"start"`
		Cluster struct {
			Name string `json:"name"`
		} `json:"cluster"`
		Connections   int     `json:"connections"`
		SlowConsumers int64   `json:"slow_consumers"`
		InMsgs        int64   `json:"in_msgs"`
		OutMsgs       int64   `json:"out_msgs"`
		InBytes       int64   `json:"in_bytes"`
		OutBytes      int64   `json:"out_bytes"`
		Subscriptions uint32  `json:"subscriptions"`
		Mem           int64   `json:"mem"`
		CPU           float64 `json:"cpu"`
		Cores         int     `json:"cores"`
	},
	) {
		d.Servers = append(d.Servers, serverData{
			ID: v.ID, Name: v.Name, Version: v.Version, Cluster: v.Cluster.Name, Host: v.Host, Port: v.Port, Started: milli(v.Start),
			Connections: v.Connections, Slow: v.SlowConsumers, InMsgs: v.InMsgs, OutMsgs: v.OutMsgs, InBytes: v.InBytes, OutBytes: v.OutBytes,
			Subscriptions: v.Subscriptions, Memory: v.Mem, CPU: numeral(v.CPU), Cores: v.Cores, JetStream: a.Server.JetStream,
		})
	})
	slices.SortFunc(d.Servers, func(a, b serverData) int { return strings.Compare(a.Name, b.Name) })
	return d
}

// connections adds the connections, those with most waiting first.
func (m *monitor) connections(ctx context.Context, d *busData, view clientView) {
	d.Connections = []connection{}
	if !m.conn.Connected() {
		return
	}
	told, err := m.ask(ctx, "CONNZ", connzOptions{Limit: maxConnections, Auth: m.system != nil}, monitorFresh)
	if err != nil {
		d.Hidden = append(d.Hidden, "the connections: "+bus.AsError(err).Message)
		return
	}
	if m.system == nil {
		d.Hidden = append(d.Hidden, "the connections of other accounts")
	}
	each(told.answers, func(a *about, c *connz) {
		d.More += max(0, c.Total-len(c.Connections))
		for _, one := range c.Connections {
			shown := connection{
				ID: one.ID, Server: a.Server.Name, Name: one.Name, Lang: one.Lang, Version: one.Version, IP: one.IP, Port: one.Port, Account: one.Account,
				Started: milli(one.Start), RTT: unknownNumber(), Pending: one.Pending, InMsgs: one.InMsgs, OutMsgs: one.OutMsgs, InBytes: one.InBytes,
				OutBytes: one.OutBytes, Subscriptions: one.Subscriptions, Slow: one.Pending > slowBytes || one.Stalls > 0, Services: []string{}, Instances: []string{},
			}
			if rtt, err := time.ParseDuration(one.RTT); err == nil {
				shown.RTT = milliseconds(rtt)
			}
			for _, i := range view.AtClient(a.Server.ID, one.ID) {
				if len(shown.Instances) < maxConsumers {
					shown.Instances = append(shown.Instances, i.NodeID())
				}
				if !slices.Contains(shown.Services, i.Service) && len(shown.Services) < maxConsumers {
					shown.Services = append(shown.Services, i.Service)
				}
			}
			d.Connections = append(d.Connections, shown)
		}
	})
	slices.SortFunc(d.Connections, func(a, b connection) int {
		if a.Pending != b.Pending {
			return b.Pending - a.Pending
		}
		return strings.Compare(a.Name, b.Name)
	})
	if len(d.Connections) > maxConnections {
		d.More += len(d.Connections) - maxConnections
		d.Connections = d.Connections[:maxConnections]
	}
}

// program is who is behind a connection: the service, if it is one alone, else the
// program by the name of its connection.
func program(view clientView, server string, id uint64, name string) string {
	service := ""
	for _, i := range view.AtClient(server, id) {
		if service != "" && service != i.Service {
			service = ""
			break
		}
		service = i.Service
	}
	switch {
	case service != "":
		return service
	case name != "":
		return name
	}
	return fmt.Sprintf("connection %d", id)
}

func (d *busData) text(b *bytes.Buffer) {
	_, _ = fmt.Fprintf(b, "%s  connected %v\n", d.Bus.URL, d.Bus.Connected) // a Buffer takes everything
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, s := range d.Servers {
		_, _ = fmt.Fprintf(w, "server %s\t%s\t%d connections\t%d slow\n", s.Name, s.Version, s.Connections, s.Slow)
	}
	for _, c := range d.Connections {
		_, _ = fmt.Fprintf(w, "connection %d\t%s\t%s %s\t%d waiting\n", c.ID, c.Name, c.Lang, c.Version, c.Pending)
	}
	_ = w.Flush()
	if d.JetStream != nil {
		for _, s := range d.JetStream.Streams {
			_, _ = fmt.Fprintf(b, "stream %s  %d messages\n", s.Name, s.Messages)
		}
	}
	for _, h := range d.Hidden {
		_, _ = fmt.Fprintf(b, "not shown: %s\n", h)
	}
}
