package cli

import (
	"cmp"
	"strings"

	"github.com/mbus-dev/mbus/discovery/selector"
)

// options are the options that every command takes. The second half are the
// global options of Micro that have no namesake above; README and docs/cli.md
// say what each means on a bus.
type options struct {
	URL       string `also:"NATS_URL" placeholder:"URL" group:"Connection" help:"Broker to talk to, or a comma list of brokers. Without it nats://127.0.0.1:4222."`
	Creds     string `placeholder:"FILE" group:"Connection" help:"NATS credentials file."`
	User      string `placeholder:"NAME" group:"Connection" help:"User name for the broker."`
	Password  string `placeholder:"WORD" group:"Connection" help:"Password for the broker; in the environment no process list shows it."`
	Token     string `placeholder:"TOKEN" group:"Connection" help:"Token for the broker; in the environment no process list shows it."`
	TLSCAFile string `name:"tls-ca-file" placeholder:"FILE" group:"Connection" help:"Certificate authorities to trust instead of the system's; for node, the ones whose client certificates are accepted."`
	Timeout   span   `default:"5s" placeholder:"TIME" group:"Connection" help:"How long a call may take; 0 is for ever. Default ${default}."`

	Output   string `default:"text" enum:"text,json" placeholder:"text|json" group:"Output" help:"Form of what is printed. Default ${default}."`
	LogLevel string `placeholder:"LEVEL" group:"Output" help:"Lowest level of log lines: trace, debug, info, warn, error, disabled. Default disabled, for subscribe and watch warn, for node info."`
	Help     bool   `short:"h" noenv:"" group:"Output" help:"Print help for the command, and nothing else."`
	Version  bool   `noenv:"" group:"Output" help:"Print the version, and nothing else."`

	ServerName       string   `placeholder:"NAME" group:"Micro" help:"Name of the service, for programs built on mbus."`
	ServerVersion    string   `placeholder:"VERSION" group:"Micro" help:"Version of the service, for programs built on mbus."`
	ServerID         string   `name:"server-id" placeholder:"ID" group:"Micro" help:"Id of the instance, for programs built on mbus."`
	ServerAddress    string   `placeholder:"ADDRESS" group:"Micro" help:"Address of an app that is not on the bus, for the sidecar."`
	ServerAdvertise  string   `placeholder:"ADDRESS" group:"Micro" help:"Address to register instead of the server address."`
	ServerMetadata   []string `sep:"none" placeholder:"KEY=VALUE" group:"Micro" help:"Metadata of the instance, repeatable, for programs built on mbus."`
	Broker           string   `placeholder:"nats" group:"Micro" help:"Only nats: events run on the bus itself."`
	BrokerAddress    string   `placeholder:"URL" group:"Micro" help:"The same as --url."`
	Registry         string   `placeholder:"nats" group:"Micro" help:"Only nats: discovery runs on the bus itself."`
	RegistryAddress  string   `placeholder:"URL" group:"Micro" help:"The same as --url."`
	Transport        string   `placeholder:"nats" group:"Micro" help:"Only nats: calls run on the bus itself."`
	TransportAddress string   `placeholder:"URL" group:"Micro" help:"The same as --url."`
	Selector         string   `placeholder:"NAME[,FILTER...]" group:"Micro" help:"How an instance is chosen for a call: random, roundrobin, least-loaded, blacklist; consistent-hash, by key; default and cache leave it to the bus. Filters are version=VERSION, LABEL=VALUE of the metadata, and local, which takes near instances first."`
	EnableTLS        bool     `name:"enable-tls" group:"Micro" help:"Serve with TLS; needs --tls-cert-file and --tls-key-file."`
	TLSCertFile      string   `name:"tls-cert-file" placeholder:"FILE" group:"Micro" help:"Certificate: of the node's broker, with --enable-tls of the HTTP listeners, or else of this client to a broker that asks for one."`
	TLSKeyFile       string   `name:"tls-key-file" placeholder:"FILE" group:"Micro" help:"Key that belongs to --tls-cert-file."`
	APIAddress       string   `name:"api-address" placeholder:"ADDRESS" group:"Micro" help:"Address of the API gateway, for node and api; off leaves it out of a node. Default 127.0.0.1:8080."`
	SidecarAddress   string   `placeholder:"ADDRESS" group:"Micro" help:"Address of the sidecar, for node and sidecar; off leaves it out of a node. Default 127.0.0.1:8081."`
	WebAddress       string   `placeholder:"ADDRESS" group:"Micro" help:"Address of the dashboard, for node and web; off leaves it out of a node. Default 127.0.0.1:8082."`
	ProxyAddress     string   `placeholder:"ADDRESS" group:"Micro" help:"Talk HTTP to the sidecar at this address, HOST:PORT or a URL, instead of the bus."`
	RegisterTTL      seconds  `name:"register-ttl" placeholder:"SECONDS" group:"Micro" help:"How long an entry made with register lives without being renewed."`
	RegisterInterval seconds  `placeholder:"SECONDS" group:"Micro" help:"How often programs built on mbus announce themselves."`
	APIHandler       string   `name:"api-handler" placeholder:"NAME" group:"Micro" help:"The one handler of the API gateway: api, rpc, http, proxy, web, event or cloudevents. Default: all of them."`
	APINamespace     string   `name:"api-namespace" placeholder:"PREFIX" group:"Micro" help:"What the API gateway puts before the names of services in paths. Default go.micro.api."`
	WebNamespace     string   `placeholder:"PREFIX" group:"Micro" help:"Namespace of the web apps that the dashboard shows. Default go.micro.web."`
	APICORS          string   `name:"api-cors" placeholder:"ORIGINS" group:"Micro" help:"Origins whose pages may use the API gateway, a comma list; * is all, without credentials. Default none."`
	WebCORS          string   `name:"web-cors" placeholder:"ORIGINS" group:"Micro" help:"Origins of web pages that may use the dashboard, a comma list."`
	SidecarCORS      string   `name:"sidecar-cors" placeholder:"ORIGINS" group:"Micro" help:"Origins of web pages that may use the sidecar, a comma list."`
	EnableStats      bool     `group:"Micro" help:"Show statistics at /stats of the API gateway."`

	command string      // the words of the command
	busURL  string      // the broker, after Micro's spellings of it
	from    origins     // which options came from the environment
	line    *invocation // the command line as it was given
}

