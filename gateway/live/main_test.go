package live_test

import (
	"testing"

	"github.com/mbus-dev/mbus/bus/bustest"
)

func TestMain(m *testing.M) { bustest.Main(m) }
