// Package ext is what Traefik expects at a path in its own repository, which its module does not contain.
package ext

// HTTP adds no fields.
type HTTP struct{}

// Router adds no fields.
type Router struct{}
