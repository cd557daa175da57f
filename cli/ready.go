package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// ready is the last runner of a node: once everything before it has started,
// it says so.
type ready struct{ node *nodeRun }

// Start writes the addresses and prints the ready message.
func (r ready) Start(context.Context) error {
	n := r.node
	if file := n.command.AddressesFile; file != "" {
		if err := writeAddresses(file, n.addresses); err != nil {
			return err
		}
	}
	if n.session.onScreen && !n.session.json() {
		return n.session.printf("%s\n", n.text())
	}
	return n.session.printLine(struct {
		Ready bool `json:"ready"`
		addresses
	}{true, n.addresses})
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
