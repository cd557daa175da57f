package bustest

import "time"

const lifecycleGrace = 10 * time.Second

type lifecycle struct{ grace time.Duration }
