"""A cluster's brain on one machine: Kubernetes' API server, istiod and real Envoys, without a node; what manifests are checked against."""
