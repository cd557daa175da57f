package cli_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"
)

// startApp starts an app in Micro's form: Say.Hello greets, other methods are
// not there.
func startApp(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 0, "app")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			Method string
			Params []struct{ Name string }
			ID     json.RawMessage
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &call); err != nil {
			http.Error(w, "no call", http.StatusBadRequest)
			return
		}
		answer := map[string]any{"id": call.ID, "error": "rpc: can't find method " + call.Method}
		if call.Method == "Say.Hello" {
			answer = map[string]any{"id": call.ID, "result": map[string]string{"msg": "hello " + call.Params[0].Name}}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	ts.Value(scriptBus{}).(*scriptBus).app = app
	ts.Defer(func() { app.CloseClientConnections(); app.Close() })
	_, port, err := net.SplitHostPort(app.Listener.Addr().String())
	ts.Check(err)
	ts.Setenv("PORT", port)
}

func killApp(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 0, "killapp")
	app := ts.Value(scriptBus{}).(*scriptBus).app
	app.CloseClientConnections()
	app.Close()
}

func setProxy(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 1, "proxy FILE")
	var found struct {
		Sidecar string `json:"sidecar"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &found))
	ts.Setenv("PROXY", found.Sidecar)
}
