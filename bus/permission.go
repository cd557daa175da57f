package bus

import (
	"errors"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// NATS reports a missing right only by text, after the fact, and for the
// whole connection.
var (
	deniedPublishText   = regexp.MustCompile(`Publish to "([^"]+)"`)
	deniedSubscribeText = regexp.MustCompile(`Subscription to "([^"]+)"(?: using queue "([^"]+)")?`)
)

const (
	// maxDenials bounds the refused subscriptions remembered for Confirm.
	maxDenials = 4096
	// The broker's refusal reaches us on another goroutine than its pong.
	denialPause = time.Millisecond
	denialTries = 50
)

// denials remembers the subscriptions that the broker refused.
type denials struct {
	mu   sync.Mutex
	subs map[string]error // subject and queue
}

func (d *denials) add(subject, queue string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.subs == nil {
		d.subs = make(map[string]error)
	}
	if len(d.subs) < maxDenials {
		d.subs[subject+" "+queue] = err
	}
}

func (d *denials) get(subject, queue string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.subs[subject+" "+queue]
}

func (d *denials) forget(subject, queue string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.subs, subject+" "+queue)
}

// clear forgets everything: a reconnect subscribes anew, perhaps with new
// rights.
func (d *denials) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.subs)
}

// asyncError receives what the broker says about the connection as a whole.
func (c *Conn) asyncError(sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		if m := deniedSubscribeText.FindStringSubmatch(err.Error()); m != nil {
			c.denied.add(m[1], m[2], err)
			c.log.Error().Err(err).Msg("the broker refuses a subscription")
			return
		}
		if m := deniedPublishText.FindStringSubmatch(err.Error()); m != nil {
			c.mux.fail(func(s *slot) bool { return s.subject == m[1] }, denied(err))
		}
	}
	event := c.log.Warn().Err(err)
	if sub != nil {
		event = event.Str("subject", sub.Subject)
	}
	event.Msg("the broker reports an error")
}

// deniedPublish reads the refusal of a publish that a flush has overtaken.
func (c *Conn) deniedPublish(subject string) error {
	err := c.nc.LastError()
	if err == nil || !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	if m := deniedPublishText.FindStringSubmatch(err.Error()); m != nil && m[1] == subject {
		return denied(err)
	}
	return nil
}

// deniedSubscription reads the refusal of a subscription after a flush. Only
// when the connection has seen a refusal at all can this one still be on its
// way from nats.go's other goroutine, which is waited for.
func (c *Conn) deniedSubscription(subject, queue string) error {
	for range denialTries {
		if err := c.denied.get(subject, queue); err != nil {
			return denied(err)
		}
		last := c.nc.LastError()
		if last == nil || !errors.Is(last, nats.ErrPermissionViolation) {
			return nil
		}
		if m := deniedSubscribeText.FindStringSubmatch(last.Error()); m != nil && m[1] == subject && m[2] == queue {
			return denied(last)
		}
		time.Sleep(denialPause)
	}
	return nil
}

func denied(err error) *Error {
	return &Error{
		Code: PermissionDenied, End: Refused, Status: PermissionDenied.Status(), cause: err,
		Message: "the broker refuses it: " + err.Error() + "; the credentials lack this right",
	}
}
