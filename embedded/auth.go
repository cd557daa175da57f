package embedded

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"

	"github.com/mbus-dev/mbus/embedded/bind"
)

const (
	systemAccount = "$SYS"
	systemUser    = "_mbus_system"
	nodeUser      = "_mbus_node"
	reservedUsers = "_mbus"

	maxUserBytes = 128
	maxSecret    = 1 << 20 // bytes of an auth or key file
)

// authFile is the auth file; the package comment says what each key means.
type authFile struct {
	Users   []authUser   `json:"users"`
	Cluster *clusterUser `json:"cluster"`
}

type authUser struct {
	User      string    `json:"user"`
	Password  string    `json:"password"`
	Publish   *[]string `json:"publish"`
	Subscribe *[]string `json:"subscribe"`
}

type clusterUser struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// readAuthFile reads and checks the file; the zero authFile if there is none.
func readAuthFile(path string) (authFile, error) {
	if path == "" {
		return authFile{}, nil
	}
	data, err := readSecret(flagAuth, path)
	if err != nil {
		return authFile{}, err
	}
	var f authFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return authFile{}, bind.Errorf("%s %s%s: %w", flagAuth, path, lineOf(data, err), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return authFile{}, bind.Errorf("%s %s: something follows the closing brace", flagAuth, path)
	}
	if err := f.check(); err != nil {
		return authFile{}, bind.Errorf("%s %s: %w", flagAuth, path, err)
	}
	return f, nil
}

// lineOf says where a JSON error is, as ":LINE", if that is known.
func lineOf(data []byte, err error) string {
	var offset int64
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = e.Offset
	}
	if offset <= 0 || offset > int64(len(data)) {
		return ""
	}
	return fmt.Sprintf(":%d", 1+bytes.Count(data[:offset], []byte("\n")))
}

func (f authFile) check() error {
	if len(f.Users) == 0 {
		return errors.New(`it has no "users"; list at least one`)
	}
	seen := make(map[string]bool, len(f.Users))
	for i, u := range f.Users {
		if err := checkUser(u.User, u.Password); err != nil {
			return fmt.Errorf("user %d: %w", i+1, err)
		}
		if seen[u.User] {
			return fmt.Errorf("user %q is there twice", u.User)
		}
		seen[u.User] = true
		if err := u.checkRights(); err != nil {
			return fmt.Errorf("user %q: %w", u.User, err)
		}
	}
	if f.Cluster == nil {
		return nil
	}
	if err := checkUser(f.Cluster.User, f.Cluster.Password); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if isBcrypt(f.Cluster.Password) {
		return errors.New("cluster: this node logs in to the others with the password, so it cannot be a hash")
	}
	return nil
}

func checkUser(name, password string) error {
	switch {
	case name == "":
		return errors.New(`it has no "user"`)
	case len(name) > maxUserBytes:
		return fmt.Errorf("the name is longer than %d bytes", maxUserBytes)
	case strings.HasPrefix(name, reservedUsers):
		return fmt.Errorf("names that begin with %q belong to the node itself", reservedUsers)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("the name %q contains a space or a control character", name)
	case password == "":
		return fmt.Errorf("%q has no password", name)
	case looksHashed(password) && !isBcrypt(password):
		return fmt.Errorf("the password of %q begins like a bcrypt hash and is none", name)
	}
	return nil
}

func looksHashed(password string) bool {
	return len(password) > 4 && strings.HasPrefix(password, "$2") && password[3] == '$'
}

func isBcrypt(password string) bool {
	_, err := bcrypt.Cost([]byte(password))
	return err == nil && looksHashed(password)
}

func (u authUser) checkRights() error {
	if u.Publish != nil {
		for _, subject := range *u.Publish {
			if !server.IsValidSubject(subject) {
				return fmt.Errorf("publish: %q is no subject", subject)
			}
		}
	}
	if u.Subscribe != nil {
		for _, subject := range *u.Subscribe {
			words := strings.Fields(subject)
			if len(words) == 0 || len(words) > 2 || !server.IsValidSubject(words[0]) {
				return fmt.Errorf("subscribe: %q is no subject, or subject and queue", subject)
			}
		}
	}
	return nil
}

// permissions returns nil for a user without limits.
func (u authUser) permissions() *server.Permissions {
	if u.Publish == nil && u.Subscribe == nil {
		return nil
	}
	return &server.Permissions{Publish: allow(u.Publish), Subscribe: allow(u.Subscribe)}
}

// allow spells a list for NATS, to which an empty one would mean everything.
func allow(subjects *[]string) *server.SubjectPermission {
	switch {
	case subjects == nil:
		return nil
	case len(*subjects) == 0:
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: *subjects}
}

// secrets are the passwords of the two users that only this process knows.
type secrets struct{ system, node string }

func newSecrets() secrets { return secrets{system: rand.Text(), node: rand.Text()} }

// authorize adds the users to opts.
//
// When nothing but $G and the system account exists and no authorization block
// was parsed, NATS lets anonymous clients into $G. That is what an open
// node wants. With an auth file it must not happen, and parsing an empty block
// is the only way to tell the server so.
func authorize(opts *server.Options, users authFile, s secrets) error {
	if len(users.Users) > 0 {
		if err := opts.ProcessConfigString("authorization { users: [] }"); err != nil {
			return fmt.Errorf("close the broker to anonymous clients: %w", err)
		}
	}
	system := server.NewAccount(systemAccount)
	inProcess := map[string]struct{}{jwt.ConnectionTypeInProcess: {}}
	opts.Accounts = []*server.Account{system}
	opts.SystemAccount = systemAccount
	opts.Users = []*server.User{
		{Username: systemUser, Password: s.system, Account: system, AllowedConnectionTypes: inProcess},
		{Username: nodeUser, Password: s.node, AllowedConnectionTypes: inProcess},
	}
	for _, u := range users.Users {
		opts.Users = append(opts.Users, &server.User{Username: u.User, Password: u.Password, Permissions: u.permissions()})
	}
	return nil
}

// readSecret reads a file that only its owner may read.
func readSecret(flag, path string) ([]byte, error) {
	// A pipe would block the open, so it is looked at first.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, bind.Errorf("%s %s is not a file", flag, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bind.Errorf("%s: %w", flag, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, bind.Errorf("%s: %w", flag, err)
	}
	// Windows keeps rights elsewhere and reports every file as readable.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, bind.Errorf("%s %s can be read by others (mode %04o); run: chmod 600 %s", flag, path, mode, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, bind.Errorf("%s: %w", flag, err)
	}
	if len(data) > maxSecret {
		return nil, bind.Errorf("%s %s is larger than 1 MiB", flag, path)
	}
	return data, nil
}
