package main_test

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// onTerminal returns a file that is a terminal and whose output goes to w. done
// ends its use by this process; a child goes on with its own copy.
func onTerminal(w io.Writer) (tty *os.File, done func(), err error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	go func() { // ends with the last process that has the terminal open
		_, _ = io.Copy(w, master)
		_ = master.Close()
	}()
	return tty, func() { _ = tty.Close() }, nil
}
