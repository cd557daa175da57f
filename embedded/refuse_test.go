package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/embedded"
)

// holderVariable makes the test binary a process that holds something.
const holderVariable = "MBUS_TEST_HOLD"

func TestMain(m *testing.M) {
	if what := os.Getenv(holderVariable); what != "" {
		os.Exit(hold(what))
	}
	os.Exit(m.Run())
}

// hold starts a node in the store named by what, or on any port if it is
// "port", prints its address, and runs until stdin ends.
func hold(what string) int {
	cfg := embedded.Config{Listen: "127.0.0.1:0", StoreDir: what}
	if what == "port" {
		cfg = embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true}
	}
	node, err := embedded.Start(context.Background(), cfg)
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		return 1
	}
	_, _ = os.Stdout.WriteString(node.Addresses().Client + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0 // without a Stop: the lock has to go with the process
}

// holder runs another process that holds what; it returns its address.
func holder(t *testing.T, what string) (cmd *exec.Cmd, address string, end func()) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderVariable+"="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(end)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the other process says nothing: %v", err)
	}
	return cmd, strings.TrimSpace(line), end
}

// refused starts a node that must not start, within a second.
func refused(t *testing.T, cfg embedded.Config) error {
	t.Helper()
	begin := time.Now()
	node, err := embedded.Start(t.Context(), cfg)
	if err == nil {
		stop(t, node)
		t.Fatalf("Start succeeds with %+v", cfg)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the refusal took %v", took)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	return err
}

func TestWhatOtherMachinesCanReachNeedsTLSAndUsers(t *testing.T) {
	certs := newCertificates(t)
	users := write(t, "users.json", `{"users":[{"user":"ann","password":"secret"}]}`, 0o600)
	tls := func(c embedded.Config) embedded.Config {
		c.TLSCertFile, c.TLSKeyFile = certs.cert, certs.key
		return c
	}
	auth := func(c embedded.Config) embedded.Config {
		c.AuthFile = users
		return c
	}
	cluster := func(listen string) embedded.Config {
		return embedded.Config{Listen: "127.0.0.1:0", Cluster: embedded.Cluster{Listen: listen}}
	}
	for name, tc := range map[string]struct {
		cfg  embedded.Config
		says string
	}{
		"every interface":     {embedded.Config{Listen: "0.0.0.0:0"}, "TLS and authentication"},
		"every IPv6":          {embedded.Config{Listen: "[::]:0"}, "TLS and authentication"},
		"no host":             {embedded.Config{Listen: ":0"}, "TLS and authentication"},
		"an address":          {embedded.Config{Listen: "192.0.2.1:4222"}, "TLS and authentication"},
		"a mapped address":    {embedded.Config{Listen: "[::ffff:192.0.2.1]:4222"}, "TLS and authentication"},
		"link local":          {embedded.Config{Listen: "[fe80::1%eth0]:4222"}, "TLS and authentication"},
		"TLS alone":           {tls(embedded.Config{Listen: "0.0.0.0:0"}), "lacks authentication"},
		"users alone":         {auth(embedded.Config{Listen: "0.0.0.0:0"}), "lacks TLS"},
		"cluster":             {cluster("0.0.0.0:0"), "TLS and authentication"},
		"cluster without key": {tls(auth(cluster("0.0.0.0:0"))), `"cluster"`},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.NoJetStream = true
			err := refused(t, tc.cfg)
			if !errors.Is(err, embedded.ErrUnsafe) {
				t.Fatalf("%v is not ErrUnsafe", err)
			}
			e, ok := errors.AsType[*embedded.ConfigError](err)
			if !ok {
				t.Fatalf("%T", err)
			}
			for _, flag := range []string{"--tls-cert-file", "--tls-key-file", "--tls-ca-file", "--auth-file", "--insecure-allow-remote"} {
				if !slices.Contains(e.Flags, flag) || !strings.Contains(e.Message, flag) {
					t.Errorf("%s is not named in %v, %q", flag, e.Flags, e.Message)
				}
			}
			if !strings.Contains(e.Message, tc.says) {
				t.Errorf("%q does not say %q", e.Message, tc.says)
			}
		})
	}
}

