package main

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// grpcCaller is gRPC-go on one connection, without TLS, with protobuf's own
// message around a string.
func grpcCaller() contender {
	return contender{name: "grpc", title: "gRPC-go", serve: serveGRPC, dial: dialGRPC}
}

// grpcService is what protoc would have generated.
func grpcService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "bench.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Call", Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			m := new(wrapperspb.StringValue)
			return m, read(m)
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Feed", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			req := new(wrapperspb.StringValue)
			if err := s.RecvMsg(req); err != nil {
				return err
			}
			f, err := feedFrom(req.Value)
			if err != nil {
				return err
			}
			m := wrapperspb.String(text(f.Size))
			for range f.Count {
				if err := s.SendMsg(m); err != nil {
					return err
				}
			}
			return nil
		}}},
	}
}

func serveGRPC(ctx context.Context, _ string) (string, func(), error) {
	return serveGRPCOf(ctx, grpcService())
}

func serveGRPCOf(ctx context.Context, service *grpc.ServiceDesc) (string, func(), error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := grpc.NewServer()
	s.RegisterService(service, struct{}{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l) // ends with Stop
	}()
	return l.Addr().String(), func() { s.Stop(); <-ended }, nil
}

func dialGRPC(_ context.Context, _, address string) (*client, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &client{
		call: func(size int) func(context.Context) error {
			req := wrapperspb.String(text(size))
			return func(ctx context.Context) error {
				res := new(wrapperspb.StringValue)
				err := conn.Invoke(ctx, "/bench.Echo/Call", req, res)
				return checked(len(res.Value), size, err)
			}
		},
		transfer: func(ctx context.Context, size, count int) error {
			s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/bench.Echo/Feed")
			if err != nil {
				return err
			}
			if err := errors.Join(s.SendMsg(wrapperspb.String(feed{count, size}.String())), s.CloseSend()); err != nil {
				return err
			}
			got := 0
			for ; ; got++ {
				m := new(wrapperspb.StringValue)
				err := s.RecvMsg(m)
				if errors.Is(err, io.EOF) {
					return arrived(got, count, nil)
				}
				if err := checked(len(m.Value), size, err); err != nil {
					return err
				}
			}
		},
		close: func() { _ = conn.Close() },
	}, nil
}
