package main

import (
	"encoding/json"
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
		program: func(role, broker, _ string) ([]string, error) {
			packages, err := moleculerPackages()
			if err != nil {
				return nil, err
			}
			return []string{"env", "NODE_PATH=" + packages, "node", filepath.Join("moleculer", role+".js"), broker}, nil
		},
	}
}

// moleculerPackages is where Moleculer is installed, which the first call does:
// in a hidden folder, whose pages nobody takes for ours.
func moleculerPackages() (string, error) {
	const dir = ".moleculer"
	for _, program := range []string{"npm", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", errors.New("no " + program)
		}
	}
	packages, err := filepath.Abs(filepath.Join(dir, "node_modules"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(packages, "moleculer")); err == nil {
		return packages, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, file := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("moleculer", file))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			return "", err
		}
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %.200s", err, out)
	}
	return packages, nil
}

// moleculerVersion is what package.json asks for.
func moleculerVersion() string {
	data, err := os.ReadFile(filepath.Join("moleculer", "package.json"))
	if err != nil {
		return "unknown"
	}
	var p struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if json.Unmarshal(data, &p) != nil {
		return "unknown"
	}
	return p.Dependencies["moleculer"]
}