func TestANameIsJudgedByItsAddress(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	found, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", name)
	if err != nil || !slices.ContainsFunc(found, func(a netip.Addr) bool { return !a.IsLoopback() }) {
		t.Skip("the host name of this machine has no address on a network")
	}
	err = refused(t, embedded.Config{Listen: net.JoinHostPort(name, "0"), NoJetStream: true})
	if !errors.Is(err, embedded.ErrUnsafe) {
		t.Errorf("%v is not ErrUnsafe", err)
	}
}

func TestLoopbackNeedsNothing(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "127.9.9.9:0", "[::1]:0", "localhost:0", "[::ffff:127.0.0.1]:0"} {
		t.Run(listen, func(t *testing.T) {
			node, err := embedded.Start(within(t), embedded.Config{Listen: listen, NoJetStream: true})
			if err != nil {
				if strings.Contains(err.Error(), "no address of this machine") || runtime.GOOS == "darwin" {
					t.Skip(err) // no IPv6, or one loopback address only
				}
				t.Fatal(err)
			}
			defer stop(t, node)
			dial(t, node.URL())
		})
	}
}

func TestTheOverrideIsWarnedOf(t *testing.T) {
	log, lines := recorder()
	node := start(t, embedded.Config{Listen: "0.0.0.0:0", NoJetStream: true, InsecureAllowRemote: true, Logger: log})
	dial(t, node.URL())
	warnings := lines.lines("warn")
	if len(warnings) != 1 || !strings.Contains(warnings[0], "without TLS or authentication") {
		t.Errorf("warnings: %q", warnings)
	}
}

func TestAConfigThatCannotBeObeyedIsRefused(t *testing.T) {
	certs := newCertificates(t)
	other := newCertificates(t)
	file := write(t, "file", "x", 0o600)
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cfg  embedded.Config
		flag string
	}{
		"no port":             {embedded.Config{Listen: "127.0.0.1"}, "--listen"},
		"port out of range":   {embedded.Config{Listen: "127.0.0.1:70000"}, "--listen"},
		"negative port":       {embedded.Config{Listen: "127.0.0.1:-1"}, "--listen"},
		"unknown host":        {embedded.Config{Listen: "no.such.host.invalid:4222"}, "--listen"},
		"another machine's":   {embedded.Config{Listen: "192.0.2.1:4222", InsecureAllowRemote: true}, "--listen"},
		"listen and not":      {embedded.Config{Listen: "127.0.0.1:0", DontListen: true}, "--listen"},
		"two stores":          {embedded.Config{StoreDir: t.TempDir(), Ephemeral: true}, "--store-dir"},
		"store in a file":     {embedded.Config{StoreDir: filepath.Join(file, "store")}, "--store-dir"},
		"store is a file":     {embedded.Config{StoreDir: file}, "--store-dir"},
		"store of everybody":  {embedded.Config{StoreDir: open}, "--store-dir"},
		"negative sync":       {embedded.Config{SyncInterval: -1}, "--jetstream-sync"},
		"huge payload":        {embedded.Config{MaxPayload: 65 << 20}, "--max-payload"},
		"negative payload":    {embedded.Config{MaxPayload: -1}, "--max-payload"},
		"cert without key":    {embedded.Config{TLSCertFile: certs.cert}, "--tls-key-file"},
		"key without cert":    {embedded.Config{TLSKeyFile: certs.key}, "--tls-cert-file"},
		"CA without cert":     {embedded.Config{TLSCAFile: certs.ca}, "--tls-cert-file"},
		"key of another":      {embedded.Config{TLSCertFile: certs.cert, TLSKeyFile: other.key}, "--tls-key-file"},
		"no such cert":        {embedded.Config{TLSCertFile: "/no/such", TLSKeyFile: certs.key}, "--tls-cert-file"},
		"CA is a key":         {embedded.Config{TLSCertFile: certs.cert, TLSKeyFile: certs.key, TLSCAFile: certs.key}, "--tls-ca-file"},
		"name with spaces":    {embedded.Config{ServerName: "a b"}, "--server-name"},
		"domain with dots":    {embedded.Config{Domain: "a.b"}, "--jetstream-domain"},
		"routes alone":        {embedded.Config{Cluster: embedded.Cluster{Routes: []string{"nats://127.0.0.1:1"}}}, "--cluster-listen"},
		"one clustered node":  {embedded.Config{ServerName: "a", Cluster: embedded.Cluster{Listen: "127.0.0.1:0"}}, "--cluster-routes"},
		"no stable name":      {embedded.Config{Cluster: embedded.Cluster{Listen: "127.0.0.1:0", Routes: []string{"nats://127.0.0.1:1"}}}, "--server-name"},
		"a route without URL": {embedded.Config{ServerName: "a", Cluster: embedded.Cluster{Listen: "127.0.0.1:0", Routes: []string{"me:secret@host"}}}, "--cluster-routes"},
		"cluster in process":  {embedded.Config{DontListen: true, Cluster: embedded.Cluster{Listen: "127.0.0.1:0"}}, "--cluster-listen"},
		"leaf without URL":    {embedded.Config{LeafNodes: []embedded.LeafNode{{}}}, "--leaf-node"},
		"leaf with bad URL":   {embedded.Config{LeafNodes: []embedded.LeafNode{{URLs: []string{"host"}}}}, "--leaf-node"},
		"leaf without creds":  {embedded.Config{LeafNodes: []embedded.LeafNode{{URLs: []string{"nats://127.0.0.1:1"}, Creds: "/no/such"}}}, "--leaf-node"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.cfg.Listen == "" && !tc.cfg.DontListen {
				tc.cfg.Listen = "127.0.0.1:0"
			}
			if tc.cfg.StoreDir == "" {
				tc.cfg.Ephemeral = true
			}
			err := refused(t, tc.cfg)
			e, ok := errors.AsType[*embedded.ConfigError](err)
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			if !slices.Contains(e.Flags, tc.flag) {
				t.Errorf("%q names %v, not %s", e.Message, e.Flags, tc.flag)
			}
			if strings.Contains(e.Message, "secret") {
				t.Errorf("the password is in %q", e.Message)
			}
			if errors.Is(err, embedded.ErrUnsafe) {
				t.Errorf("%v counts as unsafe", err)
			}
		})
	}
}

func TestABadAuthFileIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		mode os.FileMode
		says string
	}{
		"group can read":     {`{"users":[{"user":"a","password":"p"}]}`, 0o640, "chmod 600"},
		"everybody can read": {`{"users":[{"user":"a","password":"p"}]}`, 0o604, "chmod 600"},
		"empty":              {``, 0o600, "EOF"},
		"no users":           {`{}`, 0o600, "at least one"},
		"no entry":           {`{"users":[]}`, 0o600, "at least one"},
		"not JSON":           {"{\n\"users\":[\n oops]}", 0o600, ":3:"},
		"wrong type":         {"{\n\"users\": 7}", 0o600, ":2:"},
		"misspelt right":     {`{"users":[{"user":"a","password":"p","publsh":[]}]}`, 0o600, "publsh"},
		"two documents":      {`{"users":[{"user":"a","password":"p"}]} {}`, 0o600, "closing brace"},
		"no name":            {`{"users":[{"password":"p"}]}`, 0o600, "no \"user\""},
		"long name":          {`{"users":[{"user":"` + strings.Repeat("a", 129) + `","password":"p"}]}`, 0o600, "128"},
		"name with space":    {`{"users":[{"user":"a b","password":"p"}]}`, 0o600, "space"},
		"reserved name":      {`{"users":[{"user":"_mbus_system","password":"p"}]}`, 0o600, "itself"},
		"no password":        {`{"users":[{"user":"a"}]}`, 0o600, "no password"},
		"cut hash":           {`{"users":[{"user":"a","password":"$2a$11$abc"}]}`, 0o600, "bcrypt"},
		"twice":              {`{"users":[{"user":"a","password":"p"},{"user":"a","password":"q"}]}`, 0o600, "twice"},
		"bad subject":        {`{"users":[{"user":"a","password":"p","publish":["a..b"]}]}`, 0o600, "a..b"},
		"bad subscription":   {`{"users":[{"user":"a","password":"p","subscribe":["a q r"]}]}`, 0o600, "a q r"},
		"hashed cluster":     {`{"users":[{"user":"a","password":"p"}],"cluster":{"user":"r","password":"$2a$04$Xp0Z5o0lWbyOvwFwAcLPnOsLDUHTZpqxDMHYhIGPzx3nYDlVPuNTS"}}`, 0o600, "hash"},
		"too large":          {strings.Repeat(" ", 1<<20+1), 0o600, "1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.mode != 0o600 && runtime.GOOS == "windows" {
				t.Skip("rights are not in the mode there")
			}
			err := refused(t, embedded.Config{
				Listen: "127.0.0.1:0", NoJetStream: true, AuthFile: write(t, "users.json", tc.text, tc.mode),
			})
			e, ok := errors.AsType[*embedded.ConfigError](err)
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			if !slices.Contains(e.Flags, "--auth-file") || !strings.Contains(e.Message, tc.says) {
				t.Errorf("%q does not name --auth-file and %q", e.Message, tc.says)
			}
		})
	}
	err := refused(t, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true, AuthFile: t.TempDir()})
	if !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a directory as auth file: %v", err)
	}
}

func TestAReadableKeyFileIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("rights are not in the mode there")
	}
	certs := newCertificates(t)
	if err := os.Chmod(certs.key, 0o644); err != nil {
		t.Fatal(err)
	}
	err := refused(t, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true, TLSCertFile: certs.cert, TLSKeyFile: certs.key})
	if !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v does not say what to do", err)
	}
}

func TestABusyPortNamesItsHolder(t *testing.T) {
	cmd, address, end := holder(t, "port")
	err := refused(t, embedded.Config{Listen: address, NoJetStream: true})
	e, ok := errors.AsType[*embedded.InUseError](err)
	if !ok {
		t.Fatalf("%T: %v", err, err)
	}
	if e.Name != address || e.Flag != "--listen" || !strings.Contains(err.Error(), address) {
		t.Errorf("%+v for %s: %v", e, address, err)
	}
	if runtime.GOOS == "linux" && (e.PID != cmd.Process.Pid || e.Process == "") {
		t.Errorf("holder %d %q, want %d", e.PID, e.Process, cmd.Process.Pid)
	}
	end()
	start(t, embedded.Config{Listen: address, NoJetStream: true}) // it was only that
}

func TestThePortOfOneAddressKeepsOutAllOfThem(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems share a port between one address and all of them")
	}
	for holds, wants := range map[string]string{"127.0.0.1:0": "", "[::1]:0": "[::]"} {
		l, err := net.Listen("tcp", holds)
		if err != nil {
			t.Skip(err) // no IPv6
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		err = refused(t, embedded.Config{Listen: wants + ":" + port, InsecureAllowRemote: true, NoJetStream: true})
		if e, ok := errors.AsType[*embedded.InUseError](err); !ok || e.PID != os.Getpid() {
			t.Errorf("%s while %s is held: %T: %v", wants, holds, err, err)
		}
		_ = l.Close()
	}
}

func TestABusyClusterPortNamesItsFlag(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = refused(t, embedded.Config{
		Listen: "127.0.0.1:0", NoJetStream: true, Cluster: embedded.Cluster{Listen: l.Addr().String()},
	})
	if e, ok := errors.AsType[*embedded.InUseError](err); !ok || e.Flag != "--cluster-listen" {
		t.Errorf("%T: %v", err, err)
	}
}

func TestAStoreBelongsToOneNode(t *testing.T) {
	dir := t.TempDir()
	cmd, _, end := holder(t, dir)
	err := refused(t, embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir})
	e, ok := errors.AsType[*embedded.InUseError](err)
	if !ok {
		t.Fatalf("%T: %v", err, err)
	}
	if e.Name != dir || e.Flag != "--store-dir" || e.PID != cmd.Process.Pid {
		t.Errorf("%+v, want %s and process %d", e, dir, cmd.Process.Pid)
	}
	end()

	first := start(t, embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir}) // without an orderly stop
	err = refused(t, embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir})
	if e, ok := errors.AsType[*embedded.InUseError](err); !ok || e.PID != os.Getpid() {
		t.Errorf("in the same process: %T: %v", err, err)
	}
	stop(t, first)
	start(t, embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir})
}

func TestAFailedStartLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	cfg := embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := embedded.Start(ended, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	bad := cfg
	bad.LeafNodes = []embedded.LeafNode{{}} // found after the lock
	refused(t, bad)

	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	bad.StoreDir, bad.Ephemeral = "", true
	refused(t, bad)
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	start(t, cfg)
}

func TestAStoreThatCannotBeReadFailsTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "jetstream"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "jetstream", "$G")); err != nil {
		t.Skip(err)
	}
	node, err := embedded.Start(within(t), embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir})
	if err == nil {
		stop(t, node)
		t.Fatal("Start succeeds")
	}
	if !strings.Contains(err.Error(), "JetStream") {
		t.Errorf("%v does not say that JetStream failed", err)
	}
}
