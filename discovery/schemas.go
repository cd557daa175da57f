package discovery

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// schemaMethod serves the bodies of schemas, in every mbus service.
const schemaMethod = "Debug.Schema"

const (
	// schemaBatch is how many bodies are asked for at a time, so that they fit
	// into one message.
	schemaBatch = 16
	// maxSchemas bounds the bodies that Schemas returns.
	maxSchemas = 2 * maxEndpoints
)

type schemaRequest struct {
	Hashes []string `json:"hashes"`
}

type schemaReply struct {
	Schemas map[string]json.RawMessage `json:"schemas"`
}

// Schemas asks an instance for the bodies of JSON Schemas, by the hashes that
// its endpoints carry; without hashes for all of its own. Bodies that it does
// not have, or that are no JSON or larger than 128 KiB, are left out.
//
// An mbus service serves them at the method Debug.Schema. The request is
// {"hashes":["…"]}, where no hashes mean all; the reply is
// {"schemas":{"<hash>":{…}}}; both are plain JSON.
func Schemas(ctx context.Context, conn *bus.Conn, i Instance, hashes ...string) (map[string]json.RawMessage, error) {
	if i.Foreign || i.Registered() {
		return nil, nil
	}
	if len(hashes) == 0 {
		hashes = i.hashes()
	}
	out := make(map[string]json.RawMessage)
	for batch := range slices.Chunk(hashes[:min(len(hashes), maxSchemas)], schemaBatch) {
		if err := fetchSchemas(ctx, conn, &i, batch, out); err != nil {
			return out, err
		}
	}
	return out, nil
}

func fetchSchemas(ctx context.Context, conn *bus.Conn, i *Instance, hashes []string, out map[string]json.RawMessage) error {
	body, err := json.Marshal(schemaRequest{Hashes: hashes})
	if err != nil {
		return bus.AsError(err)
	}
	m, err := conn.Request(ctx, wire.NodeSubject(i.Service, i.ID, schemaMethod), nil, body)
	if err != nil {
		return err
	}
	if e := bus.ReplyError(m); e != nil {
		if e.Code == bus.TooLarge && len(hashes) > 1 {
			half := len(hashes) / 2
			if err := fetchSchemas(ctx, conn, i, hashes[:half], out); err != nil {
				return err
			}
			return fetchSchemas(ctx, conn, i, hashes[half:], out)
		}
		e.Service, e.Method, e.Instance = i.Service, schemaMethod, i.ID
		return e
	}
	if err := codec.Guard(codec.JSON, m.Data); err != nil {
		return err
	}
	var reply schemaReply
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return bus.Errorf(bus.DataLoss, "%s of %s: %w", schemaMethod, i.NodeID(), err)
	}
	for _, hash := range hashes {
		if body, ok := reply.Schemas[hash]; ok && len(body) <= maxSchema {
			out[hash] = body
		}
	}
	return nil
}

// hashes returns the hashes of all messages of i, each once.
func (i *Instance) hashes() []string {
	var out []string
	for _, e := range i.Endpoints {
		for _, hash := range []string{e.Request, e.Response} {
			if hash != "" {
				out = append(out, hash)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
