//go:build unix && !linux

package main_test

import (
	"errors"
	"io"
	"os"
)

func onTerminal(io.Writer) (*os.File, func(), error) {
	return nil, nil, errors.New("this test opens terminals on Linux only")
}
