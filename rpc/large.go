package rpc

import (
	"fmt"
	"hash/crc32"
	"strconv"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc/pipe"
)

const (
	defaultChunkAbove = 256 << 10
	defaultMaxBody    = 64 << 20
	// besideBody is room for what travels with a body in one message.
	besideBody = wire.MaxMetaBytes + 4<<10
	// besidePart is room for what travels with a part of a body.
	besidePart = 1 << 10
	// maxAssembling bounds the bytes of all requests, and messages of streams,
	// that a server puts together of parts at once. Beyond it they are refused.
	maxAssembling = 256 << 20
)

// whole is the most bytes of a body that go in one message, 0 meaning the usual
// ones: never more than the broker takes.
func whole(conn *bus.Conn, above int) int {
	if above <= 0 {
		above = defaultChunkAbove
	}
	limit := conn.MaxPayload()
	return min(above, max(limit-besideBody, limit/2))
}

// fragment is the most bytes of a part.
func fragment(conn *bus.Conn) int {
	return max(conn.MaxPayload()-besidePart, besidePart)
}

func overLimit(what string, size, limit int) *bus.Error {
	return bus.Errorf(bus.TooLarge, "%s of %d bytes is over the limit of %d", what, size, limit)
}

// sizeMeta says how large a body is that follows in parts.
func sizeMeta(size int) wire.Pair {
	return wire.Pair{Key: wire.MetaSize, Value: strconv.Itoa(size)}
}

// sizeOf reads it.
func sizeOf(meta []wire.Pair) (int, error) {
	text := metaOf(meta, wire.MetaSize)
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		return 0, bus.Errorf(bus.InvalidArgument, "%s %q: want the size of the body in bytes", wire.MetaSize, text)
	}
	return int(n), nil
}

// sumMeta says what the parts of a body add up to.
func sumMeta(body []byte) wire.Pair {
	return wire.Pair{Key: wire.MetaCRC32C, Value: sumOf(body)}
}

func sumOf(body []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// checkSum compares a body put together with what was said of it.
func checkSum(body []byte, size int, meta []wire.Pair) error {
	switch sum := metaOf(meta, wire.MetaCRC32C); {
	case len(body) != size:
		return bus.Errorf(bus.DataLoss, "the parts of the body have %d bytes together, not %d", len(body), size)
	case sum != sumOf(body):
		return bus.Errorf(bus.DataLoss, "the parts of the body have the checksum %s, not %q", sumOf(body), sum)
	}
	return nil
}

func metaOf(meta []wire.Pair, key string) string {
	for _, p := range meta {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// newPipe makes one side of a stream on the connection, whose streams get it when
// it may send. hold may be nil.
func newPipe(conn *bus.Conn, maxBody int, hold func(int) bool, send func(*wire.Frame) error, over func()) *pipe.Pipe {
	return pipe.New(pipe.Config{
		Send: send, Settle: conn.Settle, Ended: over, Budget: &streamsOf(conn).budget,
		Fragment: fragment(conn), MaxMessage: maxBody, Hold: hold,
	})
}
