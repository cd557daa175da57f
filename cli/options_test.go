package cli_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/cli"
)

// microOptions are the 29 global options of Micro, in its spelling, each with
// a value that mbus accepts.
func microOptions() []string {
	return []string{
		"--server_name=go.micro.srv.x", "--server_version=1.0.0", "--server_id=1", "--server_address=:9090",
		"--server_advertise=10.0.0.1:9090", "--server_metadata=zone=a", "--broker=nats", "--broker_address=127.0.0.1:4222",
		"--registry=nats", "--registry_address=127.0.0.1:4222", "--selector=roundrobin", "--transport=nats",
		"--transport_address=127.0.0.1:4222", "--enable_tls", "--tls_cert_file=c.pem", "--tls_key_file=k.pem",
		"--api_address=:8080", "--sidecar_address=:8081", "--web_address=:8082", "--proxy_address=127.0.0.1:8081",
		"--register_ttl=30", "--register_interval=10", "--api_handler=proxy", "--api_namespace=go.micro.api",
		"--web_namespace=go.micro.web", "--api_cors=*", "--web_cors=*", "--sidecar_cors=*", "--enable_stats",
	}
}

func TestAllOptionsOfMicroParseInBothPlacesAndSpellings(t *testing.T) {
	options := microOptions()
	if len(options) != 29 {
		t.Fatalf("the table has %d options, want Micro's 29", len(options))
	}
	var separate, hyphens, single, own, micro []string
	for _, option := range options {
		name, value, valued := strings.Cut(option, "=")
		variable := strings.ToUpper(strings.TrimPrefix(name, "--"))
		name = strings.ReplaceAll(name, "_", "-")
		if valued {
			separate, hyphens = append(separate, name, value), append(hyphens, name+"="+value)
		} else {
			separate, hyphens, value = append(separate, name), append(hyphens, name), "true"
		}
		single = append(single, strings.TrimPrefix(option, "-"))
		own, micro = append(own, "MBUS_"+variable+"="+value), append(micro, "MICRO_"+variable+"="+value)
	}
	for _, spelling := range [][]string{options, separate, hyphens, single} {
		for _, args := range [][]string{
			append([]string{"version"}, spelling...), append(slices.Clone(spelling), "version"),
		} {
			if got := run(t, cli.Process{Args: args}); got.code != 0 {
				t.Errorf("mbus %q: exit %d, %s", args, got.code, got.stderr)
			}
		}
	}
	for _, env := range [][]string{own, micro} {
		if got := mbus(t, "version", env...); got.code != 0 {
			t.Errorf("mbus version with %q: exit %d, %s", env, got.code, got.stderr)
		}
	}
}

func TestOptionsThatCannotBeObeyed(t *testing.T) {
	tests := []struct {
		name, line string
		env        []string
		code       int
		stderr     []string
	}{
		{"another broker", "version --broker rabbitmq", nil, 2, []string{"events run on NATS itself", "--url"}},
		{"another registry before", "--registry=consul version", nil, 2, []string{"discovery runs on NATS itself"}},
		{"another transport", "version --transport grpc", nil, 2, []string{"calls run on NATS itself"}},
		{"another broker in MBUS_", "version", []string{"MBUS_BROKER=kafka"}, 2, []string{"--broker kafka"}},
		{"other back ends in MICRO_", "version", []string{"MICRO_BROKER=kafka", "MICRO_REGISTRY=consul"}, 0, []string{"warning: ignored", "MICRO_BROKER=kafka", "MICRO_REGISTRY=consul"}},
		{"a sidecar in MICRO_", "publish a b", []string{"MICRO_PROXY_ADDRESS=127.0.0.1:1", "MBUS_URL=nats://127.0.0.1:1"}, 3, []string{"no sidecar at http://127.0.0.1:1"}},
		{"a sidecar", "top --count 1 --proxy-address 127.0.0.1:8081", nil, 2, []string{"top talks to the bus itself"}},
		{"a selector nobody knows", "version --selector best", nil, 2, []string{"roundrobin"}},
		{"a selector nobody knows in the environment", "version", []string{"MICRO_SELECTOR=best"}, 2, []string{"from MICRO_SELECTOR"}},
		{"a number as a time", "version --timeout 5", nil, 2, []string{"5s"}},
		{"a negative time", "version --timeout -5s", nil, 2, []string{"negative"}},
		{"a wrong time in the environment", "version", []string{"MBUS_TIMEOUT=soon"}, 2, []string{"from MBUS_TIMEOUT"}},
		{"a wrong TTL", "version --register_ttl never", nil, 2, []string{"no length of time"}},
		{"an output nobody knows", "version --output xml", nil, 2, []string{"text", "json"}},
		{"a log level nobody knows", "version --log-level loud", nil, 2, []string{"debug"}},
		{"two brokers", "version --broker_address a:1 --registry_address b:2", nil, 2, []string{"another broker"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mbus(t, tt.line, tt.env...)
			if got.code != tt.code {
				t.Errorf("exit %d, want %d", got.code, tt.code)
			}
			for _, want := range tt.stderr {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("stderr is %q, want %q in it", got.stderr, want)
				}
			}
		})
	}
}

