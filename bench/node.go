package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// node measures the program itself, and whether others were at work meanwhile.
func (r *runner) node(ctx context.Context) error {
	first, before := len(r.records), endedMarks()
	err := r.program(ctx)
	if foreign(before, endedMarks()) > foreignShare {
		for i := range r.records[first:] {
			r.records[first+i].Spoiled = true
		}
	}
	return err
}

// endedMarks are the marks for processes that end on their own.
func endedMarks() marks {
	m := marks{own: usedCPU() + endedCPU(), at: time.Now()}
	m.all, m.known = busy()
	return m
}

// program measures how soon a node is ready, what it takes while nobody calls,
// and how long a command takes from end to end.
func (r *runner) program(ctx context.Context) error {
	if r.skips("mbus") {
		return nil
	}
	const title = "node and command"
	if r.mbus == "" {
		r.fact(title, "all of it", "", nil, false).NotRun = "no program named"
		return nil
	}
	var starts, memories []float64
	for range r.plan.Starts {
		n, took, err := startNode(ctx, r.mbus)
		if err != nil {
			r.fact(title, "all of it", "", nil, false).NotRun = reason(err)
			return ctx.Err()
		}
		starts = append(starts, millisOf(took))
		if len(memories) < (r.plan.Starts+4)/5 && len(memories) < 3 {
			if err := sleep(ctx, 2*time.Second); err != nil { // of doing nothing
				n.stop()
				return err
			}
			memories = append(memories, mib(residentBytes(n.command.Process.Pid)))
		}
		n.stop()
	}
	r.fact(title, "node with the greeter, from exec to ready", "ms", starts, false)
	r.fact(title, "the same, memory after 2 s", "MiB", memories, false)
	if info, err := os.Stat(r.mbus); err == nil {
		r.fact(title, "program, stripped", "MiB", []float64{mib(info.Size())}, false)
	}
	return r.commands(ctx, title)
}

// commands measures how long commands take against a node.
func (r *runner) commands(ctx context.Context, title string) error {
	n, _, err := startNode(ctx, r.mbus)
	if err != nil {
		return err
	}
	defer n.stop()
	for _, args := range [][]string{
		{"version"},
		{"list", "services", "--url", n.url},
		{"query", "go.micro.srv.greeter", "Say.Hello", `{"name":"John"}`, "--url", n.url},
	} {
		name := "mbus " + args[0]
		var took []float64
		for range r.plan.Starts {
			begun := time.Now()
			if out, err := exec.CommandContext(ctx, r.mbus, args...).CombinedOutput(); err != nil {
				r.fact(title, name, "", nil, false).NotRun = reason(fmt.Errorf("%w: %s", err, out))
				return ctx.Err()
			}
			took = append(took, millisOf(time.Since(begun)))
		}
		r.fact(title, name+", end to end", "ms", took, false)
	}
	return nil
}

// A running is a node in a process of its own.
type running struct {
	command *exec.Cmd
	url     string
	ended   chan struct{}
}

// startNode starts a node on a free port with a temporary store, and tells how
// long that took from exec to the line that says it is ready.
func startNode(ctx context.Context, program string) (*running, time.Duration, error) {
	n := &running{command: exec.Command(program, "node", "--demo", "--listen", "127.0.0.1:0", "--api-address", "127.0.0.1:0", "--sidecar-address", "127.0.0.1:0", "--web-address", "off", "--ephemeral"), ended: make(chan struct{})}
	out, err := n.command.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	begun := time.Now()
	if err := n.command.Start(); err != nil {
		return nil, 0, err
	}
	ready := make(chan string, 1)
	go func() { // ends with the process
		defer close(n.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var line struct {
				Ready bool   `json:"ready"`
				Bus   string `json:"bus"`
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Ready {
				ready <- line.Bus
				break
			}
		}
		close(ready)
		for lines.Scan() { // nothing may hold it up
		}
		_ = n.command.Wait() // how it ends does not matter
	}()
	select {
	case url, ok := <-ready:
		if ok {
			n.url = url
			return n, time.Since(begun), nil
		}
		err = errors.New("the node ended before it was ready")
	case <-time.After(patience):
		err = errors.New("the node was not ready in time")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	n.stop()
	return nil, 0, err
}

// stop ends the node, gently for five seconds.
func (n *running) stop() {
	_ = n.command.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(5*time.Second, func() { _ = n.command.Process.Kill() })
	defer kill.Stop()
	<-n.ended
}
