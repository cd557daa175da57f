package gateway

import "context"

// MaySubscribe returns why the caller that ctx belongs to may not subscribe to a
// topic or pattern, nil if it may. Without authentication everybody may.
func (b *Bus) MaySubscribe(context.Context, string) error { return nil }

// MayPublish returns why the caller that ctx belongs to may not publish to a
// topic, nil if it may. Without authentication everybody may.
func (b *Bus) MayPublish(context.Context, string) error { return nil }
