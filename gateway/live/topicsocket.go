package live

import (
	"bytes"

	"github.com/coder/websocket"
)

// eventFrames is how events are spoken of on a WebSocket.
type eventFrames struct {
	event   func(*event) []byte
	gap     []byte // nil: gaps are not told
	receive func(websocket.MessageType, []byte) error
}

// socket sends events over a WebSocket until one side has enough.
func (t *talk) socket(f *following, rules socketRules, frames eventFrames) {
	k, err := t.accept(rules)
	if err != nil {
		t.s.cfg.Logger.Debug().Err(err).Msg("a WebSocket could not be made")
		return
	}
	defer t.hurry(k)()
	k.serve(frames.receive)
	err = t.sendEvents(k, f, frames)
	t.cancel()
	k.close(err, func(err error) []byte { return bytes.TrimSpace(failureLine(t.failure(err))) })
}

func (t *talk) sendEvents(k *socket, f *following, frames eventFrames) error {
	changed := f.changed()
	for {
		select {
		case <-f.ready:
			batch, lost := f.pop()
			for i := range batch {
				frame := frames.gap
				if !batch[i].gap {
					frame = frames.event(&batch[i])
				}
				if frame != nil && k.text(frame) != nil {
					return &closing{websocket.StatusPolicyViolation, closeSlow}
				}
			}
			if lost {
				return &closing{websocket.StatusTryAgainLater, closeLost}
			}
		case <-changed:
			changed = f.changed()
			f.look(f.epoch())
		case err := <-k.over:
			return err
		case <-t.told.Done():
			return t.parting()
		case <-f.conn.Closed():
			return errShutdown
		}
	}
}
