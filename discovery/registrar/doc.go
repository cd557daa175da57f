// Package registrar serves the complete live view of a bus.
package registrar
