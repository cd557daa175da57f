package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// moleculerCaller is Moleculer for Node.js over NATS, with its defaults but
// for the log.
func moleculerCaller() contender {
	return contender{
		name: "moleculer", title: "Moleculer (Node.js)", broker: true, streams: "its streams are of bytes, not of messages",
		program: func(role, broker string) ([]string, error) {
			dir, err := moleculerDir()
			if err != nil {
				return nil, err
			}
			return []string{"node", filepath.Join(dir, role+".js"), broker}, nil
		},
	}
}

// moleculerDir is where Moleculer is installed, which the first call does.
func moleculerDir() (string, error) {
	const dir = "moleculer"
	for _, program := range []string{"npm", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", errors.New("no " + program)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "moleculer")); err == nil {
		return dir, nil
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci failed: %.200s", out)
	}
	return dir, nil
}
