package wire

import (
	"encoding/binary"
	"fmt"
)

// MetaStreamBatch is the metadata with which the open and the accept of a stream say that their sender reads FrameStreamBatch;
// the value is StreamBatchVersion. Whoever does not say it gets one message in a frame.
const MetaStreamBatch = "Mbus-Stream-Batch"

// StreamBatchVersion is the value of MetaStreamBatch.
const StreamBatchVersion = "1"

// Bounds of a FrameStreamBatch.
const (
	MaxStreamBatch      = 64       // messages
	MaxStreamBatchBytes = 32 << 10 // bytes of the payload, the lengths of the messages included
)

// AppendStreamBatch appends one message to the payload of a FrameStreamBatch: its length as a uvarint, and its bytes. The
// frame stands for DATA frames of its codec, the first of which has its sequence, the others the next ones.
func AppendStreamBatch(dst, message []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(message))), message...)
}

// CheckStreamBatch checks the whole payload of a FrameStreamBatch and returns how many messages it has, from 1 to
// MaxStreamBatch. Errors have ErrFrame in their chain.
func CheckStreamBatch(b []byte) (messages int, err error) {
	switch {
	case len(b) == 0:
		return 0, fmt.Errorf("%w: a batch without a message", ErrFrame)
	case len(b) > MaxStreamBatchBytes:
		return 0, fmt.Errorf("%w: a batch of %d bytes, at most %d are allowed", ErrFrame, len(b), MaxStreamBatchBytes)
	}
	for ; len(b) > 0; messages++ {
		if messages == MaxStreamBatch {
			return 0, fmt.Errorf("%w: a batch of more than %d messages", ErrFrame, MaxStreamBatch)
		}
		if _, b, err = lengthed(b, "message length"); err != nil {
			return 0, err
		}
	}
	return messages, nil
}

// NextStreamBatch returns the first message of a payload that CheckStreamBatch has passed, which aliases b, and what follows
// it.
func NextStreamBatch(b []byte) (message, rest []byte) {
	n, w := binary.Uvarint(b)
	end := w + int(n)
	return b[w:end:end], b[end:]
}
