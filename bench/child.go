package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A child is a process of this benchmark.
type child struct {
	name    string
	address string
	command *exec.Cmd
	in      io.WriteCloser
	reports chan report   // closed when it has written its last
	ended   chan struct{} // closed when it has ended
}

// spawn starts a process and waits until it is ready. What it writes to
// standard error goes to a file beside the results. env is added to what it
// gets of this process.
func spawn(name string, errors io.Writer, command, env []string) (*child, error) {
	c := &child{name: name, command: exec.Command(command[0], command[1:]...), reports: make(chan report), ended: make(chan struct{})}
	c.command.Stderr, c.command.Env = errors, append(os.Environ(), env...)
	in, err := c.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.in = in
	go func() { // ends with the process
		defer close(c.ended)
		defer close(c.reports)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				c.reports <- r
			}
		}
		_ = c.command.Wait() // how it ends does not matter
	}()
	ready, err := c.report(patience)
	if err != nil {
		c.stop()
		return nil, err
	}
	c.address = ready.Address
	return c, nil
}

// ask gives an order and returns the report on it.
func (c *child) ask(o order, within time.Duration) (report, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return report{}, err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return report{}, fmt.Errorf("%s: %w", c.name, err)
	}
	return c.report(within)
}

// usage asks for what the process has used so far. Without a process it is
// nothing.
func (c *child) usage() (report, error) {
	if c == nil {
		return report{}, nil
	}
	return c.ask(order{}, patience)
}

func (c *child) report(within time.Duration) (report, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case r, ok := <-c.reports:
		if !ok {
			return r, fmt.Errorf("%s ended", c.name)
		}
		if r.Error != "" {
			return r, errors.New(r.Error)
		}
		return r, nil
	case <-timer.C:
		_ = c.command.Process.Kill() // a late report would be taken for the next one
		return report{}, fmt.Errorf("%s did not answer within %s", c.name, within)
	}
}

// stop ends the process, gently for two seconds.
func (c *child) stop() {
	if c == nil {
		return
	}
	_ = c.in.Close()
	kill := time.AfterFunc(2*time.Second, func() { _ = c.command.Process.Kill() })
	defer kill.Stop()
	for range c.reports { // what it still says
	}
	<-c.ended
}

// self is the command that starts a role of this program.
func self(role ...string) ([]string, error) {
	program, err := os.Executable()
	return append([]string{program}, role...), err
}

// The siblings of this program, which .ci/bench builds beside it.
const (
	withGoMicro  = "bench-gomicro"    // with the tag gomicro
	withoutYield = "bench-unyielding" // with a line left out
)

// sibling is where one of them is.
func sibling(name string) (string, error) {
	own, err := os.Executable()
	if err != nil {
		return "", err
	}
	program := filepath.Join(filepath.Dir(own), name)
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("%s is not built; make bench builds it", name)
	}
	return program, nil
}
