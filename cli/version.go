package cli

import (
	"cmp"
	"context"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{}

// A build says what this program is.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Protocol int    `json:"protocol"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// build reads what the compiler noted; the version it was given counts more.
func (p *Process) build() build {
	b := build{Version: cmp.Or(p.Version, "devel"), Protocol: protocolVersion, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; p.Version == "" && v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

// protocolVersion is the version of the wire protocol that this build speaks.
const protocolVersion = 1

// Run prints the version.
func (*versionCommand) Run(_ context.Context, s *session) error {
	b := s.process.build()
	if s.json() {
		return s.printJSON(b)
	}
	return s.printf("mbus version %s, protocol %d, %s %s\n", b.Version, b.Protocol, b.Go, b.Platform)
}
