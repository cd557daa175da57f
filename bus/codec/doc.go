// Package codec turns Go values into message bodies and back.
package codec
