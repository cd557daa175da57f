// Package live holds the long conversations of the gateway: streams of services
// and topics of the bus, over HTTP.
package live
