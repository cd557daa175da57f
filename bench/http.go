package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

// httpCaller is net/http with JSON bodies over HTTP/1.1, on as many kept
// connections as there are calls at a time.
func httpCaller() contender {
	return contender{name: "http", title: "net/http, JSON", streams: noStreams, serve: serveHTTP, dial: dialHTTP}
}

func serveHTTP(ctx context.Context, _ string) (string, func(), error) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&m) // the caller misses it
	})
	return serveMux(ctx, mux)
}

func serveMux(ctx context.Context, mux *http.ServeMux) (string, func(), error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: mux}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l) // ends with Close
	}()
	return l.Addr().String(), func() { _ = s.Close(); <-ended }, nil
}

func httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true}}
}

func dialHTTP(_ context.Context, _, address string) (*client, error) {
	web := httpClient()
	return &client{
		call: func(size int) func(context.Context) error {
			req := &message{Text: text(size)}
			return func(ctx context.Context) error {
				got, err := post(ctx, web, "http://"+address+"/echo", req)
				return checked(len(got.Text), size, err)
			}
		},
		close: web.CloseIdleConnections,
	}, nil
}

func post(ctx context.Context, web *http.Client, url string, m *message) (got message, err error) {
	body, err := json.Marshal(m)
	if err != nil {
		return got, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return got, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := web.Do(req)
	if err != nil {
		return got, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return got, fmt.Errorf("HTTP %s", res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		return got, err
	}
	_, err = io.Copy(io.Discard, res.Body) // so that the connection is kept
	return got, err
}
