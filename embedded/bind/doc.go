// Package bind prepares an address to listen on: it looks the host up once, so
// that what was judged to be loopback is also what is bound, and it says who is
// in the way.
package bind
