// Package api is the API gateway: HTTP in, calls of services out.
package api
