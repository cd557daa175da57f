package codec

// The limits every body from outside is held to. They are part of the protocol: a sender that goes
// beyond them is refused by every receiver.
const (
	// MaxDepth is how many arrays and objects may be open at once.
	MaxDepth = 64
	// MaxValues is how many values a body may hold, the keys of objects not counted.
	MaxValues = 1_000_000
	// MaxMemoryBase and MaxMemoryFactor bound the memory a decoded body may take: MaxMemoryBase bytes
	// and MaxMemoryFactor more for each byte of the body. What a type's own decoding method allocates
	// is not counted.
	MaxMemoryBase   = 1 << 20
	MaxMemoryFactor = 64
)

func memoryFor(body int) int64 { return MaxMemoryBase + MaxMemoryFactor*int64(body) }

func overMemory(at int) *fault {
	return faultf(at, "decoding it takes too much memory: over %d bytes and %d per byte of the body",
		MaxMemoryBase, MaxMemoryFactor)
}

func overDepth(at int) *fault { return faultf(at, "it nests deeper than %d", MaxDepth) }

func overValues(at int) *fault { return faultf(at, "it holds over %d values", MaxValues) }
