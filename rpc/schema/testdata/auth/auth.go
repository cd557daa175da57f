// Package auth has a type whose name another package uses too.
package auth

// User is somebody who logs in.
type User struct {
	Login string `json:"login"`
}
