package web

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// usualBus is the broker that the command talks to by itself.
const usualBus = "nats://127.0.0.1:4222"

// commands are the same from a shell, and from Go.
type commands struct {
	Mbus string `json:"mbus,omitempty"`
	Curl string `json:"curl,omitempty"`
	Go   string `json:"go,omitempty"`
}

// mbus is the beginning of a command.
func (l Links) mbus() string {
	if l.Bus == "" || l.Bus == usualBus {
		return "mbus"
	}
	return "mbus --url " + shellQuote(l.Bus)
}

// shellQuote makes one word of a text for a shell.
func shellQuote(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func commandsOfService(name string, l Links) commands {
	return commands{Mbus: l.mbus() + " get service " + shellQuote(name)}
}

// commandsOfCall are those of a call with a request.
func commandsOfCall(service, method, node, request string, stream bool, l Links) commands {
	verb := " query "
	if stream {
		verb = " stream "
	}
	c := commands{Mbus: l.mbus() + verb + shellQuote(service) + " " + shellQuote(method)}
	if node != "" {
		c.Mbus += " --node " + shellQuote(node)
	}
	if request != "{}" && request != "" {
		c.Mbus += " " + shellQuote(request)
	}
	if l.API != "" && !stream && node == "" {
		c.Curl = fmt.Sprintf("curl -H 'Content-Type: application/json' -d %s %s", shellQuote(request), shellQuote(l.API+"/"+service+"/"+method))
	} else if l.API != "" && !stream {
		body, err := json.Marshal(map[string]any{"service": service, "method": method, "address": node, "request": json.RawMessage(request)})
		if err == nil {
			c.Curl = fmt.Sprintf("curl -H 'Content-Type: application/json' -d %s %s", shellQuote(string(body)), shellQuote(l.API+"/rpc"))
		}
	}
	if !stream {
		literal := strconv.Quote(request)
		if strconv.CanBackquote(request) {
			literal = "`" + request + "`"
		}
		c.Go = fmt.Sprintf("res, err := rpc.Call[json.RawMessage](ctx, client, %q, %q, json.RawMessage(%s))", service, method, literal)
	}
	return c
}