// Nobody listens on these ports, so the error names the broker that was meant.
func TestWhichBrokerIsMeant(t *testing.T) {
	const flag, typed, own, nats, micro = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:5", "127.0.0.1:7"
	tests := []struct {
		name, options string
		env           []string
		want          string
	}{
		{"the option", "--url " + flag + " --broker_address " + typed, []string{"MBUS_URL=" + own}, flag},
		{"Micro's option", "--registry_address " + typed, []string{"MBUS_URL=" + own}, typed},
		{"MBUS_URL", "", []string{"MBUS_URL=" + own, "NATS_URL=" + nats, "MICRO_BROKER_ADDRESS=" + micro}, own},
		{"NATS_URL", "", []string{"MBUS_URL=", "NATS_URL=" + nats, "MICRO_BROKER_ADDRESS=" + micro}, nats},
		{"Micro's variable", "", []string{"MICRO_TRANSPORT_ADDRESS=" + micro}, micro},
		{"the variable of another back end", "", []string{"MICRO_BROKER=kafka", "MICRO_BROKER_ADDRESS=" + micro, "MICRO_REGISTRY_ADDRESS=" + own}, own},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mbus(t, "publish a b "+tt.options, tt.env...)
			if want := "no broker at " + tt.want + " "; got.code != 3 || !strings.Contains(got.stderr, want) {
				t.Errorf("exit %d, stderr %q, want exit 3 and %q", got.code, got.stderr, want)
			}
		})
	}
}

func TestEnvironmentSpellings(t *testing.T) {
	for _, variable := range []string{"MBUS_TLS_CERT_FILE", "MICRO_TLS_CERT_FILE", "MICRO_TLS_CERT_File"} {
		got := mbus(t, "publish a b --url tls://127.0.0.1:1", variable+"=/nonexistent/cert.pem")
		if !strings.Contains(got.stderr, "/nonexistent/cert.pem") {
			t.Errorf("with %s stderr is %q, want the file in it", variable, got.stderr)
		}
	}
	if got := mbus(t, "version", "MBUS_OUTPUT=", "MICRO_OUTPUT=json"); !strings.HasPrefix(got.stdout, "{") {
		t.Errorf("an empty MBUS_OUTPUT hides MICRO_OUTPUT: %q", got.stdout)
	}
	if got := mbus(t, "version", "MBUS_OUTPUT=text", "MICRO_OUTPUT=json"); strings.HasPrefix(got.stdout, "{") {
		t.Errorf("MICRO_OUTPUT wins over MBUS_OUTPUT: %q", got.stdout)
	}
	if got := mbus(t, "version --output text", "MBUS_OUTPUT=json"); strings.HasPrefix(got.stdout, "{") {
		t.Errorf("the environment wins over the command line: %q", got.stdout)
	}
}
