package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mbus-dev/mbus/discovery/selector"
	"github.com/mbus-dev/mbus/rpc"
)

// serverVariables are all that ConfigFromEnv looks at.
var serverVariables = []string{"NAME", "VERSION", "ID", "ADDRESS", "ADVERTISE", "METADATA", "REGISTER_TTL", "REGISTER_INTERVAL"}

func TestConfigFromEnv(t *testing.T) {
	for _, row := range []struct {
		name string
		env  map[string]string
		want rpc.ServerConfig
		err  string
	}{
		{name: "nothing"},
		{name: "empty counts as unset", env: map[string]string{"MBUS_SERVER_NAME": "", "MICRO_SERVER_NAME": "b"}, want: rpc.ServerConfig{Name: "b"}},
		{name: "MBUS before MICRO", env: map[string]string{"MBUS_SERVER_NAME": "a", "MICRO_SERVER_NAME": "b"}, want: rpc.ServerConfig{Name: "a"}},
		{
			name: "everything",
			env: map[string]string{
				"MICRO_SERVER_NAME": "go.micro.srv.x", "MICRO_SERVER_VERSION": "2.0", "MICRO_SERVER_ID": "one", "MICRO_SERVER_ADDRESS": ":9090",
				"MICRO_SERVER_ADVERTISE": "10.0.0.1:9090", "MICRO_SERVER_METADATA": "zone=a, rack=b=c,", "MICRO_REGISTER_TTL": "60", "MICRO_REGISTER_INTERVAL": "15",
			},
			want: rpc.ServerConfig{
				Name: "go.micro.srv.x", Version: "2.0", ID: "one", Advertise: "10.0.0.1:9090",
				Metadata: map[string]string{"zone": "a", "rack": "b=c"}, BeatInterval: 15 * time.Second,
			},
		},
		{name: "a ttl alone", env: map[string]string{"MBUS_SERVER_REGISTER_TTL": "30"}, want: rpc.ServerConfig{BeatInterval: 10 * time.Second}},
		{name: "wrong name", env: map[string]string{"MBUS_SERVER_NAME": "a b"}, err: "MBUS_SERVER_NAME: service name"},
		{name: "wrong name of Micro", env: map[string]string{"MICRO_SERVER_NAME": "_x"}, err: "MICRO_SERVER_NAME: service name"},
		{name: "wrong id", env: map[string]string{"MBUS_SERVER_ID": "a\tb"}, err: "MBUS_SERVER_ID: instance id"},
		{name: "wrong metadata", env: map[string]string{"MBUS_SERVER_METADATA": "zone"}, err: `MBUS_SERVER_METADATA: "zone" is not k=v`},
		{name: "metadata twice", env: map[string]string{"MBUS_SERVER_METADATA": "a=1,a=2"}, err: `MBUS_SERVER_METADATA: "a" is given twice`},
		{name: "metadata of mbus", env: map[string]string{"MBUS_SERVER_METADATA": "mbus.v=2"}, err: `MBUS_SERVER_METADATA: metadata "mbus.v"`},
		{name: "ttl in words", env: map[string]string{"MBUS_SERVER_REGISTER_TTL": "1m"}, err: `MBUS_SERVER_REGISTER_TTL: "1m" is not a number of seconds`},
		{name: "negative interval", env: map[string]string{"MICRO_REGISTER_INTERVAL": "-1"}, err: `MICRO_REGISTER_INTERVAL: "-1" is not a number of seconds`},
		{name: "ttl below the interval", env: map[string]string{"MBUS_REGISTER_TTL": "5", "MBUS_REGISTER_INTERVAL": "10"}, err: "MBUS_REGISTER_TTL is 5s, not more than the interval of 10s"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, name := range serverVariables {
				for _, prefix := range []string{"MBUS_", "MICRO_", "MBUS_SERVER_", "MICRO_SERVER_"} {
					t.Setenv(prefix+name, "")
				}
			}
			for name, value := range row.env {
				t.Setenv(name, value)
			}
			got, err := rpc.ConfigFromEnv()
			if row.err != "" {
				if err == nil || !strings.Contains(err.Error(), row.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want %q on one line", err, row.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got, cmpopts.IgnoreFields(rpc.ServerConfig{}, "Logger")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestClientConfigFromEnv(t *testing.T) {
	for _, row := range []struct {
		name string
		env  map[string]string
		want rpc.ClientConfig
		err  string
	}{
		{name: "nothing"},
		{
			name: "everything",
			env:  map[string]string{"MICRO_SELECTOR": "roundrobin,version=2.0,zone=a", "MICRO_CLIENT_REQUEST_TIMEOUT": "1m30s", "MBUS_CLIENT_RETRIES": "0"},
			want: rpc.ClientConfig{
				Timeout:  90 * time.Second,
				Retries:  new(0),
				Selector: selector.Config{Strategy: selector.RoundRobin, Version: "2.0", Labels: map[string]string{"zone": "a"}},
			},
		},
		{name: "MBUS before MICRO", env: map[string]string{"MBUS_SELECTOR": "random", "MICRO_SELECTOR": "best"}, want: rpc.ClientConfig{Selector: selector.Config{Strategy: selector.Random}}},
		{name: "no such selector", env: map[string]string{"MICRO_SELECTOR": "best"}, err: `MICRO_SELECTOR: no selector "best"`},
		{name: "no time", env: map[string]string{"MBUS_CLIENT_REQUEST_TIMEOUT": "5"}, err: `MBUS_CLIENT_REQUEST_TIMEOUT: "5" is not a length of time`},
		{name: "no time at all", env: map[string]string{"MICRO_CLIENT_REQUEST_TIMEOUT": "0s"}, err: `MICRO_CLIENT_REQUEST_TIMEOUT: "0s" is not a length of time`},
		{name: "no count", env: map[string]string{"MICRO_CLIENT_RETRIES": "-1"}, err: `MICRO_CLIENT_RETRIES: "-1" is not a number from 0`},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, name := range []string{"SELECTOR", "CLIENT_REQUEST_TIMEOUT", "CLIENT_RETRIES"} {
				t.Setenv("MBUS_"+name, row.env["MBUS_"+name])
				t.Setenv("MICRO_"+name, row.env["MICRO_"+name])
			}
			got, err := rpc.ClientConfigFromEnv()
			if row.err != "" {
				if err == nil || !strings.Contains(err.Error(), row.err) {
					t.Errorf("got %v, want %q", err, row.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got, cmpopts.IgnoreFields(rpc.ClientConfig{}, "Logger")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
