package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	maxLine       = 64 << 10
	maxWords      = 16
	lineTimeout   = 10 * time.Second
	maxAskedNodes = 64
)

// A terminalWord is a command of the terminal.
type terminalWord struct {
	Word  string `json:"word"`
	Usage string `json:"usage"`
	Help  string `json:"help"`
}

func terminalWords() []terminalWord {
	return []terminalWord{
		{"help", "help", "print this"},
		{"list", "list services", "print the names of the services"},
		{"get", "get service NAME", "print what a service is and where its nodes are"},
		{"query", "query SERVICE METHOD [JSON]", "call a method"},
		{"health", "health SERVICE", "ask every node whether it is well"},
		{"stats", "stats SERVICE", "ask every node for its counters"},
		{"clear", "clear", "empty the screen"},
	}
}

func (w *Web) terminalPage(*http.Request) (*page, error) {
	d := struct {
		Words []terminalWord `json:"words"`
	}{terminalWords()}
	return &page{name: "terminal", title: "Terminal", data: d, text: func(b *bytes.Buffer) { b.WriteString(terminalHelp()) }}, nil
}

func terminalHelp() string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, word := range terminalWords() {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", word.Usage, word.Help) // a Buffer takes everything
	}
	_ = w.Flush()
	return b.String()
}

// serveTerminal runs one line. The words are those of the command; there is no
// shell behind them.
func (w *Web) serveTerminal(rw http.ResponseWriter, r *http.Request) {
	var asked struct {
		Line string `json:"line"`
	}
	if err := readJSON(rw, r, maxLine, &asked); err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	answer := struct {
		OK     bool   `json:"ok"`
		Output string `json:"output"`
		Error  string `json:"error,omitempty"`
		Clear  bool   `json:"clear,omitempty"`
	}{OK: true}
	ctx, cancel := context.WithTimeout(r.Context(), lineTimeout)
	defer cancel()
	words, err := splitLine(asked.Line)
	if err == nil && len(words) > 0 {
		answer.Clear = words[0] == "clear"
		answer.Output, err = w.run(ctx, r, words)
	}
	if err != nil {
		e := bus.AsError(err)
		answer.OK, answer.Error = false, e.Message
		if e.End != 0 {
			answer.Error = e.Error()
		}
	}
	writeJSON(rw, r, http.StatusOK, answer)
}

// splitLine reads words as a shell does: quotes keep spaces together. Braces and
// brackets do so too, so that JSON needs no quotes.
func splitLine(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, depth := false, 0
	var quote rune
	escaped := false
	for _, c := range line {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case depth > 0 && quote == '"':
			word.WriteRune(c)
			escaped = c == '\\'
			if c == '"' {
				quote = 0
			}
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case depth > 0 && c == '"':
			quote = c
			word.WriteRune(c)
		case depth == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case depth == 0 && (c == ' ' || c == '\t'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			switch c {
			case '{', '[':
				depth++
			case '}', ']':
				depth = max(0, depth-1)
			}
			word.WriteRune(c)
			inWord = true
		}
	}
	if quote != 0 || depth > 0 {
		return nil, bus.Errorf(bus.InvalidArgument, "the line ends inside quotes or braces")
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) > maxWords {
		return nil, bus.Errorf(bus.InvalidArgument, "%d words are too many", len(words))
	}
	return words, nil
}

func (w *Web) run(ctx context.Context, r *http.Request, words []string) (string, error) {
	if words[0] == "mbus" {
		words = words[1:]
	}
	if len(words) == 0 {
		return terminalHelp(), nil
	}
	verb, args := words[0], words[1:]
	if (verb == "list" || verb == "get") && len(args) > 0 && (args[0] == "service" || args[0] == "services") {
		args = args[1:]
	}
	usage := func(n, most int) error {
		if len(args) >= n && len(args) <= most {
			return nil
		}
		i := slices.IndexFunc(terminalWords(), func(t terminalWord) bool { return t.Word == verb })
		return bus.Errorf(bus.InvalidArgument, "usage: %s", terminalWords()[i].Usage)
	}
	switch verb {
	case "help", "?":
		return terminalHelp(), nil
	case "clear":
		return "", nil
	case "list":
		if err := usage(0, 0); err != nil {
			return "", err
		}
		return lines(w.present()), nil
	case "get", "health", "stats":
		if err := usage(1, 1); err != nil {
			return "", err
		}
		services := w.micro(ctx, args[0])
		if len(services) == 0 {
			return "", discovery.NotFound(args[0], w.present())
		}
		switch verb {
		case "health":
			return w.tableOf(ctx, services, "status", w.healthOf), nil
		case "stats":
			return w.tableOf(ctx, services, "started\tuptime\tmemory\tthreads\tgc", w.statsOf), nil
		}
		return serviceText(services), nil
	case "query", "call":
		verb = "query"
		if err := usage(2, 3); err != nil {
			return "", err
		}
		request := "{}"
		if len(args) == 3 {
			request = args[2]
		}
		e, release := w.call(r, &callRequest{Service: args[0], Method: args[1], Request: json.RawMessage(request), Timeout: defaultTimeout.Milliseconds()})
		defer release()
		return e.print()
	}
	return "", bus.Errorf(bus.InvalidArgument, "there is no %q here; help lists what there is", verb)
}

