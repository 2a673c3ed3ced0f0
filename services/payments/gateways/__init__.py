"""The gateways that this shop has contracts with: a module each, whose `connect(url, secrets)` makes its adapter.

Which of them a shop uses is a setting (BAZAAR_GATEWAYS): their order is that in which they are asked for a payment method.
"""

from __future__ import annotations

import importlib
import pkgutil

from services.kit.secrets import Secrets
from services.payments.gateway import Gateway


def connect(setting: str, secrets: Secrets) -> list[Gateway]:
    """The adapters that a setting `name=url,name=url` names.

    Raises:
        ValueError: there is no such gateway, or one has no address.
        SecretUnusable: one's secrets are missing.
    """
    return [_connected(pair.strip(), secrets) for pair in setting.split(",") if pair.strip()]


def _connected(pair: str, secrets: Secrets) -> Gateway:
    name, _, url = pair.partition("=")
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in known or not url.startswith(("http://", "https://")):
        raise ValueError(f"BAZAAR_GATEWAYS wants name=url with a name out of {', '.join(known)}, not: {pair}")
    return importlib.import_module(f"{__name__}.{name}").connect(url, secrets)
