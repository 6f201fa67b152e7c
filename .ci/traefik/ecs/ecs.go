// Package ecs replaces Traefik's, which imports the libraries of AWS.
package ecs

import (
	"errors"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

const (
	DefaultTemplateRule = ""
	ProviderName        = "ecs"
)

// Provider cannot be used.
type Provider struct{}

// SetDefaults has nothing to set.
func (*Provider) SetDefaults() {}

// Init fails.
func (*Provider) Init() error { return errors.New("this program was built without ECS") }

// Provide provides nothing.
func (*Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return nil }
