package bus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Runner is something with a lifetime: a server, a subscription, a view.
//
// Start returns once it serves. Its context bounds the start; its values reach
// handlers, and its cancellation after the return does not. Stop drains until
// its context ends and then cuts what is left. A Runner runs once: a second
// Start is an error. Stop without Start, and a second Stop, do nothing.
type Runner interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Run starts the runners in order, waits until ctx ends, and stops them in
// reverse order, all within grace. It returns nil after a clean stop. When one
// fails to start, those before it are stopped and its error is returned; when
// ctx ends during the start, that is a clean stop. 0 as grace means ten
// seconds.
func Run(ctx context.Context, grace time.Duration, runners ...Runner) error {
	if grace <= 0 {
		grace = 10 * time.Second
	}
	var started []Runner
	var failure error
	for _, r := range runners {
		if ctx.Err() != nil {
			break
		}
		if err := r.Start(ctx); err != nil {
			if ctx.Err() == nil {
				failure = fmt.Errorf("start: %w", err)
			}
			break
		}
		started = append(started, r)
	}
	if failure == nil {
		<-ctx.Done()
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	errs := []error{failure}
	for i := len(started) - 1; i >= 0; i-- {
		if err := started[i].Stop(stopping); err != nil {
			errs = append(errs, fmt.Errorf("stop: %w", err))
		}
	}
	return errors.Join(errs...)
}
