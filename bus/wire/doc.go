// Package wire holds the names, subjects, headers and frames of the mbus protocol as pure functions: no I/O, no state.
package wire