const localBroker = "nats://127.0.0.1:4222"

// A broker is everything that decides where and as whom to connect.
type broker struct {
	url, creds, user, password, token, ca, cert, key string
}

func (o *options) broker() broker {
	cert, key := o.clientPair()
	return broker{o.busURL, o.Creds, o.User, o.Password, o.Token, o.TLSCAFile, cert, key}
}

// clientPair is the certificate that the broker is shown. With --enable-tls the
// files are those of a listener; then only a broker that is known to speak TLS is
// shown them as well, since showing them means to insist on TLS.
func (o *options) clientPair() (cert, key string) {
	if o.EnableTLS && o.TLSCAFile == "" && !strings.Contains(o.busURL, "tls://") {
		return "", ""
	}
	return o.TLSCertFile, o.TLSKeyFile
}

// A part is one of the three back ends that Micro let people choose.
type part struct {
	name, choice, address, gone string
}

func (o *options) parts() []part {
	return []part{
		{"broker", o.Broker, o.BrokerAddress, "events run on NATS itself"},
		{"registry", o.Registry, o.RegistryAddress, "discovery runs on NATS itself"},
		{"transport", o.Transport, o.TransportAddress, "calls run on NATS itself"},
	}
}

// settle checks Micro's options and finds the broker. It returns a warning, or
// "", about variables of Micro that cannot be obeyed: they may belong to other
// programs on the machine, so they do not stop the command.
func (o *options) settle() (warning string, err error) {
	var ignored []string
	for _, p := range o.parts() {
		if p.choice == "" || p.choice == "nats" {
			continue
		}
		if !o.fromMicro(p.name) {
			return "", usagef("--%s %s does not exist: %s; leave it out, and name the broker with --url", p.name, p.choice, p.gone)
		}
		ignored = append(ignored, o.from[p.name]+"="+p.choice+" ("+p.gone+")")
	}
	if err := cmp.Or(o.checkSelector(), o.checkLogLevel()); err != nil {
		return "", err
	}
	if o.busURL, err = o.findBroker(); err != nil {
		return "", err
	}
	if len(ignored) > 0 {
		warning = "ignored: " + strings.Join(ignored, ", ")
	}
	return warning, nil
}

// fromMicro reports whether an option was set by one of Micro's variables.
func (o *options) fromMicro(name string) bool {
	return strings.HasPrefix(o.from[name], "MICRO_")
}

// findBroker returns the URL of the broker: --url, one of Micro's spellings of
// it on the command line, then the same in the environment, then this machine.
func (o *options) findBroker() (string, error) {
	if o.line.given("url") && o.URL != "" {
		return o.URL, nil
	}
	var typed, inherited string
	for _, p := range o.parts() {
		if p.address == "" {
			continue
		}
		flag := p.name + "-address"
		switch {
		case o.line.given(flag) && typed != "" && typed != p.address:
			return "", usagef("--%s %s names another broker than %s; there is one bus, so give --url alone", flag, p.address, typed)
		case o.line.given(flag):
			typed = p.address
		case p.choice == "" || p.choice == "nats":
			// The address of a back end that is ignored is ignored with it.
			if inherited == "" {
				inherited = p.address
			}
		}
	}
	for _, url := range []string{typed, o.URL, inherited} {
		if url != "" {
			return url, nil
		}
	}
	return localBroker, nil
}

func (o *options) checkSelector() error {
	if _, err := selector.Parse(o.Selector); err != nil {
		return usagef("%v%s", err, o.from.of("selector"))
	}
	return nil
}

// selector is what --selector says. settle has checked it.
func (o *options) selector() selector.Config {
	cfg, _ := selector.Parse(o.Selector)
	return cfg
}

func (o *options) checkLogLevel() error {
	switch o.LogLevel {
	case "", "trace", "debug", "info", "warn", "error", "disabled":
		return nil
	}
	return usagef("no log level %q%s; there are trace, debug, info, warn, error and disabled", o.LogLevel, o.from.of("log-level"))
}

// busOnly refuses --proxy-address for a command that has no way through a
// sidecar. A variable of the environment may be meant for other commands, and is
// no reason to refuse.
func (s *session) busOnly() error {
	if s.opts.ProxyAddress == "" || !s.opts.line.given("proxy-address") {
		return nil
	}
	return usagef("--proxy-address: %s talks to the bus itself; leave it out, and name the broker with --url", s.opts.command)
}
