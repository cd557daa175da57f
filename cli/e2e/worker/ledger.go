package main

import (
	"encoding/json"
	"os"
	"time"
)

const (
	began     = "began"
	ended     = "ended"
	cancelled = "cancelled"
)

// An entry is one line of the ledger.
type entry struct {
	Event   string `json:"event"`
	Call    string `json:"call"`
	By      string `json:"by"`
	Attempt int    `json:"attempt"`
	At      int64  `json:"at"` // Unix nanoseconds
}

// A ledger is a file that each entry is added to at once, by one write: what was
// written stays when the process is killed.
type ledger struct{ file *os.File }

func openLedger(path string) (*ledger, error) {
	if path == "" {
		path = os.DevNull
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &ledger{f}, err
}

func (l *ledger) add(e entry) {
	e.At = time.Now().UnixNano()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic("the ledger cannot be written: " + err.Error())
	}
}

func (l *ledger) close() { _ = l.file.Close() }
