package mcp

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

// Name is how the server calls itself, and the id of errors that no call made.
const Name = "go.micro.mcp"

// What rules call the tools as a whole.
const (
	api   = "go.micro.api"
	right = "Tools.Use"
)

const (
	// sessionIdle is how long a session over HTTP may be silent.
	sessionIdle = 5 * time.Minute
	// maxMessage bounds what a client sends at once.
	maxMessage = 1 << 20
	// settle is the wait after a change on the bus for those that come with it.
	settle = 100 * time.Millisecond
	// describing bounds how long the description of all tools may take.
	describing = 10 * time.Second
)

// Config configures a Server. The zero value offers every method.
type Config struct {
	// Allow lists what may be called: "SERVICE" or "SERVICE/METHOD", in which "*"
	// stands for any letters. None means everything.
	Allow []string
	// Version is that of the program, for clients.
	Version string
	// Logger is told what is left out. The zero value is silent.
	Logger zerolog.Logger
}

// A Server offers the methods on the bus as tools. It is a bus.Runner, which keeps
// the list of tools, and an http.Handler for the path /mcp; ServeStdio speaks to
// one client. It makes its calls through the Client of the gateway's Bus, with
// the rights of whoever sent the request.
type Server struct {
	bus     *gateway.Bus
	cfg     Config
	allow   []pattern
	schemas *gateway.Schemas

	server   *sdk.Server
	handler  http.Handler
	visitors *visitors

	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex // guards what refresh does
	tools map[string]target
	left  int
}

// New returns a Server that offers nothing before Start. A pattern that is none is
// invalid_argument.
func New(b *gateway.Bus, cfg Config) (*Server, error) {
	if len(cfg.Allow) == 0 {
		cfg.Allow = []string{"*"}
	}
	s := &Server{
		bus: b, cfg: cfg, schemas: gateway.NewSchemas(b), visitors: newVisitors(),
		done: make(chan struct{}), tools: make(map[string]target),
	}
	for _, text := range cfg.Allow {
		p, err := parsePattern(text)
		if err != nil {
			return nil, err
		}
		s.allow = append(s.allow, p)
	}
	s.server = sdk.NewServer(&sdk.Implementation{Name: Name, Title: "mbus", Version: cfg.Version}, &sdk.ServerOptions{
		Instructions: "Each tool is a method of a service on a message bus. Its title is the service and the method.",
		Capabilities: &sdk.ServerCapabilities{Tools: &sdk.ToolCapabilities{ListChanged: true}},
	})
	s.handler = sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s.server }, &sdk.StreamableHTTPOptions{
		SessionTimeout: sessionIdle, MaxRequestBodyBytes: maxMessage,
		// The gateway has checked Host and Origin before.
		DisableLocalhostProtection: true, PropagateRequestCancellation: true,
	})
	return s, nil
}

// Start offers what is there and follows the bus. The gateway's Bus must have
// started.
func (s *Server) Start(ctx context.Context) error {
	if s.bus.View() == nil {
		return bus.Errorf(bus.Internal, "the MCP server started before the gateway's bus")
	}
	if s.cancel != nil {
		return bus.Errorf(bus.Conflict, "the MCP server was started before; it runs once")
	}
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go s.follow(following)
	return nil
}

// Stop ends all sessions.
func (s *Server) Stop(context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	<-s.done
	for session := range s.server.Sessions() {
		_ = session.Close() // its client has gone
	}
	return nil
}

// ServeHTTP speaks the protocol's streamable HTTP.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.bus.MayCall(r.Context(), api, right); err != nil {
		gateway.WriteError(w, r, api, err)
		return
	}
	r, leave := s.visitors.enter(r)
	defer leave()
	s.handler.ServeHTTP(w, r)
}

// ServeStdio speaks to the one client at in and out, until it leaves or ctx ends.
// The first list of tools is complete: what is on the bus has been described.
func (s *Server) ServeStdio(ctx context.Context, in io.ReadCloser, out io.WriteCloser) error {
	select {
	case <-s.bus.View().Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	s.refresh(ctx)
	err := s.server.Run(ctx, &sdk.IOTransport{Reader: in, Writer: out, MaxLineLength: maxMessage})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow keeps the tools in step with the bus until ctx ends.
func (s *Server) follow(ctx context.Context) {
	defer close(s.done)
	changed := make(chan struct{}, 1)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		for range s.bus.View().Changes(ctx) {
			select {
			case changed <- struct{}{}:
			default: // a refresh is due already
			}
		}
	})
	for {
		s.refresh(ctx)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		if !wait(ctx, settle) {
			return
		}
	}
}

// refresh makes the tools those that are on the bus now.
func (s *Server) refresh(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, describing)
	defer cancel()
	found, left := s.targets()
	var gone []string
	for name := range s.tools {
		if _, ok := found[name]; !ok {
			gone = append(gone, name)
			delete(s.tools, name)
		}
	}
	if len(gone) > 0 {
		s.server.RemoveTools(gone...)
	}
	for name, t := range found {
		if known, ok := s.tools[name]; ok && known.same(t) {
			continue
		}
		if ctx.Err() != nil {
			return // what is not described yet is at the next change
		}
		s.add(s.tool(ctx, name, t), t)
		s.tools[name] = t
	}
	if left != s.left && left > 0 {
		s.cfg.Logger.Warn().Int("left_out", left).Int("tools", maxTools).Msg("more methods than tools: narrow the patterns")
	}
	s.left = left
}

// add offers a tool. The library panics on a schema that it does not like, and
// schemas come from anybody: such a tool takes any object.
func (s *Server) add(tool *sdk.Tool, t target) {
	handle := func(ctx context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return s.call(ctx, req, t)
	}
	defer func() {
		if recover() == nil {
			return
		}
		plain := *tool
		plain.InputSchema, plain.OutputSchema = map[string]any{"type": "object"}, nil
		s.server.AddTool(&plain, handle)
	}()
	s.server.AddTool(tool, handle)
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
