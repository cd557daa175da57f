package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// A User is what the routes of the tests are about.
type User struct {
	ID   int64    `json:"id"`
	Name string   `json:"name"`
	Path string   `json:"path"`
	Tags []string `json:"tags"`
	By   string   `json:"by"`
}

// routed adds a service with one endpoint for each pair of name and metadata.
func (h *house) routed(t testing.TB, name string, endpoints map[string]map[string]string) {
	t.Helper()
	s := h.server(name)
	for method, notes := range endpoints {
		var opts []rpc.HandleOption
		for k, v := range notes {
			opts = append(opts, rpc.Note(k, v))
		}
		rpc.Handle(s, method, func(_ context.Context, r *User) (*User, error) {
			r.By = name + "." + method
			return r, nil
		}, opts...)
	}
	h.serve(t, s)
	time.Sleep(200 * time.Millisecond) // the routes are looked at every 100 ms
}

func TestEndpointsAskForRoutes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.routed(t, "go.micro.srv.users", map[string]map[string]string{
			"Users.Get":    {"path": "/users/{id}", "method": "GET"},
			"Users.Put":    {"path": "/users/{id}", "method": "put,patch"},
			"Users.Me":     {"path": "/users/me", "method": "GET"},
			"Users.List":   {"path": "/users, /people", "method": "GET"},
			"Users.Files":  {"path": "/users/{id}/files/{path...}"},
			"Users.Old":    {"path": "^/old/[a-z]+$"},
			"Users.Host":   {"path": "/users/{id}", "method": "GET", "host": "users.example.com"},
			"Users.Broken": {"path": "/users/("},
		})
		h.routed(t, "go.micro.srv.others", map[string]map[string]string{
			"Others.Get": {"path": "/users/{name}/name", "method": "GET"},
			"Others.All": {"path": "/others/{rest...}", "method": "GET,POST"},
		})
		for _, c := range []struct {
			method, target, body string
			status               int
			want                 string
			calls                int
		}{
			{"GET", "/users/5", "", 200, `"id":5,`, 1},
			{"GET", "/users/9007199254740993", "", 200, `"id":9007199254740993,`, 1},
			{"HEAD", "/users/5", "", 200, ``, 1},
			{"GET", "/users/5?name=John&tags=a&id=7", "", 200, `"id":5,"name":"John","path":"","tags":["a"]`, 1},
			{"GET", "/users/me", "", 200, `"by":"go.micro.srv.users.Users.Me"`, 1},
			{"GET", "/users", "", 200, "Users.List", 1},
			{"GET", "/people", "", 200, "Users.List", 1},
			{"GET", "/people/", "", 200, "Users.List", 1},
			{"PUT", "/users/5", `{"name":"John","id":7}`, 200, `"id":5,"name":"John"`, 1},
			{"PATCH", "/users/5", ``, 200, `"id":5,`, 1},
			{"PUT", "/users/5", `[1]`, 400, `no object`, 0},
			{"PUT", "/users/five", `{}`, 400, `"five\" is no int64`, 0},
			{"DELETE", "/users/5", "", 405, "not for DELETE", 0},
			{"GET", "/users/5/files/a/b.txt", "", 200, `"path":"a/b.txt"`, 1},
			{"POST", "/users/5/files/a", `{"name":"x"}`, 200, `"id":5,"name":"x","path":"a"`, 1},
			{"GET", "/old/abc", "", 200, "Users.Old", 1},
			{"GET", "/old/5", "", 404, "", 0},
			{"GET", "http://users.example.com/users/5", "", 200, "Users.Host", 1},
			{"GET", "http://users.example.com:8080/users/5", "", 200, "Users.Host", 1},
			{"GET", "/users/J%C3%B6rg/name", "", 200, `"name":"Jörg"`, 1},
			{"GET", "/others/a/b/c", "", 200, "Others.All", 1},
			{"GET", "/users/J%C3%B6rg%20", "", 400, "is no int64", 0},
		} {
			var header []string
			if c.body != "" {
				header = []string{"Content-Type", "application/json"}
			}
			got := h.do(t, c.method, c.target, c.body, header...)
			got.want(t, c.method+" "+c.target, c.status, c.want, c.calls)
			if c.status == 405 && got.header.Get("Allow") != "GET, PATCH, PUT, OPTIONS" {
				t.Errorf("got Allow %q", got.header.Get("Allow"))
			}
		}
	})
}

func TestOfTwoRoutesAlikeTheFirstServiceByNameWins(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		for _, name := range []string{"go.micro.srv.b", "go.micro.srv.a", "go.micro.srv.c"} {
			h.routed(t, name, map[string]map[string]string{"Same.Path": {"path": "/same/{id}"}})
		}
		for range 20 {
			h.do(t, "GET", "/same/5", "").want(t, "always", 200, "go.micro.srv.a.Same.Path", 1)
		}
	})
}

func TestARouteLeavesWithItsService(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.do(t, "GET", "/same/5", "").want(t, "before", 404, "go.micro.api.same", 0)
		s := h.server("go.micro.srv.a")
		rpc.Handle(s, "Same.Path", func(_ context.Context, r *User) (*User, error) { return r, nil }, rpc.Note("path", "/same/{id}"))
		h.serve(t, s)
		time.Sleep(time.Second)
		h.do(t, "GET", "/same/5", "").want(t, "while it is there", 200, `"id":5`, 1)
		if err := s.Stop(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		h.do(t, "GET", "/same/5", "").want(t, "after", 404, "go.micro.api.same", 0)
	})
}

func TestARouteOfTheHandlerAPIFindsItsFieldsInTheQuery(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.mirror(t, rpc.Note("path", "/show/{what}"))
		time.Sleep(time.Second)
		m := h.do(t, "GET", "/show/this?a=b", "").shown(t)
		if text(m.Get["what"]) != "this" || text(m.Get["a"]) != "b" || m.Path != "/show/this" {
			t.Errorf("got %+v", m)
		}
	})
}

func TestAFixedPathIsNobodysRoute(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.routed(t, "go.micro.srv.evil", map[string]map[string]string{"Evil.All": {"path": "/{all...},/rpc,/mcp,/healthz"}})
		for _, path := range []string{"/", "/mcp", "/healthz", "/readyz", "/stats", "/events", "/openapi.json", "/rpc"} {
			if got := h.do(t, "GET", path, ""); got.calls != 0 || strings.Contains(got.body, "evil") {
				t.Errorf("%s: got %d, %s", path, got.status, got.body)
			}
		}
		h.do(t, "GET", "/favicon.ico", "").want(t, "the icon", 200, "", 0)
	})
}
