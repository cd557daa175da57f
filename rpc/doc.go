// Package rpc calls methods of services over the bus and serves them.
package rpc
