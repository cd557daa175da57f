package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

type queryCommand struct {
	Service string   `arg:"" complete:"service" help:"Service to call."`
	Method  string   `arg:"" complete:"method" help:"Method of it, such as Say.Hello."`
	Request []string `arg:"" optional:"" help:"The request as JSON, @FILE, or - for standard input; several words are joined by spaces. Default {}."`
	Node    string   `placeholder:"ID" help:"Call this instance, by its id as get shows it."`
	Header  []header `short:"H" sep:"none" placeholder:"KEY:VALUE" help:"Metadata of the call, repeatable."`
	Key     string   `placeholder:"KEY" help:"What --selector consistent-hash goes by: the same key, the same instance."`

	Retries    *int `placeholder:"N" help:"How often the call is sent again where that is safe; 0 is never. Default 3."`
	Idempotent bool `help:"The call may run twice: send it again when no answer comes, too."`
}

// Help explains what the one-line summary cannot.
func (*queryCommand) Help() string {
	return `The answer is printed as JSON, with tabs; numbers and the order of keys are those
of the service.

    mbus query go.micro.srv.greeter Say.Hello '{"name": "John"}'
    mbus query go.micro.srv.greeter Say.Hello @request.json --timeout 30s`
}

// Run calls a method and prints the answer.
func (c *queryCommand) Run(ctx context.Context, s *session) error {
	request, err := c.request(s)
	if err != nil {
		return err
	}
	way, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer way.close()
	ctx, cancel := s.within(ctx)
	defer cancel()
	s.begin("calling " + c.Service + " " + c.Method)
	res, err := way.call(ctx, request)
	if err != nil {
		return err
	}
	return s.printAnswer(res)
}

func (c *queryCommand) request(s *session) (*rpc.Request, error) {
	body, err := s.jsonArgument(c.Request)
	if err != nil {
		return nil, err
	}
	if c.Retries != nil && *c.Retries < 0 {
		return nil, usagef("--retries %d: want a number from 0", *c.Retries)
	}
	req := &rpc.Request{
		Service: c.Service, Method: c.Method, Instance: instanceID(c.Service, c.Node), Codec: codec.JSON, Body: body,
		Key: c.Key, Retries: c.Retries, Idempotent: c.Idempotent,
	}
	for _, h := range c.Header {
		if req.Meta == nil {
			req.Meta = rpc.Metadata{}
		}
		req.Meta[h.key] = h.value
	}
	return req, nil
}

// instanceID is the id that an instance goes by on the bus, without the name
// of its service that people see before it.
func instanceID(service, node string) string { return strings.TrimPrefix(node, service+"-") }

// client calls services within --timeout, of the instance that --selector
// chooses. release frees what it holds on a connection that lives on.
func (s *session) client(ctx context.Context, conn *bus.Conn) (client *rpc.Client, release func()) {
	timeout := time.Duration(s.opts.Timeout)
	if timeout == 0 {
		timeout = -1 // none
	}
	return s.newClient(ctx, conn, rpc.ClientConfig{Timeout: timeout})
}

// selectorWait is how long a command waits for the list of instances that
// --selector chooses from. A service that has one anyway soon can do without at
// first; a command that makes one call cannot.
const selectorWait = 3 * time.Second

func (s *session) newClient(ctx context.Context, conn *bus.Conn, cfg rpc.ClientConfig) (client *rpc.Client, release func()) {
	cfg.Selector = s.opts.selector()
	cfg.Selector.Wait = selectorWait
	client = rpc.NewClient(conn, cfg)
	if conn != s.kept {
		return client, func() {}
	}
	return client, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectLimit)
		defer cancel()
		_ = client.Close(limited) // the connection frees the rest with itself
	}
}

// printAnswer prints JSON and what can be turned into it with tabs, and
// anything else as it came.
func (s *session) printAnswer(res *rpc.Response) error {
	body := res.Body
	switch res.Codec {
	case codec.Msgpack:
		text, err := codec.Transcode(codec.Msgpack, codec.JSON, body)
		if err != nil {
			return brokenAnswer(err)
		}
		body = indent(text)
	case codec.JSON:
		// What Guard refuses is not laid out: deep nesting would make it huge.
		switch err := codec.Guard(codec.JSON, body); {
		case err == nil:
			body = indent(body)
		case !json.Valid(body) && !plainText(body):
			return brokenAnswer(err)
		}
	}
	return s.printf("%s\n", body)
}

// plainText reports whether an answer that is no JSON is still worth showing:
// services that are not made with mbus may answer with words.
func plainText(body []byte) bool {
	return utf8.Valid(body) && !bytes.ContainsAny(body[:min(len(body), 1)], "{[")
}

func brokenAnswer(err error) error {
	return bus.Errorf(bus.DataLoss, "the answer is broken: %w", err)
}
