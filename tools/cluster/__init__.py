"""What a cluster runs: the manifests that are made from the policy and the services' declarations, and their proof."""

from __future__ import annotations

from tools import ROOT

MESH = ROOT / "mesh"
NAMESPACE, TRUST_DOMAIN = "bazaar", "cluster.local"
PORT = 50051
"""Where every service answers."""
IMAGE = "bazaar"
"""The one image; overlays say which registry and tag."""
