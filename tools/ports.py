"""The TCP ports that a home's servers listen on: those of the last time while they are free."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from tools import ExpectedFailure
from tools.home import write_private
from tools.servers import free_port, is_free

EDGE_PORT = 8080


def kept(file: Path, names: Iterable[str], also: int = 0) -> list[int]:
    """One for each name, so that members of a set and payment links keep their addresses.

    Args:
        file: what the home remembers of them.
        also: so far above each there is to be another free one.
    """
    known = _known(file)
    ports: dict[str, int] = {}
    for name in names:
        ports[name] = _keep(known.get(name), also) or _another({*known.values(), *ports.values()}, also)
    return list(_remembered(file, ports).values())


def edge_port() -> int:
    """The edge's port, from BAZAAR_EDGE_PORT.

    Raises:
        ExpectedFailure: that is no port.
    """
    return _port_in("BAZAAR_EDGE_PORT") or EDGE_PORT


def tls_port(file: Path) -> int:
    """The edge's port for TLS, from BAZAAR_EDGE_TLS_PORT; else one that the home keeps.

    Raises:
        ExpectedFailure: that is no port.
    """
    if chosen := _port_in("BAZAAR_EDGE_TLS_PORT"):
        return _remembered(file, {"edge_tls": chosen})["edge_tls"]
    return kept(file, ["edge_tls"])[0]


def _port_in(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text and (not text.isdigit() or not 0 < int(text) < 65_536):
        raise ExpectedFailure(f"{variable} is no port number: {text}")
    return int(text) if text else None


def _known(file: Path) -> dict[str, int]:
    return json.loads(file.read_text()) if file.exists() else {}


def _remembered(file: Path, ports: dict[str, int]) -> dict[str, int]:
    known = _known(file)
    if known | ports != known:
        write_private(file, json.dumps(known | ports))
    return ports


def _keep(port: int | None, also: int) -> int | None:
    return port if port and is_free(port) and is_free(port + also) else None


def _another(taken: set[int], also: int) -> int:
    """A free one that nobody has been given yet who doesn't listen so far."""
    while (port := free_port(also)) in taken:
        pass
    return port
