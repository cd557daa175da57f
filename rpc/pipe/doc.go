// Package pipe is one side of a stream as frames: what may be sent, what has
// come, and how it ends. It knows nothing of subjects and connections: frames go
// out through a function, and come in through Deliver. Package rpc makes streams
// and large bodies of it.
//
// # Flow control
//
// Each side says up to where the other may send: a number of DATA frames and a
// number of payload bytes, both counted from the start of the stream, so that a
// repeated or late word does no harm. A DATA frame may be sent while fewer
// frames than that have been sent, and fewer bytes: the last one may exceed the
// bytes by its own size, which is what keeps a message larger than the window
// from waiting for ever. The edges move when the application has taken half of
// the window, not when frames arrive: a reader that is stuck stops its sender,
// and nobody else.
//
// # Parts
//
// A message of more than 64 KiB travels in several DATA frames, all but the last
// of which say that there is more. Its parts count as taken when they are put
// together, so a message may be larger than the window; its own bound is
// Config.MaxMessage.
//
// # Messages together
//
// Where the peer reads them, small messages that are sent while the one before
// them is on its way go in one frame; see Pipe.Gather. Each of them takes a frame
// and its bytes of the window, and Send waits as it does without. It returns when
// its message has its place; that what has gathered cannot be sent ends the pipe,
// which the next Send and Recv tell. Nothing gathers behind a sender that waits,
// or a side that has ended.
//
// # Loss
//
// DATA frames are numbered from 1 without a gap. A number that comes again is
// ignored; a gap, also one that shows in the number that HALF, END, PING and
// PONG carry, ends the stream with data_loss: nothing is delivered past it. PING
// and PONG repeat the credit, and are followed by HALF where that has been said,
// so that neither stays lost.
package pipe