func lines(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "\n") + "\n"
}

// print is an answer as the command prints it.
func (e *envelope) print() (string, error) {
	switch {
	case !e.OK:
		text := e.Code + ": " + e.Detail
		if len(e.Near) > 0 {
			text += "\ndid you mean " + strings.Join(e.Near, ", ") + "?"
		}
		return "", errors.New(text)
	case e.Text != nil:
		return *e.Text + "\n", nil
	case e.Body == nil:
		return fmt.Sprintf("%d bytes of %s\n", e.Bytes, e.ContentType), nil
	}
	var b bytes.Buffer
	if err := json.Indent(&b, e.Body, "", "\t"); err != nil {
		return "", err
	}
	return b.String() + "\n", nil
}

// serviceText is a service as the command prints it.
func serviceText(services []discovery.Service) string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "service  %s\n", services[0].Name) // a Builder takes everything
	for _, s := range services {
		if s.Version != "" {
			b.WriteString("\nversion " + s.Version + "\n")
		}
		b.WriteString("\nId\tAddress\tPort\tMetadata\n")
		for _, n := range s.Nodes {
			port := "-"
			if n.Port != 0 {
				port = fmt.Sprint(n.Port)
			}
			_, _ = fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", n.ID, n.Address, port, pairs(n.Metadata))
		}
	}
	for _, e := range services[0].Endpoints {
		_, _ = fmt.Fprintf(&b, "\nEndpoint: %s\nMetadata: %s\n\nRequest: %s\n\nResponse: %s\n", e.Name, pairs(e.Metadata), tree(e.Request), tree(e.Response))
	}
	return b.String()
}

func pairs(metadata map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		list = append(list, key+"="+metadata[key])
	}
	return strings.Join(list, ",")
}

func tree(v *discovery.Value) string {
	if v == nil || len(v.Values) == 0 {
		return "{}"
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, field := range v.Values {
		branch(&b, field, "\t")
	}
	return b.String() + "}"
}

func branch(b *strings.Builder, v discovery.Value, tabs string) {
	b.WriteString(tabs + v.Name + " " + v.Type)
	if len(v.Values) > 0 {
		b.WriteString(" {\n")
		for _, field := range v.Values {
			branch(b, field, tabs+"\t")
		}
		b.WriteString(tabs + "}")
	}
	b.WriteString("\n")
}

// tableOf asks the nodes of a service, and makes a table of what they say.
func (w *Web) tableOf(ctx context.Context, services []discovery.Service, columns string, ask func(context.Context, discovery.Instance) string) string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "service  %s\n", services[0].Name) // a Builder takes everything
	view := w.bus.View()
	instances := view.All(services[0].Name)
	said := make([]string, len(instances))
	gather(len(instances), func(i int) { said[i] = ask(ctx, instances[i]) })
	for _, s := range services {
		if s.Version != "" {
			b.WriteString("\nversion " + s.Version + "\n")
		}
		b.WriteString("\nnode\t\taddress:port\t\t" + columns + "\n")
		for i := range instances {
			if instances[i].Version == s.Version {
				_, _ = fmt.Fprintf(&b, "%s\t\t%s\t\t%s\n", instances[i].NodeID(), addressOf(&instances[i]), said[i])
			}
		}
	}
	return b.String()
}

func (w *Web) healthOf(ctx context.Context, i discovery.Instance) string {
	var h rpc.Health
	if err := w.askOne(ctx, i, rpc.MethodHealth, "{}", &h); err != nil {
		return bus.AsError(err).Code.String() + ": " + bus.AsError(err).Message
	}
	return h.Status
}

func (w *Web) statsOf(ctx context.Context, i discovery.Instance) string {
	var s rpc.Stats
	if err := w.askOne(ctx, i, rpc.MethodStats, "{}", &s); err != nil {
		return bus.AsError(err).Code.String() + ": " + bus.AsError(err).Message
	}
	return fmt.Sprintf("%s\t%s\t%.2fmb\t%d\t%s", time.Unix(s.Started, 0).Format("Jan 2 15:04:05"), time.Duration(s.Uptime)*time.Second,
		float64(s.Memory)/(1<<20), s.Threads, time.Duration(s.GC))
}
