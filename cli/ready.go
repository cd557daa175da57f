package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// ready is the last runner of a process that serves: once everything before it
// has started, it says so.
type ready struct {
	session *session
	file    string     // of --addresses-file, or ""
	where   *addresses // filled in by settle
	settle  func()     // the listeners know their ports by now
	text    func() string
}

// Start writes the addresses and prints the ready message.
func (r ready) Start(context.Context) error {
	r.settle()
	if r.file != "" {
		if err := writeAddresses(r.file, *r.where); err != nil {
			return err
		}
	}
	if r.session.onScreen && !r.session.json() {
		return r.session.printf("%s\n", r.text())
	}
	return r.session.printLine(struct {
		Ready bool `json:"ready"`
		addresses
	}{true, *r.where})
}

// Stop does nothing.
func (ready) Stop(context.Context) error { return nil }

// writeAddresses replaces file in one step, so that whoever waits for it never
// reads half of it.
func writeAddresses(file string, a addresses) error {
	data, err := marshal(a)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".mbus-addresses-*")
	if err != nil {
		return fmt.Errorf("--addresses-file: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is of no use to anybody
		return fmt.Errorf("--addresses-file: %w", err)
	}
	return nil
}
