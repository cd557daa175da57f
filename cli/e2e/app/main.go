// Command app is a program that speaks HTTP and knows nothing of mbus: it
// answers Micro's JSON-RPC, and prints where and what is pushed to it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("{\"ready\":true,\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	err = http.Serve(listener, http.HandlerFunc(serve)) //nolint:gosec // only this machine reaches it
	log.Fatal(err)
}

func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if topic := r.Header.Get("Mbus-Topic"); topic != "" {
		fmt.Printf("event %s %s\n", topic, body)
		return
	}
	var call struct {
		ID     json.RawMessage
		Params []struct{ Name string }
	}
	if err := json.Unmarshal(body, &call); err != nil || len(call.Params) == 0 {
		http.Error(w, "no call", http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": call.ID, "result": map[string]string{"msg": "Hello " + call.Params[0].Name}})
}
