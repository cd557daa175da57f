package rpc

import (
	"fmt"
	"strconv"
	"time"

	"github.com/mbus-dev/mbus/discovery/selector"
)

// ClientConfigFromEnv reads a ClientConfig from the environment. Each variable
// MBUS_X falls back to MICRO_X; an empty one counts as unset.
//
//	SELECTOR                 how instances are chosen, as selector.Parse reads it
//	CLIENT_REQUEST_TIMEOUT   a length of time such as 5s or 1m30s
//	CLIENT_RETRIES           how often a call is sent again, from 0
//
// What is not set is left at the zero value. The error names the variable and
// says what it wants.
func ClientConfigFromEnv() (ClientConfig, error) {
	var cfg ClientConfig
	if text, name := eitherEnv("SELECTOR"); text != "" {
		choice, err := selector.Parse(text)
		if err != nil {
			return ClientConfig{}, fmt.Errorf("%s: %w", name, err)
		}
		cfg.Selector = choice
	}
	if text, name := eitherEnv("CLIENT_REQUEST_TIMEOUT"); text != "" {
		timeout, err := time.ParseDuration(text)
		if err != nil || timeout <= 0 {
			return ClientConfig{}, fmt.Errorf("%s: %q is not a length of time above zero, such as 5s", name, text)
		}
		cfg.Timeout = timeout
	}
	if text, name := eitherEnv("CLIENT_RETRIES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > maxEnvRetries {
			return ClientConfig{}, fmt.Errorf("%s: %q is not a number from 0 to %d", name, text, maxEnvRetries)
		}
		cfg.Retries = &n
	}
	return cfg, nil
}

// maxEnvRetries is more than anyone can want.
const maxEnvRetries = 100

// eitherEnv is firstEnv for a variable of the client.
func eitherEnv(what string) (value, name string) {
	return firstEnv("MBUS_"+what, "MICRO_"+what)
}
