package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

type registerCommand struct {
	Service []string `arg:"" complete:"noun json" help:"The word service, or nothing, and the definition as JSON, @FILE, or - for standard input."`
	TTL     seconds  `name:"ttl" placeholder:"SECONDS" help:"How long the entry lives unless it is registered again. Default --register-ttl, else for ever."`
}

// Help explains what the one-line summary cannot.
func (*registerCommand) Help() string {
	return `For apps that are not on the bus themselves. The definition is Micro's:

    mbus register service '{"name": "ruby.micro.srv.greeter", "version": "1.0.0",
      "nodes": [{"id": "ruby-1", "address": "127.0.0.1", "port": 8080}]}'

Who reads the registry after "ok" finds the entry.`
}

// Run registers a service.
func (c *registerCommand) Run(ctx context.Context, s *session) error {
	ttl := time.Duration(c.TTL)
	if ttl == 0 {
		ttl = time.Duration(s.opts.RegisterTTL)
	}
	return s.withDefinition(ctx, c.Service, func(ctx context.Context, way reach, service discovery.Service) error {
		return way.register(ctx, service, ttl)
	})
}

type deregisterCommand struct {
	Service []string `arg:"" complete:"noun json" help:"The word service, or nothing, and the definition as JSON, @FILE, or - for standard input."`
}

// Help explains what the one-line summary cannot.
func (*deregisterCommand) Help() string {
	return `What counts is the name of the service and the ids of its nodes, in any version.`
}

// Run takes a service out of the registry.
func (c *deregisterCommand) Run(ctx context.Context, s *session) error {
	return s.withDefinition(ctx, c.Service, func(ctx context.Context, way reach, service discovery.Service) error {
		return way.deregister(ctx, service)
	})
}

// withDefinition reads a definition, calls f with it and prints ok.
func (s *session) withDefinition(ctx context.Context, words []string, f func(context.Context, reach, discovery.Service) error) error {
	service, err := s.definition(words)
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
	if err := f(ctx, way, service); err != nil {
		return err
	}
	return s.printf("ok\n")
}

// definition reads a service in Micro's JSON. Keys are matched without regard
// to case, as Micro did.
func (s *session) definition(words []string) (discovery.Service, error) {
	var service discovery.Service
	if words[0] == "service" {
		words = words[1:]
	}
	if len(words) == 0 {
		return service, usagef(`require service definition; write it as '{"name": NAME, "nodes": [{"id": ID, "address": HOST, "port": PORT}]}'`)
	}
	data, err := s.jsonArgument(words)
	if err != nil {
		return service, err
	}
	if err := json.Unmarshal(data, &service); err != nil {
		return service, usagef("the service definition: %v", err)
	}
	switch {
	case service.Name == "":
		return service, usagef(`the service definition has no "name"`)
	case len(service.Nodes) == 0:
		return service, usagef(`Require at least one node: the service definition has no "nodes"`)
	}
	return service, nil
}
