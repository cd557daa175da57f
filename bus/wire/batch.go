package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// MaxBatch is the most frames in one batch.
const MaxBatch = 64

// batchHead is how every batch begins: magic, version, type, no flags, no codec and the sequence 0, which says that a
// word about it is about all of it.
const batchHead = "\xc1\x01\x0d\x00\x00\x00"

// BatchOverhead is the most bytes that a batch of so many frames has besides them, none of which is longer than 16 MiB.
func BatchOverhead(frames int) int { return len(batchHead) + 4*frames }

// A Batched is one frame of a batch.
type Batched struct {
	Seq   uint64 // of the frame, never 0
	Frame []byte // aliases the batch
}

// AppendToBatch adds a frame to a batch, which an empty dst begins, and returns the extended slice. It checks nothing: the
// frame must be whole, of this version, no batch itself, and have a sequence other than 0; there must be no more than
// MaxBatch.
func AppendToBatch(dst, frame []byte) []byte {
	if len(dst) == 0 {
		dst = append(dst, batchHead...)
	}
	dst = slices.Grow(dst, binary.MaxVarintLen32+len(frame))
	dst = binary.AppendUvarint(dst, uint64(len(frame)))
	return append(dst, frame...)
}

// ParseBatch reads a batch and appends its frames to dst. Of each frame it reads the type and the sequence: what else is
// wrong with one does not hurt the others. Errors have ErrFrame in their chain, or ErrVersion for a batch of another
// version; then dst is as it was. It never panics, and dst grows by what b holds, whatever lengths b declares.
func ParseBatch(dst []Batched, b []byte) ([]Batched, error) {
	f, err := ParseFrame(b)
	switch {
	case err != nil:
		return dst, err
	case f.Type != FrameBatch:
		return dst, fmt.Errorf("%w: type %s, not a batch", ErrFrame, f.Type)
	case string(b[:min(len(b), len(batchHead))]) != batchHead:
		return dst, fmt.Errorf("%w: a batch with flags, a codec or a sequence of its own", ErrFrame)
	case len(f.Payload) == 0:
		return dst, fmt.Errorf("%w: a batch without frames", ErrFrame)
	}
	all, rest := dst, f.Payload
	for len(rest) > 0 {
		if len(all)-len(dst) == MaxBatch {
			return dst, fmt.Errorf("%w: a batch of more than %d frames", ErrFrame, MaxBatch)
		}
		var one Batched
		if one.Frame, rest, err = lengthed(rest, "frame length"); err != nil {
			return dst, err
		}
		if one.Seq, err = batchedSeq(one.Frame); err != nil {
			return dst, err
		}
		all = append(all, one)
	}
	return all, nil
}

// batchedSeq reads the sequence of a frame that may be in a batch.
func batchedSeq(frame []byte) (uint64, error) {
	head, err := parseHead(frame)
	switch {
	case err != nil:
		return 0, err
	case head.version != Version:
		return 0, fmt.Errorf("%w: a frame of version %d in a batch", ErrFrame, head.version)
	case head.frameType == FrameBatch:
		return 0, fmt.Errorf("%w: a batch in a batch", ErrFrame)
	}
	seq, ok := AnswerSeq(frame)
	if !ok || seq == 0 {
		return 0, fmt.Errorf("%w: a frame without a sequence in a batch", ErrFrame)
	}
	return seq, nil
}

// AnswerSeq is SeqOf for frames of any type, errors among them.
func AnswerSeq(b []byte) (uint64, bool) {
	if TypeOf(b) != FrameError {
		return SeqOf(b)
	}
	seq, n := binary.Uvarint(b[4:])
	return seq, n > 0
}
