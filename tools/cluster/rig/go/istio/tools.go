//go:build tools

// Package tools names the commands that the rig builds: what is imported here stays in go.mod.
package tools

import (
	_ "istio.io/istio/istioctl/cmd/istioctl"
	_ "istio.io/istio/pilot/cmd/pilot-discovery"
)
