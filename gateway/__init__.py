"""The edge: one Envoy that turns REST, gRPC and gRPC-Web into calls of the services, configured from the protos and mesh/policy.yaml."""
