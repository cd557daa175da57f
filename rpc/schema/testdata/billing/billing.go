// Package billing has a type whose name another package uses too.
package billing

// User is somebody who pays.
type User struct {
	Account int64  `json:"account"`
	Manager *User  `json:"manager,omitempty"`
	Plan    string `json:"plan"`
}
