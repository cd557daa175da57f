package main

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// connectCaller is connect-go with its own protocol over HTTP/1.1, which is
// faster here than over HTTP/2, and without compression.
func connectCaller() contender {
	return contender{name: "connect", title: "connect-go", serve: serveConnect, dial: dialConnect}
}

func serveConnect(ctx context.Context, _ string) (string, func(), error) {
	mux := http.NewServeMux()
	mux.Handle("/bench.Echo/Call", connect.NewUnaryHandler("/bench.Echo/Call",
		func(_ context.Context, r *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
			return connect.NewResponse(r.Msg), nil
		}, connect.WithCompression("gzip", nil, nil)))
	mux.Handle("/bench.Echo/Feed", connect.NewServerStreamHandler("/bench.Echo/Feed",
		func(_ context.Context, r *connect.Request[wrapperspb.StringValue], s *connect.ServerStream[wrapperspb.StringValue]) error {
			f, err := feedFrom(r.Msg.Value)
			if err != nil {
				return err
			}
			m := wrapperspb.String(text(f.Size))
			for range f.Count {
				if err := s.Send(m); err != nil {
					return err
				}
			}
			return nil
		}, connect.WithCompression("gzip", nil, nil)))
	return serveMux(ctx, mux)
}

func dialConnect(_ context.Context, _, address string) (*client, error) {
	web := httpClient()
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	unary := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](web, "http://"+address+"/bench.Echo/Call", plain)
	stream := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](web, "http://"+address+"/bench.Echo/Feed", plain)
	return &client{
		call: func(size int) func(context.Context) error {
			req := wrapperspb.String(text(size))
			return func(ctx context.Context) error {
				res, err := unary.CallUnary(ctx, connect.NewRequest(req))
				if err != nil {
					return err
				}
				return checked(len(res.Msg.Value), size, nil)
			}
		},
		transfer: func(ctx context.Context, size, count int) error {
			s, err := stream.CallServerStream(ctx, connect.NewRequest(wrapperspb.String(feed{count, size}.String())))
			if err != nil {
				return err
			}
			got := 0
			for ; s.Receive(); got++ {
				if err := checked(len(s.Msg().Value), size, nil); err != nil {
					return err
				}
			}
			if err := s.Err(); err != nil {
				return err
			}
			return arrived(got, count, s.Close())
		},
		close: web.CloseIdleConnections,
	}, nil
}
