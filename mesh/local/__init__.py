"""The mesh of one machine: certificates, rules and Envoy's configuration, as Istio would have them on Kubernetes."""
